/** `report`: all that a run left behind, and what its network makes of the test set, as one HTML file. */
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { writeFileAtomically } from '../coordinator/atomic-file.js';
import type { Checkpoint } from '../coordinator/checkpoint.js';
import type { EvaluationMetric, StartMetric, StepMetric } from '../coordinator/metrics.js';
import { metricsName, newestRun } from '../coordinator/run-folder.js';
import { reproducingCommand } from '../coordinator/reproducing-command.js';
import { renderReport } from '../report/report.js';
import type { ReportData } from '../report/report-data.js';
import { OperationalError } from '../shared/errors.js';
import { stepsPerEpoch } from '../shared/schedule.js';
import { engineOf } from '../worker/engines/registry.js';
import { engineNames } from './engines.js';
import { infer, noteChance } from './inference.js';
import { parseMetrics } from './metric-lines.js';
import { datasetOf, groupOptionNames, ignore, refuseUnknownOptions } from './options.js';
import type { GroupOptions, OptionNames } from './options.js';
import { version } from './version.js';
import { openWeights } from './weights.js';

export interface ReportOptions extends GroupOptions {
  /** A run's folder or a checkpoint in it; default the newest run under `runs/`. */
  readonly run?: string | undefined;
  /** The file to write; default `report.html` in the run's folder. */
  readonly out?: string | undefined;
}

export interface Report {
  readonly out: string;
  /** In percent. */
  readonly accuracy: number;
}

/** Evaluates the run's newest checkpoint, and writes all of the file or nothing. Throws OperationalError. */
export async function report(options: ReportOptions = {}): Promise<Report> {
  refuseUnknownOptions(options, optionNames);
  const { path, weights, checkpoint } = await openWeights(options.run ?? (await newestRun()));
  if (checkpoint === null) {
    const message = `${path} is a file of weights, and a report is about a run: name a run's folder or its checkpoint`;
    throw new OperationalError('RUN_INVALID', message);
  }
  const dataset = await datasetOf(options.data);
  const inference = await infer(weights, dataset, options);
  noteChance(inference, options.onNote ?? ignore);
  if (inference.dataset !== checkpoint.dataset) {
    const message = `the run was trained on the data set ${checkpoint.dataset}, and is scored here on ${inference.dataset}`;
    (options.onNote ?? ignore)(`warning: ${message}; name its folder with --data`);
  }
  const run = dirname(path);
  const perEpoch = stepsPerEpoch(checkpoint.config, dataset.trainCount);
  const data = await reportData(run, checkpoint, perEpoch, inference.test);
  const out = options.out ?? join(run, 'report.html');
  await writeFileAtomically(out, await renderReport(data));
  return { out, accuracy: inference.accuracy };
}

async function reportData(
  run: string,
  checkpoint: Checkpoint,
  perEpoch: number,
  test: ReportData['test'],
): Promise<ReportData> {
  const { config, dataset, engine, worldSize, step, parametersSha256, init } = checkpoint;
  // Without the file there are no curves.
  const metrics = parseMetrics(await readFile(join(run, metricsName), 'utf8').catch(() => ''), step);
  const starts = metrics.filter((metric): metric is StartMetric => metric.kind === 'start');
  const exact = isExact(engine);
  return {
    run,
    version,
    time: new Date(),
    config,
    dataset,
    engine,
    exact,
    workers: worldSize,
    step,
    stepsPerEpoch: perEpoch,
    parametersSha256,
    init,
    command: reproducingCommand(checkpoint, perEpoch, exact),
    machine: starts.at(-1)?.machine ?? [],
    steps: metrics.filter((metric): metric is StepMetric => metric.kind === 'step'),
    evaluations: metrics.filter((metric): metric is EvaluationMetric => metric.kind === 'evaluation'),
    test,
  };
}

/** Of an engine as checkpoints name it. */
function isExact(engine: string): boolean {
  return engineNames.some((name) => name === engine && engineOf(name).exact);
}

const optionNames: OptionNames<ReportOptions> = { ...groupOptionNames, run: true, out: true };

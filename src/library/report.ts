/** `report`: all that a run left behind, and what its network makes of the test set, as one HTML file. */
import { dirname, join } from 'node:path';
import { errorCode } from '../files/atomic-file.js';
import { type Checkpoint } from '../coordinator/node/checkpoint-files.js';
import { locateDataset, openDataset } from '../coordinator/node/dataset-files.js';
import type { StartMetric } from '../coordinator/metrics/metrics.js';
import { metricsName } from '../coordinator/node/metrics-files.js';
import { newestRun } from '../coordinator/node/run-folder.js';
import { reproductionOf, type Reproduction } from '../coordinator/training/reproduction.js';
import { FileTooLargeError, IrregularFileError, readRegularFile } from '../files/regular-file.js';
import { renderReport } from '../report/report.js';
import type { EvaluationPoint, ReportData } from '../report/report-data.js';
import { at, OperationalError, usageError } from '../shared/errors.js';
import { defaultConfig } from '../shared/model/config.js';
import { stepsPerEpoch } from '../shared/model/schedule.js';
import { visible } from '../shared/text.js';
import { loadEngine } from '../worker/engines/registry.js';
import { engineNames } from './engines/engines.js';
import { accuracyOf } from '../coordinator/session/evaluation.js';
import { averageProbabilities } from './network/committee.js';
import { inferEach, noteChance, noteOtherData, type Inference } from './network/inference.js';
import { parseMetrics, type ReportedEvaluation, type ReportedMetric } from '../coordinator/metrics/metric-lines.js';
import { areTexts, groupOptions, ignore, checkOptions } from './options.js';
import type { GroupOptions, OptionKinds } from './options.js';
import { refuseInputs, writeOutput } from '../files/output.js';
import { version } from './version.js';
import { networkFiles, openEach, openWeights, scoredNetwork } from './network/weights.js';

export interface ReportOptions extends GroupOptions {
  /** A run's folder or a checkpoint in it; default the newest run under `runs/`. */
  readonly run?: string | undefined;
  /** As in `evaluate`; the curves are those of the whole run. */
  readonly best?: boolean | undefined;
  /** Further runs or files, whose networks are looked at together with the run's. */
  readonly committee?: readonly string[] | undefined;
  /** The file to write, as in `exportWeights`; default `report.html` in the run's folder. */
  readonly out?: string | undefined;
  /**
   * Says in one line how to train to the same parameters again, given the options of `train` for that, defaults left out; default a
   * call, such as `train({ seed: 1 })`.
   */
  readonly showReproduction?: ((options: Reproduction) => string) | undefined;
}

export interface Report {
  readonly out: string;
  /** In percent. */
  readonly accuracy: number;
}

/** Evaluates the run's newest checkpoint, and writes all of the file or nothing. Throws OperationalError. */
export async function report(options: ReportOptions = {}): Promise<Report> {
  checkOptions(options, optionKinds);
  const { committee = [] } = options;
  if (!areTexts(committee)) throw usageError('the option `committee` is an array of runs or files');
  const opened = await openWeights(options.run ?? (await newestRun()), { best: options.best });
  const { path, checkpoint } = opened;
  if (checkpoint === null) {
    const message = `${path} is a file of weights, and a report is about a run: name a run's folder or its checkpoint`;
    throw new OperationalError('RUN_INVALID', message);
  }
  const run = dirname(path);
  const out = options.out ?? join(run, 'report.html');
  const location = await locateDataset(options.data);
  const others = await openEach(committee, { best: options.best });
  const networks = [opened, ...others].map((network) => network.path);
  await refuseInputs(out, [
    ...(await networkFiles(out, networks)),
    ...Object.values(location.files).map((file) => file.path),
  ]);
  const dataset = await openDataset(location);
  const inferences = await inferEach([opened, ...others].map(scoredNetwork), dataset, options);
  const inference = at(inferences, 0);
  const onNote = options.onNote ?? ignore;
  noteChance(inference, onNote);
  for (const network of [opened, ...others]) noteOtherData(network, inference.dataset, onNote);
  // Of a smaller data set than the run's, fewer rows may be there than it held out.
  const perEpoch = Math.max(1, stepsPerEpoch(checkpoint.config, dataset.trainCount));
  const metrics = await readMetricLines(join(run, metricsName), onNote);
  const exact = await isExact(checkpoint.engine);
  const reproduction = reproductionOf(checkpoint, perEpoch, exact);
  const command = reproduction === null ? null : (options.showReproduction ?? callOfTrain)(reproduction);
  const lines = parseMetrics(metrics, options.best === true ? Infinity : checkpoint.step);
  const data: ReportData = {
    ...reportData({ run, checkpoint, perEpoch, exact, command }, lines, inference.test),
    committee: committeeOf(networks, inferences),
  };
  await writeOutput(out, await renderReport(data));
  return { out, accuracy: inference.accuracy };
}

interface ReportedRun extends Pick<ReportData, 'run' | 'exact' | 'command'> {
  readonly checkpoint: Checkpoint;
  readonly perEpoch: number;
}

function reportData(
  { run, checkpoint, perEpoch, exact, command }: ReportedRun,
  metrics: readonly ReportedMetric[],
  test: ReportData['test'],
): Omit<ReportData, 'committee'> {
  const { config, dataset, engine, worldSize, step, parametersSha256, init } = checkpoint;
  const starts = metrics.filter((metric): metric is StartMetric => metric.kind === 'start');
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
    command,
    overridden: checkpoint.overridden,
    machine: starts.at(-1)?.machine ?? [],
    steps: metrics.flatMap((metric) => (metric.kind === 'step' ? [{ ...metric, steps: metric.steps ?? 1 }] : [])),
    evaluations: metrics.flatMap((metric) => (metric.kind === 'evaluation' ? [evaluationOf(metric)] : [])),
    test,
  };
}

function committeeOf(names: readonly string[], inferences: readonly Inference[]): ReportData['committee'] {
  if (inferences.length < 2) return null;
  const members = inferences.map(({ correct, test }, i) => ({
    name: at(names, i),
    correct,
    probabilities: test.probabilities,
  }));
  const average = averageProbabilities(members.map(({ probabilities }) => probabilities));
  const { test } = at(inferences, 0);
  const { correct } = accuracyOf({ ...test, probabilities: average }, defaultConfig.loss);
  return { members, correct, average };
}

function evaluationOf({ step, epoch, accuracy, split = 'test', ...losses }: ReportedEvaluation): EvaluationPoint {
  return { step, epoch, accuracy, split, loss: losses.loss ?? null, trainLoss: losses.trainLoss ?? null };
}

function callOfTrain(options: Reproduction): string {
  const fields = Object.entries(options).map(([name, value]) => `${name}: ${visible(JSON.stringify(value))}`);
  return fields.length === 0 ? 'train()' : `train({ ${fields.join(', ')} })`;
}

/**
 * The text of a run's metrics. Without a file there is none, which is worth a note where something else than a file is there, or one
 * that cannot be read.
 */
async function readMetricLines(path: string, onNote: (text: string) => void): Promise<string> {
  return readRegularFile(path).then(String, (error: unknown) => {
    if (errorCode(error) === 'ENOENT') return '';
    const large = error instanceof FileTooLargeError ? 'it is too large' : errorCode(error);
    const reason = error instanceof IrregularFileError ? `it is ${error.kind}` : large;
    onNote(`warning: ${path} cannot be read (${reason}): the report has no curves`);
    return '';
  });
}

/** Of an engine as checkpoints name it. */
async function isExact(engine: string): Promise<boolean> {
  const known = engineNames.find((name) => name === engine);
  return known !== undefined && (await loadEngine(known)).exact;
}

const optionKinds: OptionKinds<ReportOptions> = {
  ...groupOptions,
  run: 'text',
  best: 'other',
  committee: 'other',
  out: 'text',
  showReproduction: 'function',
};

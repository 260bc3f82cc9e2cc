/** `listRuns` and `compareRuns`: what runs there are, and what became of them. */
import { stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { readCheckpoint } from '../coordinator/node/checkpoint-files.js';
import { metricsName } from '../coordinator/node/metrics-files.js';
import { checkpointIn, resolveCheckpointPath, runFolders } from '../coordinator/node/run-folder.js';
import { RunLock } from '../coordinator/node/run-lock.js';
import { parseMetrics, type ReportedEvaluation, type ReportedMetric } from '../coordinator/metrics/metric-lines.js';
import type { Split } from '../coordinator/session/evaluation.js';
import { readRegularFile } from '../files/regular-file.js';
import { OperationalError, usageError } from '../shared/errors.js';
import { checkOptions } from './options.js';

export interface ListRunsOptions {
  /** Folder of the runs; default `runs`. */
  readonly folder?: string | undefined;
}

export interface RunEntry {
  readonly name: string;
  readonly directory: string;
  /** When it was first started, ISO 8601; null where it has no metrics. */
  readonly started: string | null;
  /**
   * `running`: a process has its lock; `finished`: its last start ended with a summary; `stopped`: it may go on; `empty`: it has no
   * checkpoint.
   */
  readonly state: 'running' | 'finished' | 'stopped' | 'empty';
  /** Steps since training began, as far as they were written down. */
  readonly step: number;
  /** In percent, of the test set, which a run with held-out rows sees at its end alone; null before. */
  readonly accuracy: number | null;
  /** In percent, of the held-out rows when they were last scored; null before, and where none are. */
  readonly validationAccuracy: number | null;
  /** Between its last lines of the log; null before. */
  readonly imagesPerSecond: number | null;
}

/** The runs of a folder, the newest first. A file that cannot be read says nothing. Throws OperationalError USAGE. */
export async function listRuns(options: ListRunsOptions = {}): Promise<RunEntry[]> {
  checkOptions(options, { folder: 'text' });
  const { folder } = options;
  if (folder !== undefined && (await stat(folder).catch(() => null))?.isDirectory() !== true) {
    throw usageError(`there is no folder ${folder}; name the one whose folders are runs`);
  }
  const entries: RunEntry[] = [];
  // One after the other: there may be more of them than files that may be open.
  for (const directory of await runFolders(folder)) {
    const entry = await entryOf(directory);
    if (entry !== null) entries.push(entry);
  }
  return entries.sort((a, b) => (b.started ?? '').localeCompare(a.started ?? '') || b.name.localeCompare(a.name));
}

/** Null for a folder that is none of a run. */
async function entryOf(directory: string): Promise<RunEntry | null> {
  const metrics = await metricsIn(directory);
  const checkpoint = await checkpointIn(directory).catch(() => null);
  const running = await RunLock.isHeld(directory);
  if (metrics.length === 0 && checkpoint === null && !running) return null;
  const finished = await stat(join(directory, 'summary.json')).then(
    (stats) => stats.isFile(),
    () => false,
  );
  const ended = finished ? 'finished' : checkpoint === null ? 'empty' : 'stopped';
  return {
    name: basename(directory),
    directory,
    started: metrics.find((metric) => metric.kind === 'start')?.time ?? null,
    state: running ? 'running' : ended,
    step: metrics.reduce((most, { step }) => Math.max(most, step), 0),
    accuracy: lastAccuracy(metrics, 'test'),
    validationAccuracy: lastAccuracy(metrics, 'validation'),
    imagesPerSecond: metrics.findLast((metric) => metric.kind === 'step')?.imagesPerSecond ?? null,
  };
}

async function metricsIn(directory: string): Promise<readonly ReportedMetric[]> {
  const text = await readRegularFile(join(directory, metricsName)).then(String, () => '');
  return parseMetrics(text, Infinity);
}

function lastAccuracy(metrics: readonly ReportedMetric[], split: Split): number | null {
  const ofSplit = metrics.filter((metric) => metric.kind === 'evaluation' && (metric.split ?? 'test') === split);
  return (ofSplit.at(-1) as ReportedEvaluation | undefined)?.accuracy ?? null;
}

/** What two runs have of one thing. */
export interface RunDifference {
  /** Such as `learningRate` or `accuracy`. */
  readonly what: string;
  readonly values: readonly [string, string];
}

export interface RunComparison {
  readonly runs: readonly [string, string];
  /** In what they were asked for. */
  readonly configuration: readonly RunDifference[];
  /** In what came of it. */
  readonly result: readonly RunDifference[];
}

/**
 * What differs between two runs, each named by its folder, its name under `folder` or a checkpoint.
 * @throws OperationalError USAGE, CHECKPOINT_MISSING, CHECKPOINT_INVALID
 */
export async function compareRuns(
  runs: readonly [string, string],
  options: ListRunsOptions = {},
): Promise<RunComparison> {
  const given: unknown = runs;
  if (!Array.isArray(given) || given.length !== 2 || !given.every((run) => typeof run === 'string')) {
    throw usageError('two runs are compared: name both');
  }
  checkOptions(options, { folder: 'text' });
  const [first, second] = [await factsOf(runs[0], options), await factsOf(runs[1], options)];
  return {
    runs,
    configuration: differences(first.configuration, second.configuration),
    result: differences(first.result, second.result),
  };
}

type Facts = Readonly<Record<string, string | number>>;

async function factsOf(run: string, { folder }: ListRunsOptions): Promise<{ configuration: Facts; result: Facts }> {
  const named = folder !== undefined && basename(run) === run ? join(folder, run) : run;
  const path = await resolveCheckpointPath(named);
  const { config, dataset, engine, worldSize, init, overridden, step, parametersSha256 } = await readCheckpoint(path);
  const metrics = (await metricsIn(dirname(path))).filter((metric) => metric.step <= step);
  const lastStep = metrics.findLast((metric) => metric.kind === 'step');
  return {
    configuration: {
      ...config,
      dataset,
      engine,
      workers: worldSize,
      init: init?.file ?? 'none',
      overridden: overridden.join(', ') || 'nothing',
    },
    result: {
      step,
      accuracy: lastAccuracy(metrics, 'test') ?? 'none',
      validationAccuracy: lastAccuracy(metrics, 'validation') ?? 'none',
      trainLoss: metrics.findLast((metric) => metric.kind === 'evaluation')?.trainLoss ?? 'none',
      imagesPerSecond: lastStep?.imagesPerSecond ?? 'none',
      parametersSha256,
    },
  };
}

function differences(first: Facts, second: Facts): RunDifference[] {
  const names = [...new Set([...Object.keys(first), ...Object.keys(second)])];
  return names
    .map((what) => ({ what, values: [String(first[what] ?? 'none'), String(second[what] ?? 'none')] as const }))
    .filter(({ values: [one, other] }) => one !== other);
}

/** The folder of a run by its name. Throws OperationalError USAGE for what is no name. */
export function namedRun(name: string): string {
  if (/^[\p{L}\p{N}_][\p{L}\p{N}_.-]{0,99}$/u.test(name)) return join('runs', name);
  throw new OperationalError('USAGE', `\`name\` is of letters, digits, _, . and -, at most 100, not "${name}"`);
}

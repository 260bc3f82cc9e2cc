/**
 * mnist-ddp as a library: `train`, `evaluate`, `benchmark` and `loadCheckpoint`. This is where a request becomes numbers and
 * an engine by name becomes an engine; the commands use nothing else.
 */
import { defaultConfig, type BatchNormMode, type TrainConfig } from './shared/config.js';
import type { Engine } from './shared/engine.js';
import { OperationalError, usageError } from './shared/errors.js';
import { readCheckpoint, type Checkpoint } from './coordinator/checkpoint.js';
import { runBenchmark, type BenchmarkRow } from './coordinator/benchmark.js';
import { evaluateGroup, type Accuracy } from './coordinator/evaluation.js';
import { launch } from './coordinator/launch.js';
import { newestRun, openRunFolder, resolveCheckpointPath } from './coordinator/run-folder.js';
import { parseDevices, parseWorkers, resolveWorldSize, type Device } from './coordinator/topology.js';
import { runTraining, type TrainMetric } from './coordinator/training.js';
import { integer, resolveConfig } from './coordinator/validate.js';
import { runVerification, type Verification } from './coordinator/verification.js';
import { engineOf } from './worker/engines/registry.js';
import { dirname, resolve } from 'node:path';

export { OperationalError, type ErrorCode } from './shared/errors.js';
export { defaultConfig, type BatchNormMode, type TrainConfig } from './shared/config.js';
export { parameters, type Parameter } from './shared/network.js';
export type { Checkpoint } from './coordinator/checkpoint.js';
export type { Accuracy } from './coordinator/evaluation.js';
export type { BenchmarkRow } from './coordinator/benchmark.js';
export type { Verification, VerificationRow } from './coordinator/verification.js';
export type { EvaluationMetric, StartMetric, StepMetric, Summary, TrainMetric } from './coordinator/training.js';

/** Engines that can be asked for; `auto` takes the best that works here. */
export type EngineChoice = 'auto' | 'wasm';

/** Seconds without a sign of life after which a rank counts as stalled. */
const defaultTimeout = 60;
const defaultMaxRestarts = 3;

export interface GroupOptions {
  /** Worker threads, 1 to 16; `auto` (the default) is one for each physical core that the process may use. */
  readonly workers?: number | 'auto' | undefined;
  /** Default `auto`. */
  readonly engine?: EngineChoice | undefined;
  /** Folder of the four IDX files; default MNIST_DDP_DATA, then `data/`, then the copy that npm installed. */
  readonly data?: string | undefined;
  /** Receives notes for the user, one line each. */
  readonly onNote?: ((text: string) => void) | undefined;
}

export interface TrainOptions extends GroupOptions, Partial<Undefinable<TrainConfig>> {
  /** Comma-separated device of each rank, such as `cpu,cpu` or `cpu:0,cpu:2` (pinned to cores, on Linux). */
  readonly devices?: string | undefined;
  /** Folder for checkpoint, metrics and summary; default a new one under `runs/`. */
  readonly out?: string | undefined;
  /** A run's folder or a checkpoint to go on from, bit for bit. */
  readonly resume?: string | undefined;
  /** What may differ from the run to resume, at the price of its bits: see `overridable`. */
  readonly override?: readonly Overridable[] | undefined;
  /** Ends after that many steps since training began, resumed or not. */
  readonly maxSteps?: number | undefined;
  /** Writes a checkpoint every so many steps, besides those at the ends of epochs. */
  readonly checkpointEvery?: number | undefined;
  /** Seconds without a sign of life after which a worker counts as stalled; default 60. */
  readonly timeout?: number | undefined;
  /** How often failed or stalled workers are started again before the run ends with the failure; default 3. */
  readonly maxRestarts?: number | undefined;
  /** Ends after the step at hand; a checkpoint is written, then the signal's reason is thrown. */
  readonly signal?: AbortSignal | undefined;
}

/** What a resumed run must have in common with the one before, the number of epochs excepted, unless it is overridden. */
export const overridable = [
  'batchSize',
  'microBatch',
  'learningRate',
  'lrStep',
  'lrGamma',
  'seed',
  'batchNorm',
  'data',
  'kernels',
  'workers',
] as const;
export type Overridable = (typeof overridable)[number];

type Undefinable<T> = { readonly [Key in keyof T]: T[Key] | undefined };

export interface EvaluateOptions extends GroupOptions {
  /** A run's folder or a checkpoint file; default the newest run under `runs/`. */
  readonly checkpoint?: string | undefined;
}

export interface Evaluation extends Accuracy {
  readonly checkpoint: string;
  readonly dataset: string;
  readonly step: number;
  readonly parametersSha256: string;
}

export interface BenchmarkOptions extends Omit<GroupOptions, 'workers'> {
  /** Default 1 and the number of physical cores. */
  readonly workers?: readonly number[] | undefined;
  /** Measured steps for each; default 30. */
  readonly steps?: number | undefined;
  readonly batchNorm?: BatchNormMode | undefined;
  readonly batchSize?: number | undefined;
  readonly microBatch?: number | undefined;
}

/**
 * Trains the network, yielding metrics on the way: `start`, a `step` every 100 steps, an `evaluation` after each epoch, and
 * the `summary` last. Nothing starts before the first metric is asked for; ending the iteration ends the workers.
 * @throws OperationalError for whatever a user or a machine can cause, with a `code`
 */
export async function* train(options: TrainOptions = {}): AsyncGenerator<TrainMetric, void, undefined> {
  const resumed = options.resume === undefined ? null : await openCheckpoint(options.resume);
  const resume = resumed?.checkpoint ?? null;
  const config = resume === null ? resolveConfig(options) : resumedConfig(resume, options);
  const engine = engineFor(options.engine);
  const override = options.override ?? [];
  const { worldSize, devices } = topology(options, config);
  if (
    resume !== null &&
    !override.includes('workers') &&
    config.batchNorm === 'local' &&
    resume.worldSize !== worldSize
  ) {
    throw changed('workers', resume.worldSize, worldSize);
  }
  const maxSteps = positive('--max-steps', options.maxSteps);
  const checkpointEvery = positive('--checkpoint-every', options.checkpointEvery);
  const out = options.out ?? (resumed === null ? undefined : dirname(resumed.path));
  // A resumed run may take its own folder over, but no other run's.
  const ownFolder = resumed !== null && out !== undefined && resolve(out) === resolve(dirname(resumed.path));
  const folder = await openRunFolder({ out, resume: ownFolder });
  try {
    yield* runTraining({
      engine,
      config,
      worldSize,
      devices,
      data: options.data,
      folder,
      resume,
      override,
      maxSteps,
      checkpointEvery,
      signal: options.signal,
      timeoutMs: 1000 * (positive('--timeout', options.timeout) ?? defaultTimeout),
      maxRestarts: integer('--max-restarts', options.maxRestarts ?? defaultMaxRestarts, 0, 1_000_000),
      onNote: options.onNote ?? ignore,
    });
  } finally {
    await folder.close();
  }
}

/** Scores a checkpoint on the test set: the same figures with any number of workers. Throws OperationalError. */
export async function evaluate(options: EvaluateOptions = {}): Promise<Evaluation> {
  const { path, checkpoint } = await openCheckpoint(options.checkpoint ?? (await newestRun()));
  const worldSize = resolveWorldSize(parseWorkers(options.workers ?? 'auto'), null, null);
  // Evaluation depends on no batch: its rows are cut so that every rank has work.
  const config: TrainConfig = { ...defaultConfig, batchNorm: checkpoint.config.batchNorm };
  const launched = await launch({
    engine: engineFor(options.engine),
    config,
    worldSize,
    devices: null,
    data: options.data,
    trains: false,
    timeoutMs: 1000 * defaultTimeout,
    onNote: options.onNote ?? ignore,
  });
  try {
    launched.state.restore(checkpoint, checkpoint.step);
    launched.group.control.startFrom(checkpoint.step);
    await launched.group.run({ name: 'prepare', first: 0, end: 0 });
    const accuracy = await evaluateGroup(launched, checkpoint.config, checkpoint.runningStatistics);
    const { step, parametersSha256 } = checkpoint;
    return { ...accuracy, checkpoint: path, dataset: launched.dataset, step, parametersSha256 };
  } finally {
    await launched.group.close();
  }
}

/** Measures training steps for several numbers of workers, in turns. Throws OperationalError. */
export async function benchmark(options: BenchmarkOptions = {}): Promise<BenchmarkRow[]> {
  const config = resolveConfig({
    batchNorm: options.batchNorm,
    batchSize: options.batchSize,
    microBatch: options.microBatch,
  });
  const cores = resolveWorldSize('auto', null, config);
  const workers = options.workers ?? (cores === 1 ? [1] : [1, cores]);
  if (workers.length === 0) throw usageError('--workers needs at least one number, such as 1,2');
  for (const count of workers) resolveWorldSize(parseWorkers(count), null, config);
  return runBenchmark({
    engine: engineFor(options.engine),
    config,
    workers,
    steps: positive('--steps', options.steps) ?? 30,
    data: options.data,
    timeoutMs: 1000 * defaultTimeout,
    onNote: options.onNote ?? ignore,
  });
}

export interface VerifyOptions extends Pick<GroupOptions, 'data' | 'onNote'> {
  /** Numbers of workers to compare; default 1, 2 and 4. */
  readonly workers?: readonly number[] | undefined;
  /** Steps to train with each; default 20. */
  readonly steps?: number | undefined;
}

/**
 * Trains the same steps of the default configuration with several numbers of workers, and once stopped and resumed, and
 * compares the hashes, with the golden ones too where they are known. Throws OperationalError.
 */
export async function verify(options: VerifyOptions = {}): Promise<Verification> {
  const workers = options.workers ?? [1, 2, 4];
  for (const count of workers) resolveWorldSize(parseWorkers(count), null, defaultConfig);
  return runVerification({
    engine: engineOf('wasm'),
    config: defaultConfig,
    workers,
    steps: positive('--steps', options.steps) ?? 20,
    data: options.data,
    timeoutMs: 1000 * defaultTimeout,
    onNote: options.onNote ?? ignore,
  });
}

/** Reads a checkpoint: a file, or the newest of a run's folder. Throws CHECKPOINT_MISSING or CHECKPOINT_INVALID. */
export async function loadCheckpoint(runOrFile: string): Promise<Checkpoint> {
  return (await openCheckpoint(runOrFile)).checkpoint;
}

async function openCheckpoint(runOrFile: string): Promise<{ path: string; checkpoint: Checkpoint }> {
  const path = await resolveCheckpointPath(runOrFile);
  return { path, checkpoint: await readCheckpoint(path) };
}

function topology(options: TrainOptions, config: TrainConfig): { worldSize: number; devices: Device[] | null } {
  const workers = parseWorkers(options.workers ?? 'auto');
  const devices = options.devices === undefined ? null : parseDevices(options.devices, workers);
  return { worldSize: resolveWorldSize(workers, devices, config), devices };
}

/** The checkpoint's configuration; a field that is asked for must agree with it, the number of epochs excepted. */
function resumedConfig(resume: Checkpoint, options: TrainOptions): TrainConfig {
  const given = Object.fromEntries(Object.keys(defaultConfig).map((key) => [key, options[key as keyof TrainConfig]]));
  const asked = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  const config = resolveConfig({ ...resume.config, ...asked });
  for (const key of Object.keys(defaultConfig) as (keyof TrainConfig)[]) {
    if (key === 'epochs' || options.override?.includes(key) === true) continue;
    if (config[key] !== resume.config[key]) throw changed(key, resume.config[key], config[key]);
  }
  return config;
}

function changed(field: string, was: unknown, is: unknown): OperationalError {
  return new OperationalError(
    'CONFIGURATION_CHANGED',
    `the run to resume has ${field} ${String(was)}, but ${String(is)} was asked for, which would change its result: leave it out, or add --override ${field}`,
  );
}

function engineFor(choice: EngineChoice = 'auto'): Engine {
  if (choice === 'auto') return engineOf('wasm');
  const name: string = choice;
  if (name !== 'wasm') throw usageError(`--engine must be auto or wasm, not "${name}"`);
  return engineOf('wasm');
}

function positive(flag: string, value: number | undefined): number | undefined {
  return value === undefined ? undefined : integer(flag, value, 1, 0x7fffffff);
}

function ignore(): void {
  // Notes are for whoever asks for them.
}

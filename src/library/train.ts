/** `train`: from what was asked for, and what a run to resume has, to a training run. */
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { fromFirst, together } from '../coordinator/session/agreement.js';
import { readCheckpoint, type Checkpoint } from '../coordinator/node/checkpoint-files.js';
import { describeMachine, machineSummary } from '../coordinator/node/machine.js';
import { nodeHost } from '../coordinator/node/node-host.js';
import type { Progress, TrainMetric } from '../coordinator/training/metrics.js';
import { openRunFolder, resolveCheckpointPath, runFolderOf, type RunFolder } from '../coordinator/node/run-folder.js';
import { parseDevices, parseWorkers, resolveWorldSize } from '../coordinator/node/topology.js';
import { runTraining } from '../coordinator/training/training.js';
import type { TrainingRequest } from '../coordinator/training/training-request.js';
import { checkProcesses, integer, resolveConfig } from '../coordinator/validate.js';
import { defaultConfig, type TrainConfig } from '../shared/model/config.js';
import { OperationalError, usageError } from '../shared/errors.js';
import { processName, type Job } from '../shared/group/job.js';
import type { Device } from '../shared/group/protocol.js';
import { leafCount } from '../shared/sums/tree.js';
import { selectEngine, selectEngineToResume } from './engines/engines.js';
import { datasetOf, defaultTimeout, groupOptionNames, ignore, positive, refuseUnknownOptions } from './options.js';
import { workersOn, type GroupOptions, type OptionNames } from './options.js';
import { inJob } from './job.js';
import { openWeights, type OpenWeights } from './network/weights.js';

const defaultMaxRestarts = 3;

export interface TrainOptions extends GroupOptions, Partial<Undefinable<TrainConfig>> {
  /** Comma-separated device of each rank, such as `cpu,cpu` or `cpu:0,cpu:2` (pinned to cores, on Linux). */
  readonly devices?: string | undefined;
  /** Folder for checkpoint, metrics and summary; default that of the run to resume, else a new one under `runs/`. */
  readonly out?: string | undefined;
  /** A run's folder, a checkpoint, or a PyTorch or safetensors file whose weights training begins with. */
  readonly init?: string | undefined;
  /** A run's folder or a checkpoint to go on from, bit for bit; a checkpoint without its run's files begins a new folder. */
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
  /**
   * Ends after the step at hand; a checkpoint is written, then OperationalError ABORTED is thrown, whose cause is the signal's
   * reason; a reason that is an OperationalError is thrown itself.
   */
  readonly signal?: AbortSignal | undefined;
  /** Called a few times a second while steps are trained. */
  readonly onProgress?: ((progress: Progress) => void) | undefined;
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
  'engine',
  'kernels',
  'workers',
] as const;
export type Overridable = (typeof overridable)[number];

type Undefinable<T> = { readonly [Key in keyof T]: T[Key] | undefined };

/**
 * Trains the network, yielding metrics on the way: `start`, a `step` every 100 steps, an `evaluation` after each epoch, and
 * the `summary` last. Where a launcher of MPI started several processes, they train together, and all but process 0 yield
 * nothing and write nothing. Nothing starts before the first metric is asked for; ending the iteration ends the workers.
 *
 * Where V8 and the processor can compute with vectors of 256 bits, four of V8's flags, which are those of the whole process,
 * are set while the kernels are compiled, some 25 ms without a turn of the event loop, and then set back: WebAssembly that
 * another thread compiles just then is compiled likewise. MNIST_DDP_SIMD=128 in the environment forbids it.
 * @throws OperationalError for whatever a user or a machine can cause, with a `code`
 */
export async function* train(options: TrainOptions = {}): AsyncGenerator<TrainMetric, void, undefined> {
  refuseUnknownOptions(options, optionNames);
  refuseOtherTypes(options);
  const timeoutMs = 1000 * (positive('timeout', options.timeout) ?? defaultTimeout);
  yield* inJob(timeoutMs, (job) => trainIn(job, timeoutMs, options));
}

/** @param job the processes that train with this one; null where there are none */
async function* trainIn(
  job: Job | null,
  timeoutMs: number,
  options: TrainOptions,
): AsyncGenerator<TrainMetric, void, undefined> {
  let folder: RunFolder | null = null;
  try {
    const prepared = await together(
      job,
      async () => {
        const request = await prepare(job, options);
        ({ folder } = request);
        return request;
      },
      ({ maxSteps }) => ({ 'number of steps': String(maxSteps) }),
    );
    const hosts = job?.hosts ?? [hostname()];
    for await (const metric of runTraining({ ...prepared, job, hosts, timeoutMs })) {
      if (job === null || job.process === 0) yield metric;
    }
  } finally {
    await (folder as RunFolder | null)?.close();
  }
}

/** Turns options into a request, and opens all that it needs. Process 0 of a job has the files of runs to itself. */
async function prepare(
  job: Job | null,
  options: TrainOptions,
): Promise<Omit<TrainingRequest, 'job' | 'hosts' | 'timeoutMs' | 'folder'> & { folder: RunFolder | null }> {
  const { resume: resumed, init } = await fromFirst(job, () => startingPoint(options));
  const resume = resumed?.checkpoint ?? null;
  const config = resume === null ? resolveConfig(options) : resumedConfig(resume, options);
  if (job !== null) checkProcesses(job.processes, config);
  const override = options.override ?? [];
  const onNote = options.onNote ?? ignore;
  const { worldSize: workers, devices } = topology(options, config, job?.processes ?? 1, resume);
  const selecting = { workers, devices, onNote };
  const selected =
    resume === null
      ? await selectEngine(options.engine, selecting)
      : await selectEngineToResume(resume.engine, override.includes('engine'), options.engine, selecting);
  const worldSize = workersOn(selected, options.workers, workers);
  if (
    resume !== null &&
    !override.includes('workers') &&
    config.batchNorm === 'local' &&
    resume.worldSize !== worldSize
  ) {
    throw changed('workers', resume.worldSize, worldSize);
  }
  const maxSteps = positive('maxSteps', options.maxSteps);
  const checkpointEvery = positive('checkpointEvery', options.checkpointEvery);
  const maxRestarts = integer('maxRestarts', options.maxRestarts ?? defaultMaxRestarts, 0, 1_000_000);
  const dataset = await datasetOf(options.data);
  const first = job === null || job.process === 0;
  const ownFolder = resumed?.folder ?? null;
  const out = options.out ?? ownFolder ?? undefined;
  // A resumed run may take its own folder over, but no other run's.
  const goesOn = ownFolder !== null && out !== undefined && resolve(out) === resolve(ownFolder);
  return {
    host: nodeHost,
    ...selected,
    config,
    worldSize,
    devices,
    dataset,
    folder: first ? await openFolder(out, goesOn ? resumed : null) : null,
    machine: describeMachine({ thorough: false, timeoutMs: 2000 }).then(machineSummary),
    init: init === null ? null : { file: init.path, parametersSha256: init.parametersSha256, ...init.weights },
    resume,
    override,
    maxSteps,
    checkpointEvery,
    signal: options.signal,
    maxRestarts,
    onNote: first
      ? onNote
      : (text) => {
          onNote(`${processName(job, job.process)}: ${text}`);
        },
    onProgress: first ? options.onProgress : undefined,
  };
}

function refuseOtherTypes({ signal, override }: TrainOptions): void {
  // Those of other realms, and of polyfills, are as good.
  const given: Partial<AbortSignal> = signal ?? new AbortController().signal;
  const { aborted, addEventListener, removeEventListener } = given;
  const listens = typeof addEventListener === 'function' && typeof removeEventListener === 'function';
  if (typeof aborted !== 'boolean' || !listens) {
    throw usageError('the option `signal` is an AbortSignal');
  }
  const names: unknown = override ?? [];
  if (Array.isArray(names) && names.every((name) => overridable.some((known) => known === name))) return;
  throw usageError(`the option \`override\` is an array of ${overridable.join(', ')}`);
}

/** What training goes on from, or begins with. */
async function startingPoint({ resume, init, onNote }: TrainOptions): Promise<{
  resume: OpenCheckpoint | null;
  init: OpenWeights | null;
}> {
  if (init !== undefined && resume !== undefined) {
    throw usageError('`init` begins a run and `resume` goes on with one: give one of them');
  }
  return {
    resume: resume === undefined ? null : await openCheckpoint(resume),
    init: init === undefined ? null : await openWeights(init, onNote),
  };
}

/**
 * Opens the folder to write to. What a run of it goes on from was read before the folder was its own: had another run written there
 * since, its steps would be lost.
 */
async function openFolder(out: string | undefined, resumed: OpenCheckpoint | null): Promise<RunFolder> {
  const folder = await openRunFolder({ out, loaded: resumed?.path ?? null });
  if (resumed === null) return folder;
  try {
    const { step, parametersSha256 } = await readCheckpoint(resumed.path);
    if (step === resumed.checkpoint.step && parametersSha256 === resumed.checkpoint.parametersSha256) return folder;
    throw new OperationalError(
      'OUT_IN_USE',
      `another run has written to ${folder.directory} just now; resume it again`,
    );
  } catch (error) {
    await folder.close();
    throw error;
  }
}

interface OpenCheckpoint {
  readonly path: string;
  /** Of its run; null where it was named as a file that belongs to none. */
  readonly folder: string | null;
  readonly checkpoint: Checkpoint;
}

async function openCheckpoint(runOrFile: string): Promise<OpenCheckpoint> {
  const path = await resolveCheckpointPath(runOrFile);
  const folder = path === runOrFile ? await runFolderOf(path) : runOrFile;
  return { path, folder, checkpoint: await readCheckpoint(path) };
}

function topology(
  options: TrainOptions,
  config: TrainConfig,
  processes: number,
  resume: Checkpoint | null,
): { worldSize: number; devices: Device[] | null } {
  // Statistics of each worker's shard go on with as many workers.
  const local = resume !== null && config.batchNorm === 'local' && options.override?.includes('workers') !== true;
  const left = local && options.devices === undefined ? resume.worldSize : 'auto';
  const workers = parseWorkers(options.workers === undefined || options.workers === 'auto' ? left : options.workers);
  const devices = options.devices === undefined ? null : parseDevices(options.devices, workers);
  const worldSize = resolveWorldSize(workers, devices, config, { resumed: resume !== null });
  if (workers !== 'auto' || devices !== null) return { worldSize, devices };
  // A thread without a micro-batch would idle.
  const share = Math.ceil(leafCount(config.batchSize, config.microBatch) / processes);
  return { worldSize: Math.min(worldSize, share), devices };
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
    `the run to resume has ${field} ${String(was)}, but ${String(is)} was asked for, which would change its result: leave it out, or add \`override\` ${field}`,
  );
}

const optionNames: OptionNames<TrainOptions> = {
  ...groupOptionNames,
  epochs: true,
  batchSize: true,
  microBatch: true,
  learningRate: true,
  lrStep: true,
  lrGamma: true,
  seed: true,
  batchNorm: true,
  devices: true,
  out: true,
  init: true,
  resume: true,
  override: true,
  maxSteps: true,
  checkpointEvery: true,
  timeout: true,
  maxRestarts: true,
  signal: true,
  onProgress: true,
};

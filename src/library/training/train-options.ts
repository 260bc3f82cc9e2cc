/** What `train` is given. */
import type { Progress } from '../../coordinator/metrics/metrics.js';
import { usageError } from '../../shared/errors.js';
import type { Recipe, TrainConfig } from '../../shared/model/config.js';
import { checkOptions, groupOptions, type GroupOptions, type OptionKinds } from '../options.js';

export interface TrainOptions extends GroupOptions, Partial<Undefinable<TrainConfig>> {
  /** What other options are by default: `reference` (the default) repeats the PyTorch project, `better` reads digits better. */
  readonly recipe?: Recipe | undefined;
  /** Comma-separated device of each rank, such as `cpu,cpu` or `cpu:0,cpu:2` (pinned to cores, on Linux). */
  readonly devices?: string | undefined;
  /** Folder for checkpoint, metrics and summary; default that of the run to resume, else a new one under `runs/`. */
  readonly out?: string | undefined;
  /** Of the run, which then has the folder `runs/NAME`, and may be named so instead of by its folder. */
  readonly name?: string | undefined;
  /** A run's folder, a checkpoint, or a PyTorch or safetensors file whose weights training begins with. */
  readonly init?: string | undefined;
  /**
   * A run's folder or a checkpoint to go on from, bit for bit; a checkpoint without its run's files begins a new folder. True for the
   * newest run under `runs/`.
   */
  readonly resume?: string | true | undefined;
  /** Goes on with the run in `out` where one is there, and else begins it: for a job that is started again and again. */
  readonly resumeOrStart?: boolean | undefined;
  /** Takes the folder of a run at once whose process cannot be asked from here, such as one of another machine. */
  readonly takeOver?: boolean | undefined;
  /** What may differ from the run to resume, at the price of its bits: see `overridable`. */
  readonly override?: readonly Overridable[] | undefined;
  /** Ends after that many steps since training began, resumed or not. */
  readonly maxSteps?: number | undefined;
  /** Writes a checkpoint every so many steps, besides those at the ends of epochs. */
  readonly checkpointEvery?: number | undefined;
  /** Keeps the network of the epoch that does best on the held-out rows, as `best.msgpack`; a resumed run goes on doing so. */
  readonly keepBest?: boolean | undefined;
  /** Writes TensorBoard's event files into the folder; a run that is resumed in a folder with some goes on doing so. */
  readonly tensorboard?: boolean | undefined;
  /** Steps that a `step` metric is the mean over; default that of the run to resume, else 100. An epoch begins a new one. */
  readonly logEvery?: number | undefined;
  /** Seconds without a sign of life after which a worker counts as stalled; default 60. */
  readonly timeout?: number | undefined;
  /** How often failed or stalled workers are started again before the run ends with the failure; default 3. */
  readonly maxRestarts?: number | undefined;
  /**
   * Ends after the step at hand; a checkpoint is written, then OperationalError ABORTED is thrown, whose cause is the signal's
   * reason; a reason that is an OperationalError is thrown itself.
   */
  readonly signal?: AbortSignal | undefined;
  /** Asked a few times a second while steps are trained: whether a checkpoint is to be written now, besides the others. */
  readonly wantsCheckpoint?: (() => boolean) | undefined;
  /** Called a few times a second while steps are trained. */
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}

/**
 * What a resumed run must have in common with the one before, unless it is overridden: but for `patience`, and for `epochs` where the
 * schedule does not go by it.
 */
export const overridable = [
  'epochs',
  'batchSize',
  'microBatch',
  'learningRate',
  'lrStep',
  'lrGamma',
  'seed',
  'batchNorm',
  'validation',
  'loss',
  'inputScale',
  'schedule',
  'warmUp',
  'rotation',
  'translation',
  'scaling',
  'shear',
  'averageDecay',
  'data',
  'engine',
  'kernels',
  'workers',
] as const;
export type Overridable = (typeof overridable)[number];

type Undefinable<T> = { readonly [Key in keyof T]: T[Key] | undefined };

/** Throws OperationalError USAGE for what is no option of `train`, or of another type. */
export function checkTrainOptions(options: TrainOptions): void {
  checkOptions(options, optionKinds);
  const {
    signal,
    override,
    resume = 'run',
    resumeOrStart = false,
    takeOver = false,
    keepBest = false,
    tensorboard = false,
  } = options;
  if (resume !== true && (typeof resume !== 'string' || resume === '')) {
    throw usageError('the option `resume` is a text that is not empty, or true for the newest run');
  }
  for (const [name, value] of Object.entries({ resumeOrStart, takeOver, keepBest, tensorboard })) {
    if (typeof value !== 'boolean') throw usageError(`the option \`${name}\` is true or false, not ${typeof value}`);
  }
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

const optionKinds: OptionKinds<TrainOptions> = {
  ...groupOptions,
  epochs: 'other',
  batchSize: 'other',
  microBatch: 'other',
  learningRate: 'other',
  lrStep: 'other',
  lrGamma: 'other',
  seed: 'other',
  batchNorm: 'other',
  validation: 'other',
  patience: 'other',
  recipe: 'other',
  loss: 'other',
  inputScale: 'other',
  schedule: 'other',
  warmUp: 'other',
  rotation: 'other',
  translation: 'other',
  scaling: 'other',
  shear: 'other',
  averageDecay: 'other',
  keepBest: 'other',
  tensorboard: 'other',
  devices: 'text',
  out: 'text',
  name: 'text',
  init: 'text',
  resume: 'other',
  resumeOrStart: 'other',
  takeOver: 'other',
  override: 'other',
  maxSteps: 'other',
  checkpointEvery: 'other',
  logEvery: 'other',
  timeout: 'other',
  maxRestarts: 'other',
  signal: 'other',
  wantsCheckpoint: 'function',
  onProgress: 'function',
};

/**
 * The one shared memory of a training run: a `WebAssembly.Memory` whose buffer every thread maps, so that kernels of any
 * rank reach every array without a copy. Laid out once, before any thread starts; it never grows.
 */
import type { ComputeDevice } from '../compute-device.js';
import { OperationalError } from '../errors.js';
import type { Engine, ReplicaBinding, SplitBinding, StateSet } from '../engine.js';
import { transformLength } from '../model/augmentation.js';
import { inputDivisorOf, type TrainConfig } from '../model/config.js';
import { batchNormChannels, classes, imagePixels, parameterCount } from '../model/network.js';
import { controlWords } from './control.js';
import { counted } from '../text.js';
import { chunkOf, type JobPosition } from '../sums/tree.js';

const pageBytes = 65536;
const maxBytes = 0x1_0000_0000;
const mebibyte = 0x10_0000;
/** The start of the memory belongs to the kernels' static data: a module writes it again whenever it is instantiated. */
export const staticBytes = 65536;
const floatBytes = 4;

export interface MemoryShape {
  readonly groupSize: number;
  /** Rows of the largest shard, and subtrees in it. */
  readonly shardRows: number;
  readonly subtrees: number;
  readonly microBatch: number;
  readonly trainCount: number;
  readonly testCount: number;
  /** Rows of the training split that are held out; none by default. */
  readonly validationCount?: number;
  /** Whether rows are augmented, and weights averaged; they are not by default. */
  readonly augments?: boolean;
  readonly averages?: boolean;
  /** See `WorkspaceShape`. */
  readonly hostFloat64?: boolean;
  /** Only where the group is one of several processes. */
  readonly job?: JobShape;
}

/** What the processes of a job exchange at most, over all batches. */
export interface JobShape extends JobPosition {
  /** Subtrees of all processes. */
  readonly nodes: number;
  /** Subtrees of one process. */
  readonly roots: number;
}

/** Where each array lies; byte offsets. Lists over ranks are indexed by rank. */
export interface MemoryLayout {
  readonly shape: MemoryShape;
  /** int32, see control.ts: the only words that threads wait on. */
  readonly control: number;
  /** Two state sets; running statistics are kept by each rank. */
  readonly sets: readonly [SharedState, SharedState];
  readonly gradients: number;
  readonly prepared: number;
  /** [rank][subtree] */
  readonly accumulators: readonly (readonly number[])[];
  /** Floats of one accumulator. */
  readonly accumulatorLength: number;
  /** [rank] */
  readonly workspaces: readonly number[];
  /** float64 [2][subtrees of all ranks][statisticsLength]: slots of the statistics exchange, used in turn. */
  readonly statistics: number;
  /** float64 [groupSize][subtrees]: sums of the loss over each rank's subtrees, in the step at hand. */
  readonly losses: number;
  /** float64 [lossSlots]: mean loss of the global batch of the last steps; that of step s, counted from 0, at s % lossSlots. */
  readonly stepLosses: number;
  /** uint32, room for trainCount: the epoch's permutation, of the rows that are not held out. */
  readonly permutation: number;
  /** [rank]: float32 [shardRows][transformLength], see augmentation.ts; null where rows are not augmented. */
  readonly transforms: readonly number[] | null;
  readonly train: SplitBinding;
  /** The test split, and behind it copies of the rows that are held out: whatever is evaluated. */
  readonly test: SplitBinding;
  /** float32 [2][batchNormChannels]: the statistics that evaluation uses, synchronised over ranks. */
  readonly evaluationStatistics: number;
  readonly probabilities: number;
  readonly job: JobLayout | null;
  readonly bytes: number;
}

/** Which of the two state sets holds the state after `step` steps. */
export function stateSetOf(step: number): 0 | 1 {
  return step % 2 === 0 ? 0 : 1;
}

/** What goes over the network, where the group is one of several processes; see job-collectives.ts. */
export interface JobLayout {
  /** float64 [nodes][length of the exchange], without gaps. */
  readonly statistics: number;
  /** float64 [processes][1 + roots]: whether the process was told to stop, then sums of the loss over its subtrees. */
  readonly headers: number;
  /** float32 [nodes][floats of the largest chunk]: what other processes have of this one's chunk. */
  readonly received: number;
  /** float32 [accumulatorLength]: where the first process's part of the chunk arrives, and then all chunks' sums. */
  readonly sum: number;
}

export interface SharedState {
  readonly parameters: number;
  readonly firstMoments: number;
  readonly secondMoments: number;
  /** [rank] */
  readonly runningStatistics: readonly number[];
  /** float64 [2]: beta1^t and beta2^t. */
  readonly betaPowers: number;
  /** Averages of parameters and running statistics, laid out as they are; null where none are taken. */
  readonly average: { readonly parameters: number; readonly runningStatistics: readonly number[] } | null;
}

/** Steps whose losses are kept; the coordinator reads them before a stretch of steps has come round. */
export const lossSlots = 4096;

/** Floats of one slot of the statistics exchange: two sums for each channel of the widest batch norm. */
export const statisticsLength = 512;

/** Lays the memory out. Throws MEMORY_EXCEEDED where it would pass the 4 GiB that WebAssembly can address. */
export function planMemory(engine: Engine, shape: MemoryShape): MemoryLayout {
  let offset = staticBytes;
  const take = (bytes: number): number => {
    const start = offset;
    offset += Math.ceil(bytes / 64) * 64;
    return start;
  };
  const eachRank = <T>(make: () => T): T[] => Array.from({ length: shape.groupSize }, make);
  const takeParameters = (): number => take(parameterCount * floatBytes);
  const takeStatistics = (): number[] => eachRank(() => take(2 * batchNormChannels * floatBytes));
  const takeSet = (): SharedState => ({
    parameters: takeParameters(),
    firstMoments: takeParameters(),
    secondMoments: takeParameters(),
    runningStatistics: takeStatistics(),
    betaPowers: take(2 * 8),
    average: shape.averages === true ? { parameters: takeParameters(), runningStatistics: takeStatistics() } : null,
  });
  const takeSplit = (count: number): SplitBinding => ({
    images: take(count * imagePixels),
    labels: take(count),
    count,
  });
  const evaluated = shape.testCount + (shape.validationCount ?? 0);
  const workspaceBytes = engine.workspaceBytes({ ...shape, rows: shape.shardRows });
  const layout = {
    shape,
    control: take(controlWords(shape.groupSize) * 4),
    sets: [takeSet(), takeSet()] as const,
    gradients: takeParameters(),
    prepared: take(engine.preparedBytes),
    accumulators: eachRank(() =>
      Array.from({ length: shape.subtrees }, () => take(engine.accumulatorLength * floatBytes)),
    ),
    accumulatorLength: engine.accumulatorLength,
    workspaces: eachRank(() => take(workspaceBytes)),
    statistics: take(2 * shape.groupSize * shape.subtrees * statisticsLength * 8),
    losses: take(shape.groupSize * shape.subtrees * 8),
    stepLosses: take(lossSlots * 8),
    permutation: take(shape.trainCount * 4),
    transforms: shape.augments === true ? eachRank(() => take(shape.shardRows * transformLength * floatBytes)) : null,
    train: takeSplit(shape.trainCount),
    test: takeSplit(evaluated),
    evaluationStatistics: take(2 * batchNormChannels * floatBytes),
    probabilities: take(evaluated * classes * floatBytes),
    job: shape.job === undefined ? null : takeJob(engine, shape, shape.job, take),
  };
  const bytes = Math.ceil(offset / pageBytes) * pageBytes;
  if (bytes > maxBytes) throw memoryExceeded(bytes, shape);
  return { ...layout, bytes };
}

function takeJob(engine: Engine, shape: MemoryShape, job: JobShape, take: (bytes: number) => number): JobLayout {
  const chunks = Array.from({ length: job.processes }, (_, process) =>
    chunkOf(engine.accumulatorLength, { ...job, process }),
  );
  const largest = Math.max(...chunks.map(({ start, end }) => end - start));
  return {
    statistics: take(job.nodes * statisticsLength * 8),
    headers: take(job.processes * (1 + job.roots) * 8),
    received: take(job.nodes * largest * floatBytes),
    sum: take(engine.accumulatorLength * floatBytes),
  };
}

function memoryExceeded(bytes: number, shape: MemoryShape): OperationalError {
  const gib = (bytes / (1024 * mebibyte)).toFixed(1);
  const rows = counted(shape.shardRows, 'row');
  return new OperationalError(
    'MEMORY_EXCEEDED',
    `a shard of ${rows} on each of ${counted(shape.groupSize, 'worker')} needs ${gib} GiB, but WebAssembly memory ends at ` +
      '4 GiB: take a smaller batch, or a smaller data set',
  );
}

/** Allocates the memory of a layout: shared, at its final size. */
export function allocateMemory(layout: MemoryLayout): WebAssembly.Memory {
  const pages = layout.bytes / pageBytes;
  if (typeof WebAssembly === 'undefined') {
    const message = 'there is no WebAssembly here, as under --jitless: start Node without that, also in NODE_OPTIONS';
    throw new OperationalError('ENGINE_UNAVAILABLE', message);
  }
  try {
    return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  } catch (cause) {
    throw new OperationalError(
      'MEMORY_EXCEEDED',
      `there are no ${(layout.bytes / mebibyte).toFixed(0)} MiB of shared memory to be had: free some memory, or raise what this ` +
        'process may use, such as its address space (ulimit -v)',
      { cause },
    );
  }
}

/** What the replica of one rank is bound to. */
export function bindReplica(
  layout: MemoryLayout,
  config: Pick<TrainConfig, 'loss' | 'inputScale'>,
  memory: WebAssembly.Memory,
  module: WebAssembly.Module | null,
  libraries: readonly string[],
  rank: number,
  device: ComputeDevice | null = null,
): ReplicaBinding {
  const { shape } = layout;
  const set = (state: SharedState): StateSet => ({
    parameters: state.parameters,
    firstMoments: state.firstMoments,
    secondMoments: state.secondMoments,
    runningStatistics: at(state.runningStatistics, rank),
    average: state.average && {
      parameters: state.average.parameters,
      runningStatistics: at(state.average.runningStatistics, rank),
    },
  });
  return {
    memory,
    module,
    libraries,
    device,
    shape: { rows: shape.shardRows, microBatch: shape.microBatch },
    loss: config.loss,
    inputDivisor: inputDivisorOf(config),
    sets: [set(layout.sets[0]), set(layout.sets[1])],
    gradients: layout.gradients,
    prepared: layout.prepared,
    accumulators: at(layout.accumulators, rank),
    workspace: at(layout.workspaces, rank),
    train: layout.train,
    test: layout.test,
    evaluationStatistics: layout.evaluationStatistics,
    probabilities: layout.probabilities,
  };
}

function at<T>(list: readonly T[], rank: number): T {
  const value = list[rank];
  if (value === undefined) throw new Error(`rank ${String(rank)} has no place in this memory`);
  return value;
}

/**
 * One replica of any engine in a memory of its own, laid out as a coordinator would: for tests of an engine without
 * threads.
 */
import type { ComputeDevice } from '../../../src/shared/compute-device.js';
import { assert } from '../../../src/shared/errors.js';
import { staticBytes } from '../../../src/shared/group/memory.js';
import { parametersOf } from '../../../src/shared/engine.js';
import type {
  AdamScalars,
  Engine,
  Replica,
  ShardReport,
  StateSet,
  StatisticsExchange,
} from '../../../src/shared/engine.js';
import { transformLength } from '../../../src/shared/model/augmentation.js';
import type { Loss } from '../../../src/shared/model/config.js';
import { batchNormChannels, classes, imagePixels, parameterCount } from '../../../src/shared/model/network.js';
import { leafCount, mergesOfSubtrees, subtreesOf } from '../../../src/shared/sums/tree.js';
import type { LeafRange } from '../../../src/shared/sums/tree.js';
import { instantiateKernels } from '../../../src/worker/engines/wasm/kernels.js';
import { UnitWork } from '../../../src/worker/engines/wasm/unit-work.js';
import { scratchBytes } from '../../../src/worker/engines/wasm/workspace.js';
import type { Rows } from '../inputs/mnist.js';

export interface ReplicaOptions {
  /** Rows of the largest shard. */
  readonly rows: number;
  readonly microBatch: number;
  readonly train: Rows;
  readonly test?: Rows;
  /** Initial parameters of set 0, [parameterCount]. Moments are 0, running means 0 and running variances 1. */
  readonly parameters: ArrayLike<number>;
  /** The compiled kernels of an engine that has some. */
  readonly module?: WebAssembly.Module;
  /** What the engine imports, see `ReplicaBinding`. */
  readonly libraries?: readonly string[];
  /** Of an engine that computes on one. */
  readonly device?: ComputeDevice;
  readonly loss?: Loss;
  readonly inputDivisor?: number;
  /** Whether both sets have averages, which begin with what they are averages of. */
  readonly averages?: boolean;
}

export interface ShardOptions {
  /** Positions in `train`. */
  readonly rowNumbers: readonly number[];
  /** The shard's leaves in the global batch; the rows are the whole batch if left out. */
  readonly leaves?: LeafRange;
  readonly from?: 0 | 1;
  /** Of each row, [rows][transformLength]; none if left out. */
  readonly transforms?: Float32Array;
  readonly exchange: StatisticsExchange;
}

/** Arrays are live views of the replica's memory. */
export interface TestReplica {
  readonly engine: Engine;
  readonly replica: Replica;
  /** float32 [parameterCount] */
  parameters(set: 0 | 1): Float32Array;
  /** The averages of the parameters, float32 [parameterCount]. */
  averages(set: 0 | 1): Float32Array;
  /** float32 [2][448]: running mean, then running variance */
  runningStatistics(set: 0 | 1): Float32Array;
  /** Byte offsets, one a subtree. */
  readonly accumulators: readonly number[];
  /** float32 [accumulatorLength] of the k-th subtree */
  accumulator(k: number): Float32Array;
  /** float32 [parameterCount], as `finish` left it */
  readonly gradient: Float32Array;
  /** As `runningStatistics`, for `evaluate`; zeros at first. */
  readonly evaluationStatistics: Float32Array;
  /** float32 [test rows][classes] */
  readonly probabilities: Float32Array;
  /** Takes over what was written into a state set's weights, or its averages, for the next evaluation. */
  prepare(set: 0 | 1, averaged: boolean): void;
  /** forwardBackward from one set into the other. */
  run(options: ShardOptions): Promise<ShardReport>;
  /** Adds the subtrees of a whole batch up in accumulator 0, as the group does. */
  mergeSubtrees(leaves: number): void;
  /** `finish` of every unit on accumulator 0; whether all was finite. */
  finish(globalRows: number): boolean;
  /** `update` of every unit from one set into the other; whether all was finite. */
  update(from: 0 | 1, adam: AdamScalars): boolean;
}

export async function makeReplica(engine: Engine, options: ReplicaOptions): Promise<TestReplica> {
  const layout = layOut(engine, options);
  const { memory, sets, accumulators, gradients, rowNumbers, probabilities } = layout;
  const floats = (offset: number, length: number): Float32Array => new Float32Array(memory.buffer, offset, length);
  fill(memory, layout, options);
  const replica = await engine.createReplica({
    ...layout,
    module: options.module ?? null,
    libraries: options.libraries ?? [],
    device: options.device ?? null,
  });
  const units = engine.units.map((_, unit) => unit);
  if (replica.keepsState) replica.load(0);
  else for (const unit of units) replica.prepare(unit, 0);
  /** Of the last `finish`. */
  let divisor = 1;
  const accumulatorAt = (k: number): number => {
    const offset = accumulators[k];
    if (offset === undefined) throw new RangeError(`no accumulator ${String(k)}`);
    return offset;
  };
  return {
    engine,
    replica,
    accumulators,
    parameters: (set) => floats(sets[set].parameters, parameterCount),
    averages: (set) => floats(parametersOf(sets[set], true), parameterCount),
    runningStatistics: (set) => floats(sets[set].runningStatistics, 2 * batchNormChannels),
    accumulator: (k) => floats(accumulatorAt(k), engine.accumulatorLength),
    gradient: floats(gradients, parameterCount),
    evaluationStatistics: floats(layout.evaluationStatistics, 2 * batchNormChannels),
    probabilities: floats(probabilities, layout.test.count * classes),
    prepare(set, averaged) {
      if (!replica.keepsState) for (const unit of units) replica.prepare(unit, set, averaged);
      else {
        replica.load(set);
        if (averaged) replica.prepareAverage(set);
      }
    },
    run: async ({ rowNumbers: positions, leaves, from = 0, transforms, exchange }) => {
      const rows = positions.length;
      new Uint32Array(memory.buffer, rowNumbers, rows).set(positions);
      const range = leaves ?? { start: 0, end: leafCount(rows, options.microBatch) };
      const place = transforms === undefined ? null : layout.transforms;
      if (transforms !== undefined) floats(layout.transforms, transforms.length).set(transforms);
      const shard = { from, to: other(from), rowNumbers, rows, transforms: place, leaves: range };
      if (!replica.keepsState) return await replica.forwardBackward(shard, exchange);
      replica.load(from);
      replica.forwardBackward(shard, exchange);
      replica.keepLosses(0);
      replica.shareSums();
      replica.store(shard.to, false);
      return { losses: replica.losses(0) };
    },
    mergeSubtrees(leaves) {
      for (const { target, source } of mergesOfSubtrees(subtreesOf({ start: 0, end: leaves }))) {
        replica.add(accumulatorAt(target), accumulatorAt(source), engine.accumulatorLength);
      }
    },
    // No short circuit: every unit is to be finished.
    finish(globalRows) {
      divisor = globalRows;
      const work = replica.keepsState ? wasmWork(layout, options) : replica;
      return units.filter((unit) => !work.finish(unit, accumulatorAt(0), globalRows)).length === 0;
    },
    update(from, adam) {
      const to = other(from);
      if (!replica.keepsState) return units.filter((unit) => !replica.update(unit, from, to, adam)).length === 0;
      const sums = { nodes: [accumulatorAt(0)], merges: [] };
      replica.update(sums, { step: 0, from, to, globalRows: divisor, adam });
      replica.store(to, true);
      return replica.notFinite() === null;
    },
  };
}

/** What makes gradients of the accumulators of a device, which keeps its own to itself: they are laid out as the wasm engine's. */
function wasmWork(layout: ReturnType<typeof layOut>, { module }: ReplicaOptions): UnitWork {
  assert(module !== undefined, 'the wasm kernels');
  const binding = { ...layout, module, libraries: [], device: null };
  return new UnitWork(instantiateKernels(module, layout.memory), binding, layout.scratch);
}

/** Adam's scalars of step t = 1, 2, ..., with the workload's defaults. */
export function adamScalars(t: number): AdamScalars {
  const [beta1, beta2] = [0.9, 0.999];
  let [beta1Power, beta2Power] = [1, 1];
  for (let i = 0; i < t; i++) [beta1Power, beta2Power] = [beta1Power * beta1, beta2Power * beta2];
  return { learningRate: 1e-3, beta1, beta2, epsilon: 1e-8, beta1Power, beta2Power, averageDecay: null };
}

export function other(set: 0 | 1): 0 | 1 {
  return set === 0 ? 1 : 0;
}

function layOut(engine: Engine, options: ReplicaOptions) {
  const { rows, microBatch, train, test, loss = 'double-softmax', inputDivisor = 1, averages = false } = options;
  let bytes = 0;
  const take = (length: number): number => {
    const offset = bytes;
    bytes = Math.ceil((offset + length) / 64) * 64;
    return offset;
  };
  take(staticBytes);
  const shape = { rows, microBatch, hostFloat64: options.device?.float64 === false };
  const stateSet = (): StateSet => ({
    parameters: take(parameterCount * 4),
    firstMoments: take(parameterCount * 4),
    secondMoments: take(parameterCount * 4),
    runningStatistics: take(2 * batchNormChannels * 4),
    average: averages
      ? { parameters: take(parameterCount * 4), runningStatistics: take(2 * batchNormChannels * 4) }
      : null,
  });
  const split = (count: number) => ({ images: take(count * imagePixels), labels: take(count), count });
  const subtrees = 2 * Math.ceil(Math.log2(leafCount(rows, microBatch) + 1));
  const layout = {
    shape,
    loss,
    inputDivisor,
    sets: [stateSet(), stateSet()] as const,
    gradients: take(parameterCount * 4),
    prepared: take(engine.preparedBytes),
    accumulators: Array.from({ length: subtrees }, () => take(engine.accumulatorLength * 4)),
    workspace: take(engine.workspaceBytes(shape)),
    train: split(train.labels.length),
    test: split(test?.labels.length ?? 0),
    evaluationStatistics: take(2 * batchNormChannels * 4),
    probabilities: take((test?.labels.length ?? 0) * classes * 4),
    rowNumbers: take(rows * 4),
    transforms: take(rows * transformLength * 4),
    scratch: take(scratchBytes),
  };
  const pages = Math.ceil(bytes / 65536);
  return { ...layout, memory: new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true }) };
}

function fill(memory: WebAssembly.Memory, layout: ReturnType<typeof layOut>, options: ReplicaOptions): void {
  const bytes = new Uint8Array(memory.buffer);
  bytes.set(options.train.images, layout.train.images);
  bytes.set(options.train.labels, layout.train.labels);
  if (options.test !== undefined) {
    bytes.set(options.test.images, layout.test.images);
    bytes.set(options.test.labels, layout.test.labels);
  }
  const [first] = layout.sets;
  new Float32Array(memory.buffer, first.parameters, parameterCount).set(options.parameters);
  new Float32Array(memory.buffer, first.runningStatistics + batchNormChannels * 4, batchNormChannels).fill(1);
  if (first.average === null) return;
  new Float32Array(memory.buffer, first.average.parameters, parameterCount).set(options.parameters);
}

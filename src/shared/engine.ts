/**
 * The engine contract: what computes forward, backward and the optimiser's arithmetic on one device.
 *
 * An engine is not responsible for order across ranks: it sums over the leaves of its own shard only, as the tree says, and
 * hands the complete subtrees over. It does not know how many ranks there are, nor who reduces. Nothing above this file
 * knows which library computes.
 *
 * All tensors live in one shared `WebAssembly.Memory`; every offset below is in bytes from its start. The first 64 KiB belong
 * to the static data of an engine's module.
 */
import type { ComputeDevice, DeviceTime } from './compute-device.js';
import { assert } from './errors.js';
import type { Loss } from './model/config.js';
import type { LeafRange, Merge } from './sums/tree.js';

/** Engines on TensorFlow.js, by the package or backend that computes. */
export type TensorFlowName = 'tfjs-node-gpu' | 'tfjs-node' | 'tfjs-webgpu';
export type EngineName = 'wasm' | 'opencl' | 'reference' | TensorFlowName;

/** Bits of the vectors that kernels are compiled to: those of WebAssembly, or pairs of them. */
export type SimdBits = 128 | 256;

/** The WebAssembly modules of an engine: what both compute has the same bits. */
export interface KernelModules {
  /** File names under `dist/kernels`: for vectors of 128 bits, and for those of 256 that V8 makes of pairs. */
  readonly narrow: string;
  readonly wide: string;
  /** Of the functions that both export. */
  readonly names: readonly string[];
  /**
   * Runs every kernel of both compiled modules on the same data.
   * @returns the first kernel that gives other bits in the wide one; null where none does
   */
  firstDifference(narrow: WebAssembly.Module, wide: WebAssembly.Module): string | null;
}

export interface ParameterRange {
  /** Position in the flat array of all parameters (PyTorch's order and layout). */
  readonly offset: number;
  readonly length: number;
}

/**
 * The piece in which gradients are reduced and the optimiser runs: one rank owns a whole unit, so what one unit needs of
 * another does not exist. The units of an engine cover its accumulator and all parameters exactly once.
 */
export interface Unit {
  readonly name: string;
  /** The unit's part of the accumulator, in floats. */
  readonly accumulator: ParameterRange;
  /** The parameters whose gradient `finish` makes of it. */
  readonly parameters: readonly ParameterRange[];
}

export interface WorkspaceShape {
  /** Rows of the largest shard. */
  readonly rows: number;
  readonly microBatch: number;
  /** Whether the host takes what needs float64 for devices that have none; it does not by default. */
  readonly hostFloat64?: boolean;
}

/** What decides how much memory a replica has on its device. */
export interface DeviceShape extends WorkspaceShape {
  /** Of the largest shard. */
  readonly subtrees: number;
  /** Nodes of a `SumTree` at most, where some are not the replica's own; else 0. */
  readonly nodes: number;
  /** Whether the weights are averaged. */
  readonly averages: boolean;
  readonly trainCount: number;
  readonly testCount: number;
}

/** What an engine is, without a device: pure figures, from which the coordinator lays out memory before any thread starts. */
export interface Engine<Made extends Replica = Replica> {
  readonly name: EngineName;
  /** Whether its sums follow the tree to the bit, on every machine. */
  readonly exact: boolean;
  /** Null for an engine without WebAssembly modules. */
  readonly kernels: KernelModules | null;
  readonly units: readonly Unit[];
  /** Floats of one accumulator: the sum of one subtree's gradients in the engine's own layout. */
  readonly accumulatorLength: number;
  /** Bytes shared by all ranks for what the engine derives from the parameters (transformed weights), for one state set. */
  readonly preparedBytes: number;
  /** Bytes of one rank's private workspace. */
  workspaceBytes(shape: WorkspaceShape): number;
  /** Of an engine whose replicas compute on devices: bytes that one of them has there, in all and in its largest buffer. */
  deviceBytes?(shape: DeviceShape): { readonly total: number; readonly largest: number };
  createReplica(binding: ReplicaBinding): Made | Promise<Made>;
}

/** One of the two state sets: float32 arrays in PyTorch's order. A step reads one set and writes the other. */
export interface StateSet {
  readonly parameters: number;
  readonly firstMoments: number;
  readonly secondMoments: number;
  /** Running mean, then running (unbiased) variance, over all batch-norm channels, as this rank sees them. */
  readonly runningStatistics: number;
  /** The averages of parameters and running statistics; null where none are taken. */
  readonly average: { readonly parameters: number; readonly runningStatistics: number } | null;
}

/** Where the parameters of a state set, or their averages, are. */
export function parametersOf({ parameters, average }: StateSet, averaged: boolean): number {
  if (!averaged) return parameters;
  assert(average !== null, 'averages are taken');
  return average.parameters;
}

export interface SplitBinding {
  /** uint8 [count][784] */
  readonly images: number;
  /** uint8 [count] */
  readonly labels: number;
  readonly count: number;
}

/** Where a replica finds everything. The coordinator owns the memory; the replica owns its workspace alone. */
export interface ReplicaBinding {
  readonly memory: WebAssembly.Memory;
  readonly module: WebAssembly.Module | null;
  /**
   * File URLs of the modules that the engine imports on its thread, in the order in which it imports them; [] for an engine
   * that needs none. The main thread finds them: an engine knows no folders.
   */
  readonly libraries: readonly string[];
  /** What to compute on besides the processor; null for an engine that computes there, or finds its device itself. */
  readonly device: ComputeDevice | null;
  readonly shape: WorkspaceShape;
  /** What rows are trained by. */
  readonly loss: Loss;
  /**
   * What pixels are divided by within the network, which is done to conv1's weights where they are used, and to the gradient of
   * what was used: they are the same numbers, and a network of the weights so divided is one of plain pixels.
   */
  readonly inputDivisor: number;
  readonly sets: readonly [StateSet, StateSet];
  /** float32 [parameterCount], the mean gradient in PyTorch's layout; each unit is written by its owner. */
  readonly gradients: number;
  readonly prepared: number;
  /** This rank's accumulators, one for each subtree of its largest shard. */
  readonly accumulators: readonly number[];
  readonly workspace: number;
  readonly train: SplitBinding;
  readonly test: SplitBinding;
  /** The running statistics that evaluation uses, laid out as in a state set; the coordinator fills them before. */
  readonly evaluationStatistics: number;
  /** float32 [test.count][classes]: the softmax of each evaluated row. */
  readonly probabilities: number;
}

/** One shard of one global batch. */
export interface Shard {
  /** State set that is read (parameters) and the one that is written (running statistics). */
  readonly from: 0 | 1;
  readonly to: 0 | 1;
  /** Byte offset of this shard's row numbers: uint32 [rows], positions in the training split. */
  readonly rowNumbers: number;
  readonly rows: number;
  /** Byte offset of what is done to their images, float32 [rows][transformLength], see augmentation.ts; null for nothing. */
  readonly transforms: number | null;
  /** The shard's leaves in the global batch. */
  readonly leaves: LeafRange;
}

export interface ShardReport {
  /** Sum of the loss over the rows of each subtree of the shard, float64; see `UnitReplica.forwardBackward`. */
  readonly losses: readonly number[];
}

/**
 * Who sums a batch norm's statistics, and over what: the shard (`local`) or the global batch (`sync`).
 * The engine calls it once for each batch norm forward and once backward, in the network's order.
 */
export interface StatisticsExchange {
  /** Rows that the sums it returns are taken over. */
  readonly rows: number;
  /** Whether these are the shard's alone: an engine may then take the tree over its leaves itself, by `mergesOfRun`. */
  readonly withinShard: boolean;
  /**
   * @param leaves float64 [leaves of the shard][length], the sums of each micro-batch, in order; overwritten
   * @param total receives float64 [length]
   */
  reduce(leaves: Float64Array, length: number, total: Float64Array): void;
}

/** Scalars of one step, all float64: of Adam (Kingma and Ba 2015), and of the average of the weights. */
export interface AdamScalars {
  readonly learningRate: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  /** beta^t of this step, by repeated multiplication. */
  readonly beta1Power: number;
  readonly beta2Power: number;
  /** What the average keeps of itself; null where none is taken. */
  readonly averageDecay: number | null;
}

/** What every replica does: an engine bound to one device and one rank. Called from that rank's thread only. */
interface AnyReplica {
  /** float32 [length] at `target` += float32 [length] at `source`. */
  add(target: number, source: number, length: number): void;
  /**
   * Test rows [start, end) in evaluation mode, by the `evaluationStatistics`: fills their `probabilities`. A promise is awaited
   * before the next call.
   * @param averaged whether by the averages of that state set; what was prepared last must be that, too
   */
  evaluate(start: number, end: number, set: 0 | 1, averaged?: boolean): void | Promise<void>;
  /** What the device ran since the last call, where `ComputeDevice.profiling` asks for it; called between commands. */
  takeTimes?(): readonly DeviceTime[];
  /** Gives back what the replica has on its device; nothing is called afterwards. */
  release?(): void;
}

/** A replica that computes on the state in shared memory, of which each rank updates its own units. */
export interface UnitReplica extends AnyReplica {
  readonly keepsState: false;
  /** Derives what the engine needs from the parameters of a unit in that state set, or from their averages. */
  prepare(unit: number, set: 0 | 1, averaged?: boolean): void;
  /**
   * Forward and backward over a shard in training mode. Leaves the sums of its subtrees in the rank's accumulators and the
   * updated running statistics in set `to`. A shard without rows makes exchanges only. A promise is awaited before the next call.
   *
   * An engine that is not exact may take its shard as one micro-batch: the sum over the whole shard, of gradients and of the
   * loss, then stands in the place of the first subtree and zeros in those of the others. The exchange is given the sums of
   * each micro-batch all the same.
   */
  forwardBackward(shard: Shard, exchange: StatisticsExchange): ShardReport | Promise<ShardReport>;
  /**
   * Turns the whole tree's sum of a unit into its mean gradient in PyTorch's layout.
   * @param accumulator byte offset of an accumulator that holds the finished sum at the unit's place
   * @returns whether every value is finite
   */
  finish(unit: number, accumulator: number, globalRows: number): boolean;
  /**
   * Adam on the unit's parameters from set `from` into set `to`, and into their averages where there are some, then `prepare` on
   * the result. Returns whether all is finite.
   */
  update(unit: number, from: 0 | 1, to: 0 | 1, adam: AdamScalars): boolean;
}

/**
 * A replica that keeps both state sets on its device, where every device of a group takes the whole step for itself, all alike to
 * the bit. What it is asked for it may do later, in that order; what says that it waits has done all that came before.
 */
export interface DeviceReplica extends AnyReplica {
  readonly keepsState: true;
  /** Makes a state set on the device what it is in shared memory, and goes on from there. */
  load(set: 0 | 1): void;
  /** Derives what evaluation needs from the averages of a state set on the device; `load` makes it fit for training again. */
  prepareAverage(set: 0 | 1): void;
  /** As that of `UnitReplica`, but what it makes stays on the device. */
  forwardBackward(shard: Shard, exchange: StatisticsExchange): void;
  /** Brings the sums of the last shard's subtrees into the rank's accumulators. Waits. */
  shareSums(): void;
  /** Finishes the tree, and takes the Adam step on all parameters. Waits until others may overwrite the sums that it was given. */
  update(sums: SumTree, step: DeviceStep): void;
  /** Brings the losses of the last shard, which is that of `step`, to the host, where those of three steps are kept. Waits for nothing. */
  keepLosses(step: number): void;
  /** Sums of the loss as in `ShardReport`, of a shard whose losses were kept, and arrived before a call that waits. */
  losses(step: number): readonly number[];
  /**
   * Brings a state set back to shared memory. Waits.
   * @param all the whole of it, or the running statistics alone, which are this rank's
   */
  store(set: 0 | 1, all: boolean): void;
  /** What was not finite first since `load`; steps from that one on have changed nothing, but for set `to` of it. Waits. */
  notFinite(): NotFinite | null;
}

export type Replica = UnitReplica | DeviceReplica;

/** The sums of a batch's subtrees, left to right, and the additions that finish the tree; its sum ends in node 0. */
export interface SumTree {
  /** Byte offsets of accumulators; null for those of the replica's own last shard, which are on its device, in their order. */
  readonly nodes: readonly (number | null)[];
  readonly merges: readonly Merge[];
}

/** One Adam step of a device. */
export interface DeviceStep {
  /** Counted from 0. */
  readonly step: number;
  readonly from: 0 | 1;
  readonly to: 0 | 1;
  readonly globalRows: number;
  readonly adam: AdamScalars;
}

export interface NotFinite {
  readonly unit: number;
  /** Counted from 0: the state before it is in the set that it read. */
  readonly step: number;
}

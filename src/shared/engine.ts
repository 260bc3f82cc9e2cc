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
import type { LeafRange } from './sums/tree.js';

/** Engines on TensorFlow.js, by the package or backend that computes. */
export type TensorFlowName = 'tfjs-node-gpu' | 'tfjs-node' | 'tfjs-webgpu';
export type EngineName = 'wasm' | 'reference' | TensorFlowName;

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
}

/** What an engine is, without a device: pure figures, from which the coordinator lays out memory before any thread starts. */
export interface Engine {
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
  createReplica(binding: ReplicaBinding): Replica | Promise<Replica>;
}

/** One of the two state sets: float32 arrays in PyTorch's order. A step reads one set and writes the other. */
export interface StateSet {
  readonly parameters: number;
  readonly firstMoments: number;
  readonly secondMoments: number;
  /** Running mean, then running (unbiased) variance, over all batch-norm channels, as this rank sees them. */
  readonly runningStatistics: number;
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
  readonly shape: WorkspaceShape;
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
  /** The shard's leaves in the global batch. */
  readonly leaves: LeafRange;
}

export interface ShardReport {
  /** Sum of the loss over the rows of each subtree of the shard, float64; see `Replica.forwardBackward`. */
  readonly losses: readonly number[];
}

/**
 * Who sums a batch norm's statistics, and over what: the shard (`local`) or the global batch (`sync`).
 * The engine calls it once for each batch norm forward and once backward, in the network's order.
 */
export interface StatisticsExchange {
  /** Rows that the sums it returns are taken over. */
  readonly rows: number;
  /**
   * @param leaves float64 [leaves of the shard][length], the sums of each micro-batch, in order; overwritten
   * @param total receives float64 [length]
   */
  reduce(leaves: Float64Array, length: number, total: Float64Array): void;
}

/** Scalars of one Adam step (Kingma and Ba 2015), all float64. */
export interface AdamScalars {
  readonly learningRate: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  /** beta^t of this step, by repeated multiplication. */
  readonly beta1Power: number;
  readonly beta2Power: number;
}

/** An engine bound to one device and one rank. Called from that rank's thread only; a promise is awaited before the next call. */
export interface Replica {
  /** float32 [length] at `target` += float32 [length] at `source`. */
  add(target: number, source: number, length: number): void;
  /** Derives what the engine needs from the parameters of a unit in that state set. */
  prepare(unit: number, set: 0 | 1): void;
  /**
   * Forward and backward over a shard in training mode. Leaves the sums of its subtrees in the rank's accumulators and the
   * updated running statistics in set `to`. A shard without rows makes exchanges only.
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
  /** Adam on the unit's parameters from set `from` into set `to`, then `prepare` on the result. Returns whether all is finite. */
  update(unit: number, from: 0 | 1, to: 0 | 1, adam: AdamScalars): boolean;
  /** Test rows [start, end) in evaluation mode, by the `evaluationStatistics`: fills their `probabilities`. */
  evaluate(start: number, end: number, set: 0 | 1): void | Promise<void>;
}

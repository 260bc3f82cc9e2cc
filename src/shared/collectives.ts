/**
 * What the ranks of a group do together, over shared memory: the only file that assumes that one rank can reach another's
 * arrays. Every sum follows the tree (tree.ts), so its result does not depend on the number of ranks.
 *
 * Reduce-scatter: after a barrier, each rank adds up its own units of all ranks' accumulators, in place. For A floats and W
 * ranks with one subtree each, a rank reads A and writes A (W - 1) / W floats; nothing is gathered, since all ranks share one
 * copy of the parameters.
 */
import type { Control } from './control.js';
import type { Replica, StatisticsExchange, Unit } from './engine.js';
import { statisticsLength, type MemoryLayout } from './memory.js';
import {
  alone,
  mergesOfLeaves,
  mergesOfSubtrees,
  mergesWithin,
  sharesOf,
  shardWithin,
  subtreesOf,
  type LeafRange,
  type Merge,
  type Place,
  type Subtree,
} from './tree.js';

const floatBytes = 4;

/** How one batch is spread over the ranks; computed once for each batch size. */
export interface BatchPlan {
  readonly rows: number;
  readonly leaves: number;
  readonly shard: LeafRange;
  /** The additions that finish the tree over `subtrees`; the sum ends in subtree 0. Of several processes: to `job.roots`. */
  readonly merges: readonly Merge[];
  /** All ranks' subtrees from left to right. */
  readonly subtrees: readonly PlacedSubtree[];
  /** Position in `subtrees` of this rank's first. */
  readonly firstOwn: number;
  /** How the tree goes on over the other processes; null where there are none. */
  readonly job: JobPlan | null;
}

export interface JobPlan extends Place {
  /** Positions in `subtrees` where this process's complete subtrees are summed. */
  readonly roots: readonly number[];
  /** All processes' complete subtrees from left to right; `position` counts within the process. */
  readonly nodes: readonly (Subtree & { readonly process: number; readonly position: number })[];
  /** Position in `nodes` of this process's first. */
  readonly firstOwn: number;
  /** The additions that finish the tree over `nodes`; the sum ends in node 0. */
  readonly merges: readonly Merge[];
}

export interface PlacedSubtree extends Subtree {
  readonly rank: number;
  /** Which of that rank's accumulators holds it. */
  readonly position: number;
}

export function planBatch(
  rows: number,
  leaves: number,
  rank: number,
  worldSize: number,
  place: Place = alone,
): BatchPlan {
  const shares = sharesOf(leaves, place.processes);
  const share = shares[place.process] ?? { start: 0, end: 0 };
  const subtrees: PlacedSubtree[] = [];
  let firstOwn = 0;
  for (let other = 0; other < worldSize; other++) {
    if (other === rank) firstOwn = subtrees.length;
    subtreesOf(shardWithin(share, other, worldSize)).forEach((subtree, position) => {
      subtrees.push({ ...subtree, rank: other, position });
    });
  }
  const { merges, roots } = mergesWithin(subtrees);
  const shard = shardWithin(share, rank, worldSize);
  const job = place.processes === 1 ? null : planJob(shares, roots, place);
  return { rows, leaves, shard, subtrees, merges: job === null ? mergesOfSubtrees(subtrees) : merges, firstOwn, job };
}

function planJob(shares: readonly LeafRange[], roots: readonly number[], place: Place): JobPlan {
  const nodes = shares.flatMap((share, process) =>
    subtreesOf(share).map((subtree, position) => ({ ...subtree, process, position })),
  );
  const firstOwn = nodes.findIndex(({ process }) => process === place.process);
  return { ...place, roots, nodes, firstOwn, merges: mergesOfSubtrees(nodes) };
}

/** What updating a unit costs, in floats: its accumulator and its parameters, which are read and written. */
export function workOf({ accumulator, parameters }: Unit): number {
  return parameters.reduce((sum, range) => sum + range.length, accumulator.length);
}

/** The units that each rank owns: consecutive, with as equal work as whole units allow. */
export function ownedUnits(units: readonly Unit[], rank: number, worldSize: number): number[] {
  const work = units.map(workOf);
  const total = work.reduce((sum, value) => sum + value, 0);
  const owned: number[] = [];
  let before = 0;
  work.forEach((value, index) => {
    const middle = before + value / 2;
    if (Math.min(worldSize - 1, Math.floor((middle * worldSize) / total)) === rank) owned.push(index);
    before += value;
  });
  return owned;
}

/** Byte offset of the accumulator of a subtree, by its position in the plan. */
export function accumulatorOf(layout: MemoryLayout, plan: BatchPlan, index: number): number {
  const subtree = plan.subtrees[index];
  const offset = subtree === undefined ? undefined : layout.accumulators[subtree.rank]?.[subtree.position];
  if (offset === undefined) throw new Error('a batch without rows');
  return offset;
}

/** Carries out the plan's merges for one unit, in place. */
export function reduceUnit(layout: MemoryLayout, plan: BatchPlan, replica: Pick<Replica, 'add'>, unit: Unit): void {
  const { offset, length } = unit.accumulator;
  for (const { target, source } of plan.merges) {
    const [to, from] = [accumulatorOf(layout, plan, target), accumulatorOf(layout, plan, source)];
    replica.add(to + offset * floatBytes, from + offset * floatBytes, length);
  }
}

/**
 * Carries out the plan's merges for the loss.
 * @param losses as in `MemoryLayout.losses`
 * @returns sums by subtree, of which the first is the whole batch's; of several processes, those of `job.roots` count
 */
export function mergedLosses(losses: Float64Array, layout: MemoryLayout, plan: BatchPlan): number[] {
  const { subtrees } = layout.shape;
  const sums = plan.subtrees.map(({ rank, position }) => losses[rank * subtrees + position] ?? NaN);
  for (const { target, source } of plan.merges) sums[target] = (sums[target] ?? NaN) + (sums[source] ?? NaN);
  return sums;
}

/** How a statistics exchange goes on over the other processes of a job; see job-collectives.ts. */
export interface StatisticsOverJob {
  /** Between barriers: the process's sums, by subtree in `slots` from `base` on, for all processes to read. Overwrites them. */
  exchangeStatistics(slots: Float64Array, base: number, length: number, plan: BatchPlan): void;
  /** The tree over all processes' sums. */
  sumStatistics(length: number, plan: BatchPlan, total: Float64Array): void;
}

/** Batch-norm statistics over the whole global batch: the tree over all ranks, finished by each rank for itself. */
export class GroupExchange implements StatisticsExchange {
  rows = 0;
  readonly #control: Control;
  readonly #rank: number;
  readonly #slots: Float64Array;
  readonly #half: number;
  #plan: BatchPlan | null = null;
  #merges: readonly Merge[] = [];
  /** Two sets of slots in turn: a rank writes one while a slower one may still read the other. */
  #turn = 0;
  readonly #job: StatisticsOverJob | null;
  /** Called before and after each wait, for the time that it takes. */
  onWait: (waiting: boolean) => void = () => undefined;

  constructor(
    buffer: ArrayBufferLike,
    layout: MemoryLayout,
    control: Control,
    rank: number,
    job: StatisticsOverJob | null = null,
  ) {
    const { worldSize, subtrees } = layout.shape;
    this.#half = worldSize * subtrees * statisticsLength;
    this.#slots = new Float64Array(buffer, layout.statistics, 2 * this.#half);
    this.#control = control;
    this.#rank = rank;
    this.#job = job;
  }

  start(plan: BatchPlan): void {
    if (plan !== this.#plan) this.#merges = mergesOfLeaves(plan.shard);
    this.#plan = plan;
    this.rows = plan.rows;
  }

  reduce(leaves: Float64Array, length: number, total: Float64Array): void {
    const plan = this.#plan;
    if (plan === null) throw new Error('an exchange outside of a batch');
    mergeRows(leaves, length, this.#merges);
    const base = this.#turn * this.#half;
    this.#turn = 1 - this.#turn;
    const { shard, subtrees, firstOwn } = plan;
    for (let i = firstOwn; i < subtrees.length && subtrees[i]?.rank === this.#rank; i++) {
      const from = ((subtrees[i]?.start ?? 0) - shard.start) * length;
      copyRow(leaves, from, this.#slots, base + i * statisticsLength, length);
    }
    this.onWait(true);
    this.#control.barrier(this.#rank);
    this.#job?.exchangeStatistics(this.#slots, base, length, plan);
    this.onWait(false);
    // Other ranks still read the slots, so the tree is finished beside them.
    if (this.#job !== null) this.#job.sumStatistics(length, plan, total);
    else sumTree(this.#slots, base, statisticsLength, length, subtrees.length, plan.merges, total);
  }
}

/** Batch-norm statistics over the rank's own shard. */
export class LocalExchange implements StatisticsExchange {
  rows = 0;
  #plan: BatchPlan | null = null;
  #merges: readonly Merge[] = [];
  #finish: readonly Merge[] = [];
  #starts: readonly number[] = [];

  start(plan: BatchPlan, rows: number): void {
    if (plan === this.#plan) return;
    this.#plan = plan;
    this.rows = rows;
    this.#merges = mergesOfLeaves(plan.shard);
    const subtrees = subtreesOf(plan.shard);
    this.#finish = mergesOfSubtrees(subtrees);
    this.#starts = subtrees.map((subtree) => subtree.start - plan.shard.start);
  }

  reduce(leaves: Float64Array, length: number, total: Float64Array): void {
    mergeRows(leaves, length, this.#merges);
    for (const { target, source } of this.#finish) {
      addRow(leaves, (this.#starts[target] ?? 0) * length, (this.#starts[source] ?? 0) * length, length);
    }
    copyRow(leaves, 0, total, 0, length);
  }
}

function mergeRows(rows: Float64Array, length: number, merges: readonly Merge[]): void {
  for (const { target, source } of merges) addRow(rows, target * length, source * length, length);
}

export function addRow(rows: Float64Array, to: number, from: number, length: number): void {
  for (let i = 0; i < length; i++) rows[to + i] = (rows[to + i] ?? 0) + (rows[from + i] ?? 0);
}

export function copyRow(source: Float64Array, from: number, target: Float64Array, to: number, length: number): void {
  for (let i = 0; i < length; i++) target[to + i] = source[from + i] ?? 0;
}

const column: number[] = [];

/** total[j] = the tree over `count` rows, `stride` apart from `base` on, at column j; the rows are only read. */
export function sumTree(
  rows: Float64Array,
  base: number,
  stride: number,
  length: number,
  count: number,
  merges: readonly Merge[],
  total: Float64Array,
): void {
  for (let j = 0; j < length; j++) {
    for (let i = 0; i < count; i++) column[i] = rows[base + i * stride + j] ?? 0;
    for (const { target, source } of merges) column[target] = (column[target] ?? 0) + (column[source] ?? 0);
    total[j] = column[0] ?? 0;
  }
}

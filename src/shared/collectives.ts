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
  mergesOfLeaves,
  mergesOfSubtrees,
  shardOf,
  subtreesOf,
  type LeafRange,
  type Merge,
  type Subtree,
} from './tree.js';

const floatBytes = 4;

/** How one batch is spread over the ranks; computed once for each batch size. */
export interface BatchPlan {
  readonly rows: number;
  readonly leaves: number;
  readonly shard: LeafRange;
  /** The additions that finish the tree over `subtrees`; the sum ends in subtree 0. */
  readonly merges: readonly Merge[];
  /** All ranks' subtrees from left to right. */
  readonly subtrees: readonly PlacedSubtree[];
  /** Position in `subtrees` of this rank's first. */
  readonly firstOwn: number;
}

export interface PlacedSubtree extends Subtree {
  readonly rank: number;
  /** Which of that rank's accumulators holds it. */
  readonly position: number;
}

export function planBatch(rows: number, leaves: number, rank: number, worldSize: number): BatchPlan {
  const subtrees: PlacedSubtree[] = [];
  let firstOwn = 0;
  for (let other = 0; other < worldSize; other++) {
    if (other === rank) firstOwn = subtrees.length;
    subtreesOf(shardOf(leaves, other, worldSize)).forEach((subtree, position) => {
      subtrees.push({ ...subtree, rank: other, position });
    });
  }
  return {
    rows,
    leaves,
    shard: shardOf(leaves, rank, worldSize),
    subtrees,
    merges: mergesOfSubtrees(subtrees),
    firstOwn,
  };
}

/** The units that each rank owns: consecutive, with shares of the accumulator as equal as whole units allow. */
export function ownedUnits(units: readonly Unit[], rank: number, worldSize: number): number[] {
  const total = units.reduce((sum, unit) => sum + unit.accumulator.length, 0);
  const owned: number[] = [];
  let before = 0;
  units.forEach((unit, index) => {
    const middle = before + unit.accumulator.length / 2;
    if (Math.min(worldSize - 1, Math.floor((middle * worldSize) / total)) === rank) owned.push(index);
    before += unit.accumulator.length;
  });
  return owned;
}

/** Finishes the tree for one unit, in place. Returns the byte offset of the accumulator that holds the sum. */
export function reduceUnit(layout: MemoryLayout, plan: BatchPlan, replica: Replica, unit: Unit): number {
  const accumulator = (index: number): number => {
    const subtree = plan.subtrees[index];
    const offset = subtree === undefined ? undefined : layout.accumulators[subtree.rank]?.[subtree.position];
    if (offset === undefined) throw new Error('a batch without rows');
    return offset;
  };
  const { offset, length } = unit.accumulator;
  for (const { target, source } of plan.merges) {
    replica.add(accumulator(target) + offset * floatBytes, accumulator(source) + offset * floatBytes, length);
  }
  return accumulator(0);
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
  /** Called before and after each wait, for the time that it takes. */
  onWait: (waiting: boolean) => void = () => undefined;

  constructor(buffer: ArrayBufferLike, layout: MemoryLayout, control: Control, rank: number) {
    const { worldSize, subtrees } = layout.shape;
    this.#half = worldSize * subtrees * statisticsLength;
    this.#slots = new Float64Array(buffer, layout.statistics, 2 * this.#half);
    this.#control = control;
    this.#rank = rank;
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
    this.onWait(false);
    // Other ranks still read the slots, so the tree is finished beside them.
    sumTree(this.#slots, base, length, subtrees.length, plan.merges, total);
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

function addRow(rows: Float64Array, to: number, from: number, length: number): void {
  for (let i = 0; i < length; i++) rows[to + i] = (rows[to + i] ?? 0) + (rows[from + i] ?? 0);
}

function copyRow(source: Float64Array, from: number, target: Float64Array, to: number, length: number): void {
  for (let i = 0; i < length; i++) target[to + i] = source[from + i] ?? 0;
}

const column: number[] = [];

/** total[j] = the tree over `count` rows of `slots` at column j; the slots are only read. */
function sumTree(
  slots: Float64Array,
  base: number,
  length: number,
  count: number,
  merges: readonly Merge[],
  total: Float64Array,
): void {
  for (let j = 0; j < length; j++) {
    for (let i = 0; i < count; i++) column[i] = slots[base + i * statisticsLength + j] ?? 0;
    for (const { target, source } of merges) column[target] = (column[target] ?? 0) + (column[source] ?? 0);
    total[j] = column[0] ?? 0;
  }
}

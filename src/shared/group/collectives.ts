/**
 * What the ranks of a group do together, over shared memory: the only file that assumes that one rank can reach another's
 * arrays. Every sum follows the tree (tree.ts), so its result does not depend on the number of ranks.
 *
 * Reduce-scatter: after a barrier, each rank adds up its own units of all ranks' accumulators, in place. For A floats and W
 * ranks with one subtree each, a rank reads A and writes A (W - 1) / W floats; nothing is gathered, since all ranks share one
 * copy of the parameters.
 */
import { at } from '../errors.js';
import type { BatchPlan } from '../sums/batch-plan.js';
import type { Control } from './control.js';
import type { Replica, StatisticsExchange, Unit } from '../engine.js';
import { statisticsLength, type MemoryLayout } from './memory.js';
import { copyRow, mergeRows, sumTree } from '../sums/rows.js';
import { mergesOfLeaves, mergesOfRun, type Merge } from '../sums/tree.js';

const floatBytes = 4;

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
 * @param sums receives sums by subtree, of which the first is the whole batch's; of several processes, those of `job.roots` count
 */
export function mergeLosses(losses: Float64Array, layout: MemoryLayout, plan: BatchPlan, sums: Float64Array): void {
  let i = 0;
  for (const { rank, position } of plan.subtrees) sums[i++] = losses[rank * layout.shape.subtrees + position] ?? NaN;
  mergeRows(sums, 1, plan.merges);
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
  readonly withinShard: boolean;
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
    const { groupSize, subtrees } = layout.shape;
    this.withinShard = groupSize === 1 && job === null;
    this.#half = groupSize * subtrees * statisticsLength;
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
      const from = (at(subtrees, i).start - shard.start) * length;
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
  readonly withinShard = true;
  #plan: BatchPlan | null = null;
  #merges: readonly Merge[] = [];

  start(plan: BatchPlan, rows: number): void {
    if (plan === this.#plan) return;
    this.#plan = plan;
    this.rows = rows;
    this.#merges = mergesOfRun(plan.shard);
  }

  reduce(leaves: Float64Array, length: number, total: Float64Array): void {
    mergeRows(leaves, length, this.#merges);
    copyRow(leaves, 0, total, 0, length);
  }
}

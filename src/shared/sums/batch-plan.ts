/** How a batch is spread over the ranks of all processes, and which of them updates what: functions of sizes alone. */
import type { Unit } from '../engine.js';
import {
  alone,
  mergesOfSubtrees,
  mergesWithin,
  sharesOf,
  shardWithin,
  subtreesOf,
  type LeafRange,
  type Merge,
  type JobPosition,
  type Subtree,
} from './tree.js';

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

export interface JobPlan extends JobPosition {
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
  groupSize: number,
  own: JobPosition = alone,
): BatchPlan {
  const shares = sharesOf(leaves, own.processes);
  const share = shares[own.process] ?? { start: 0, end: 0 };
  const subtrees: PlacedSubtree[] = [];
  let firstOwn = 0;
  for (let other = 0; other < groupSize; other++) {
    if (other === rank) firstOwn = subtrees.length;
    subtreesOf(shardWithin(share, other, groupSize)).forEach((subtree, position) => {
      subtrees.push({ ...subtree, rank: other, position });
    });
  }
  const { merges, roots } = mergesWithin(subtrees);
  const shard = shardWithin(share, rank, groupSize);
  const job = own.processes === 1 ? null : planJob(shares, roots, own);
  return { rows, leaves, shard, subtrees, merges: job === null ? mergesOfSubtrees(subtrees) : merges, firstOwn, job };
}

function planJob(shares: readonly LeafRange[], roots: readonly number[], own: JobPosition): JobPlan {
  const nodes = shares.flatMap((share, process) =>
    subtreesOf(share).map((subtree, position) => ({ ...subtree, process, position })),
  );
  const firstOwn = nodes.findIndex(({ process }) => process === own.process);
  return { ...own, roots, nodes, firstOwn, merges: mergesOfSubtrees(nodes) };
}

/** What updating a unit costs, in floats: its accumulator and its parameters, which are read and written. */
export function workOf({ accumulator, parameters }: Unit): number {
  return parameters.reduce((sum, range) => sum + range.length, accumulator.length);
}

/** The units that each rank owns: consecutive, with as equal work as whole units allow. */
export function ownedUnits(units: readonly Unit[], rank: number, groupSize: number): number[] {
  const work = units.map(workOf);
  const total = work.reduce((sum, value) => sum + value, 0);
  const owned: number[] = [];
  let before = 0;
  work.forEach((value, index) => {
    const middle = before + value / 2;
    if (Math.min(groupSize - 1, Math.floor((middle * groupSize) / total)) === rank) owned.push(index);
    before += value;
  });
  return owned;
}

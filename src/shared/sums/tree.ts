/**
 * The one order in which anything is summed over a batch.
 *
 * A batch is cut into micro-batches ("leaves"). Over m leaves stands a binary tree that depends on m alone: a node of n > 1
 * leaves splits at the largest power of two below n. Floating-point addition is not associative, so a sum is reproducible
 * only if its tree is: every rank sums the complete subtrees that lie in its shard, and the group finishes the rest, so the
 * tree, and with it every bit, is the same for any number of ranks.
 *
 * Such a tree is a binary counter: an aligned run of 2^k leaves is always a node. Pushing leaves from left to right and
 * merging the two topmost nodes while they are siblings builds it; what is left over at the end is folded from the right.
 */
import { assert } from '../errors.js';

/** A run [start, end) of leaves. */
export interface LeafRange {
  readonly start: number;
  readonly end: number;
}

/** An aligned, complete subtree: `size` leaves (a power of two) from `start`, a multiple of `size`. */
export interface Subtree {
  readonly start: number;
  readonly size: number;
}

/** One addition of the tree: node `target` += node `source`, both positions in the list that was merged. */
export interface Merge {
  readonly target: number;
  readonly source: number;
}

/** Micro-batches in a batch of that many rows; the last may be short. */
export function leafCount(rows: number, microBatch: number): number {
  return Math.ceil(rows / microBatch);
}

/** The shard of a rank: a run of whole leaves; sizes differ by at most one, and are 0 for surplus ranks. */
export function shardOf(leaves: number, rank: number, groupSize: number): LeafRange {
  return {
    start: Math.floor((rank * leaves) / groupSize),
    end: Math.floor(((rank + 1) * leaves) / groupSize),
  };
}

/** Where one process of a job stands among all of them. */
export interface JobPosition {
  readonly process: number;
  readonly processes: number;
}

/** A process that is on its own. */
export const alone: JobPosition = { process: 0, processes: 1 };

/**
 * The leaves of each process of a job: consecutive runs, of at least one leaf while there are enough. Their largest is as
 * small as can be, since all wait for it; then the most subtrees that one process has, then all their number, since each is
 * sent; of equals the earlier shares are the smaller ones. 16 leaves make 8,8 or 4,6,6 or 2,2,4,4,4.
 */
export function sharesOf(leaves: number, processes: number): LeafRange[] {
  const holders = Math.min(leaves, processes);
  // Nothing to choose, however many leaves there are.
  if (holders <= 1) {
    return Array.from({ length: processes }, (_, process) => ({ start: process === 0 ? 0 : leaves, end: leaves }));
  }
  const largest = Math.ceil(leaves / holders);
  for (let mostSubtrees = 1; ; mostSubtrees++) {
    const sizes = fewestSubtrees(leaves, holders, largest, mostSubtrees);
    if (sizes === null) continue;
    let end = 0;
    return Array.from({ length: processes }, (_, process) => {
      const start = end;
      // Those beyond the leaves have none.
      end += sizes[process] ?? 0;
      return { start, end };
    });
  }
}

/** The shard of a rank within its process's share. */
export function shardWithin(share: LeafRange, rank: number, groupSize: number): LeafRange {
  const { start, end } = shardOf(share.end - share.start, rank, groupSize);
  return { start: share.start + start, end: share.start + end };
}

/** The chunk [start, end) of an accumulator's floats that a process sums for all: whole vectors of 16. */
export function chunkOf(length: number, { process, processes }: JobPosition): { start: number; end: number } {
  const cut = (index: number): number =>
    index === processes ? length : 16 * Math.floor((index * length) / (16 * processes));
  return { start: cut(process), end: cut(process + 1) };
}

/** Rows [start, end) of the batch that a run of leaves covers. */
export function rowsOf(range: LeafRange, rows: number, microBatch: number): LeafRange {
  return { start: Math.min(range.start * microBatch, rows), end: Math.min(range.end * microBatch, rows) };
}

/** The complete subtrees of a run of leaves, left to right: at most 2 log2(m) of them. */
export function subtreesOf(range: LeafRange): Subtree[] {
  const subtrees: Subtree[] = [];
  let start = range.start;
  while (start < range.end) {
    let size = 1;
    while (start % (size * 2) === 0 && start + size * 2 <= range.end) size *= 2;
    subtrees.push({ start, size });
    start += size;
  }
  return subtrees;
}

/** The additions that turn the leaves of a run into its complete subtrees; positions count from the run's start. */
export function mergesOfLeaves(range: LeafRange): Merge[] {
  const leaves = Array.from({ length: range.end - range.start }, (_, i) => ({ start: range.start + i, size: 1 }));
  return mergeNodes(leaves, false).merges;
}

/** The additions that sum a run of leaves as a whole: to its complete subtrees, and these; the sum ends in leaf 0. */
export function mergesOfRun(range: LeafRange): Merge[] {
  const subtrees = subtreesOf(range);
  const leafOf = (position: number): number => (subtrees[position]?.start ?? range.start) - range.start;
  const finish = mergesOfSubtrees(subtrees);
  return [
    ...mergesOfLeaves(range),
    ...finish.map(({ target, source }) => ({ target: leafOf(target), source: leafOf(source) })),
  ];
}

/** The additions that finish the tree over all ranks' subtrees, left to right; the whole sum ends in node 0. */
export function mergesOfSubtrees(subtrees: readonly Subtree[]): Merge[] {
  const { merges, roots } = mergeNodes(subtrees, true);
  assert(roots.length <= 1, 'a finished tree has one root');
  return merges;
}

/**
 * The additions that join the subtrees of neighbouring ranks into the complete subtrees of all their leaves.
 * @returns with the positions in which those subtrees end, left to right
 */
export function mergesWithin(subtrees: readonly Subtree[]): { merges: Merge[]; roots: number[] } {
  return mergeNodes(subtrees, false);
}

/** What happens after each leaf of a run: how many finished siblings it joins, and where the result goes. */
export interface LeafStep {
  /** How many nodes of the stack, topmost first, are added in front of it. */
  readonly merges: number;
  /** Position of the finished subtree in `subtreesOf(range)`, or -1 where it goes on the stack. */
  readonly finished: number;
}

/** The same additions as `mergesOfLeaves`, as a schedule for a kernel that keeps the open nodes on a small stack. */
export function leafSchedule(range: LeafRange): LeafStep[] {
  const steps: LeafStep[] = [];
  subtreesOf(range).forEach((subtree, position) => {
    for (let i = 0; i < subtree.size; i++) {
      let merges = 0;
      while (((i >> merges) & 1) === 1) merges++;
      steps.push({ merges, finished: i === subtree.size - 1 ? position : -1 });
    }
  });
  return steps;
}

/** Sizes of the shares with the fewest subtrees in all, none with more than `mostSubtrees`; null where there are none such. */
function fewestSubtrees(leaves: number, holders: number, largest: number, mostSubtrees: number): number[] | null {
  interface Cut {
    readonly subtrees: number;
    readonly size: number;
    readonly rest: Cut | null;
  }
  const known = new Map<number, Cut | null>();
  const best = (left: number, start: number): Cut | null => {
    const key = start * (holders + 1) + left;
    const found = known.get(key);
    if (found !== undefined) return found;
    let cut: Cut | null = null;
    const others = left - 1;
    const least = Math.max(1, leaves - start - others * largest);
    for (let size = least; size <= Math.min(largest, leaves - start - others); size++) {
      const own = subtreesOf({ start, end: start + size }).length;
      const rest = own > mostSubtrees || others === 0 ? null : best(others, start + size);
      if (own > mostSubtrees || (others > 0 && rest === null)) continue;
      const subtrees = own + (rest?.subtrees ?? 0);
      if (cut === null || subtrees < cut.subtrees) cut = { subtrees, size, rest };
    }
    known.set(key, cut);
    return cut;
  };
  const sizes: number[] = [];
  for (let cut = best(holders, 0); cut !== null; cut = cut.rest) sizes.push(cut.size);
  return sizes.length === 0 ? null : sizes;
}

function mergeNodes(nodes: readonly Subtree[], finish: boolean): { merges: Merge[]; roots: number[] } {
  const merges: Merge[] = [];
  const stack: (Subtree & { position: number })[] = [];
  const mergeTop = (): void => {
    const source = stack.pop();
    const target = stack.pop();
    assert(source !== undefined && target !== undefined, 'two nodes to merge');
    merges.push({ target: target.position, source: source.position });
    stack.push({ start: target.start, size: target.size + source.size, position: target.position });
  };
  nodes.forEach((node, position) => {
    stack.push({ ...node, position });
    while (stack.length > 1 && areSiblings(stack[stack.length - 2], stack[stack.length - 1])) mergeTop();
  });
  while (finish && stack.length > 1) mergeTop();
  return { merges, roots: stack.map(({ position }) => position) };
}

function areSiblings(left: Subtree | undefined, right: Subtree | undefined): boolean {
  if (left === undefined || right === undefined) return false;
  return left.size === right.size && left.start % (left.size * 2) === 0;
}

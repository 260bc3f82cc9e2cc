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
import { assert } from './errors.js';

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
export function shardOf(leaves: number, rank: number, worldSize: number): LeafRange {
  return {
    start: Math.floor((rank * leaves) / worldSize),
    end: Math.floor(((rank + 1) * leaves) / worldSize),
  };
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

/** The additions that finish the tree over all ranks' subtrees, left to right; the whole sum ends in node 0. */
export function mergesOfSubtrees(subtrees: readonly Subtree[]): Merge[] {
  const { merges, left } = mergeNodes(subtrees, true);
  assert(left <= 1, 'a finished tree has one root');
  return merges;
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

function mergeNodes(nodes: readonly Subtree[], finish: boolean): { merges: Merge[]; left: number } {
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
  return { merges, left: stack.length };
}

function areSiblings(left: Subtree | undefined, right: Subtree | undefined): boolean {
  if (left === undefined || right === undefined) return false;
  return left.size === right.size && left.start % (left.size * 2) === 0;
}

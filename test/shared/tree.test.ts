/** The summation tree: shards and subtrees cover a batch, and its shape depends on the number of leaves alone. */
import { describe, expect, it } from 'vitest';
import {
  leafCount,
  leafSchedule,
  mergesOfLeaves,
  mergesOfSubtrees,
  mergesWithin,
  rowsOf,
  shardOf,
  shardWithin,
  sharesOf,
  subtreesOf,
  type LeafRange,
  type Merge,
} from '../../src/shared/sums/tree.js';

const counts = Array.from({ length: 16 }, (_, i) => i + 1);

/** The tree as its definition says: a node of n leaves splits at the largest power of two below n. */
function treeOf(start: number, end: number): string {
  if (end - start === 1) return String(start);
  let split = 1;
  while (split * 2 < end - start) split *= 2;
  return `(${treeOf(start, start + split)} ${treeOf(start + split, end)})`;
}

function apply(nodes: string[], merges: readonly Merge[]): string[] {
  for (const { target, source } of merges) nodes[target] = `(${String(nodes[target])} ${String(nodes[source])})`;
  return nodes;
}

function leavesOf({ start, end }: LeafRange): string[] {
  return Array.from({ length: end - start }, (_, i) => String(start + i));
}

/** The subtrees of a shard, as a rank would sum them. */
function subtreeSums(shard: LeafRange): string[] {
  const nodes = apply(leavesOf(shard), mergesOfLeaves(shard));
  return subtreesOf(shard).map((subtree) => String(nodes[subtree.start - shard.start]));
}

describe('cutting a batch', () => {
  it('takes whole micro-batches, the last one short', () => {
    expect([128, 96, 97, 7, 8].map((rows) => leafCount(rows, 8))).toEqual([16, 12, 13, 1, 1]);
    expect(rowsOf({ start: 12, end: 13 }, 97, 8)).toEqual({ start: 96, end: 97 });
    expect(rowsOf({ start: 3, end: 3 }, 20, 8)).toEqual({ start: 20, end: 20 });
  });

  it('gives every leaf to one rank, in order, shares as equal as can be', () => {
    for (const groupSize of counts) {
      for (const leaves of counts) {
        const shards = Array.from({ length: groupSize }, (_, rank) => shardOf(leaves, rank, groupSize));
        expect(shards.flatMap(leavesOf)).toEqual(leavesOf({ start: 0, end: leaves }));
        const sizes = shards.map(({ start, end }) => end - start);
        expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
      }
    }
  });
});

describe('the tree', () => {
  it('splits 12 leaves into 8 and 4, as the 96-row batch has them', () => {
    expect(treeOf(0, 6)).toBe('(((0 1) (2 3)) (4 5))');
    expect(subtreesOf({ start: 0, end: 12 })).toEqual([
      { start: 0, size: 8 },
      { start: 8, size: 4 },
    ]);
  });

  it('is the same for every number of leaves, however many ranks share it', () => {
    for (const leaves of counts) {
      for (const groupSize of counts) {
        const shards = Array.from({ length: groupSize }, (_, rank) => shardOf(leaves, rank, groupSize));
        const sums = shards.flatMap(subtreeSums);
        const [root] = apply(sums, mergesOfSubtrees(shards.flatMap(subtreesOf)));
        expect(root, `${String(leaves)} leaves over ${String(groupSize)} ranks`).toBe(treeOf(0, leaves));
      }
    }
  });

  it('hands over complete aligned subtrees only, at most 2 log2(m) of them', () => {
    for (let start = 0; start < 16; start++) {
      for (let end = start + 1; end <= 16; end++) {
        const subtrees = subtreesOf({ start, end });
        let next = start;
        for (const subtree of subtrees) {
          expect(subtree.start).toBe(next);
          expect(subtree.start % subtree.size).toBe(0);
          expect(Math.log2(subtree.size) % 1).toBe(0);
          next += subtree.size;
        }
        expect(next).toBe(end);
        expect(subtrees.length).toBeLessThanOrEqual(8);
      }
    }
  });

  it('needs no addition where there is one leaf or none', () => {
    expect(subtreesOf({ start: 5, end: 5 })).toEqual([]);
    expect(mergesOfLeaves({ start: 5, end: 6 })).toEqual([]);
    expect(mergesOfSubtrees([])).toEqual([]);
  });

  it('is the same as a schedule that keeps open nodes on a stack', () => {
    for (let start = 0; start < 16; start++) {
      for (let end = start; end <= 16; end++) {
        const shard = { start, end };
        const stack: string[] = [];
        const finished: string[] = [];
        leafSchedule(shard).forEach((step, i) => {
          let node = String(start + i);
          for (let m = 0; m < step.merges; m++) node = `(${String(stack.pop())} ${node})`;
          if (step.finished < 0) stack.push(node);
          else finished[step.finished] = node;
        });
        expect(stack).toEqual([]);
        expect(finished).toEqual(subtreeSums(shard));
      }
    }
  });
});

describe('the shares of processes', () => {
  const sizesOf = (leaves: number, processes: number): number[] =>
    sharesOf(leaves, processes).map(({ start, end }) => end - start);
  /** Largest share, most subtrees of a share, subtrees of all: what is to be small, the first first. */
  const costOf = (sizes: readonly number[]): [number, number, number] => {
    let start = 0;
    const counts = sizes.map((size) => subtreesOf({ start, end: (start += size) }).length);
    return [Math.max(...sizes), Math.max(...counts), counts.reduce((sum, count) => sum + count)];
  };
  const everyCut = (leaves: number, processes: number): number[][] => {
    if (processes === 1) return [[leaves]];
    const sizes = Array.from({ length: leaves - processes + 1 }, (_, i) => 1 + i);
    return sizes.flatMap((size) => everyCut(leaves - size, processes - 1).map((rest) => [size, ...rest]));
  };

  it('of 16 and of 12 leaves are the ones that cost least', () => {
    const of16 = [[16], [8, 8], [4, 6, 6], [4, 4, 4, 4], [2, 2, 4, 4, 4]];
    expect(of16.map((_, i) => sizesOf(16, i + 1))).toEqual(of16);
    const of12 = [[12], [6, 6], [4, 4, 4]];
    expect(of12.map((_, i) => sizesOf(12, i + 1))).toEqual(of12);
  });

  it('of no leaves, or of one process, are there at once', () => {
    expect(sizesOf(0, 1)).toEqual([0]);
    expect(sizesOf(0, 3)).toEqual([0, 0, 0]);
    expect(sizesOf(1, 3)).toEqual([1, 0, 0]);
    expect(sizesOf(1_000_000, 1)).toEqual([1_000_000]);
  });

  // Of 27 leaves the cut with the fewest subtrees in all has one process with three of them.
  const few = counts
    .slice(0, 13)
    .flatMap((leaves) => [1, 2, 3, 4, 5, 6].map((processes) => [leaves, processes] as const));
  it.each([...few.filter(([leaves, processes]) => processes <= leaves), [27, 5], [38, 3]] as const)(
    'cost least of all cuts: %d leaves over %d processes',
    (leaves, processes) => {
      const costs = everyCut(leaves, processes).map(costOf);
      const [least] = costs.sort((a, b) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2]);
      expect(costOf(sizesOf(leaves, processes))).toEqual(least);
    },
  );

  it('take every leaf once, in order, and leave none to processes beyond the leaves', () => {
    for (const leaves of [...counts, 100, 1000]) {
      for (const processes of [...counts, 64]) {
        const shares = sharesOf(leaves, processes);
        expect(shares.flatMap(leavesOf)).toEqual(leavesOf({ start: 0, end: leaves }));
        expect(shares.filter(({ start, end }) => end > start)).toHaveLength(Math.min(leaves, processes));
      }
    }
  });

  it('make the whole tree, summed by ranks, then by processes, then by all', () => {
    for (const leaves of counts) {
      for (const processes of counts) {
        for (const groupSize of [1, 2, 3, 5]) {
          const nodes = sharesOf(leaves, processes).map((share) => {
            const shards = Array.from({ length: groupSize }, (_, rank) => shardWithin(share, rank, groupSize));
            const { merges, roots } = mergesWithin(shards.flatMap(subtreesOf));
            const sums = apply(shards.flatMap(subtreeSums), merges);
            expect(roots).toHaveLength(subtreesOf(share).length);
            return roots.map((root) => String(sums[root]));
          });
          const merges = mergesOfSubtrees(sharesOf(leaves, processes).flatMap(subtreesOf));
          expect(apply(nodes.flat(), merges)[0]).toBe(treeOf(0, leaves));
        }
      }
    }
  });
});

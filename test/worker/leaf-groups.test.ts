/** The groups of leaves whose gradients a device sums: whatever they are, the additions are those of the tree. */
import { describe, expect, it } from 'vitest';
import { at } from '../../src/shared/errors.js';
import { mergesOfLeaves, mergesOfRun, subtreesOf, type LeafRange } from '../../src/shared/sums/tree.js';
import { leafGroups } from '../../src/worker/engines/opencl/passes/backward.js';

/** Each subtree's sum, as the merges of leaves make it, with its brackets. */
function wanted(range: LeafRange): string[] {
  const nodes = Array.from({ length: range.end - range.start }, (_, leaf) => String(leaf));
  for (const { target, source } of mergesOfLeaves(range)) nodes[target] = `(${at(nodes, target)}+${at(nodes, source)})`;
  return subtreesOf(range).map(({ start }) => at(nodes, start - range.start));
}

/** The same, as the kernels sumLeaves1, sumLeaves2 and so on do it, group by group. */
function summed(range: LeafRange, most: number): string[] {
  const stack: string[] = [];
  const finished: string[] = [];
  for (const { first, leaves, open, merges, finished: position } of leafGroups(range, most)) {
    let nodes = Array.from({ length: leaves }, (_, leaf) => String(first + leaf));
    while (nodes.length > 1) nodes = nodes.flatMap((node, i) => (i % 2 === 0 ? [`(${node}+${at(nodes, i + 1)})`] : []));
    let sum = at(nodes, 0);
    for (let merge = 1; merge <= merges; merge++) sum = `(${at(stack, open - merge)}+${sum})`;
    if (position < 0) stack[open - merges] = sum;
    else finished[position] = sum;
  }
  return finished;
}

const ranges = [
  { start: 0, end: 16 },
  { start: 0, end: 12 },
  { start: 5, end: 21 },
  { start: 3, end: 9 },
  { start: 0, end: 100 },
  { start: 32, end: 33 },
  { start: 7, end: 7 },
];

describe('groups of leaves', () => {
  it.each(ranges.flatMap((range) => [1, 4, 16].map((most) => ({ ...range, most }))))(
    'of leaves $start to $end, at most $most at once, are complete subtrees that are added up as the tree says',
    ({ most, ...range }) => {
      expect(summed(range, most)).toEqual(wanted(range));
      for (const { leaves } of leafGroups(range, most)) expect([1, 2, 4, 8, 16]).toContain(leaves);
    },
  );

  it('are added up over a whole run as its subtrees are', () => {
    const range = { start: 5, end: 18 };
    const nodes = Array.from({ length: 13 }, (_, leaf) => String(leaf));
    for (const { target, source } of mergesOfRun(range)) nodes[target] = `(${at(nodes, target)}+${at(nodes, source)})`;
    // 5 | 6 7 | 8..15 | 16 17: from the right.
    const [one, two, eight, last] = wanted(range);
    expect(nodes[0]).toBe(`(${one ?? ''}+(${two ?? ''}+(${eight ?? ''}+${last ?? ''})))`);
  });
});

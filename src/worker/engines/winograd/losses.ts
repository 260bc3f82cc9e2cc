/** The loss of a shard from the losses of its rows. */
import type { LeafRange } from '../../../shared/sums/tree.js';
import { mergesOfLeaves, subtreesOf } from '../../../shared/sums/tree.js';

/** Sums of the loss over each subtree of a shard, in the tree's order: each leaf row by row, then the leaves. */
export function sumLosses(losses: Float64Array, rows: number, leaves: LeafRange, microBatch: number): number[] {
  const sums: number[] = [];
  for (let leaf = 0; leaf < leaves.end - leaves.start; leaf++) {
    let sum = 0;
    for (let row = leaf * microBatch; row < Math.min((leaf + 1) * microBatch, rows); row++) sum += losses[row]!;
    sums.push(sum);
  }
  for (const { target, source } of mergesOfLeaves(leaves)) sums[target] = sums[target]! + sums[source]!;
  return subtreesOf(leaves).map((subtree) => sums[subtree.start - leaves.start]!);
}

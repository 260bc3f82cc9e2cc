/**
 * The whole network as one pure function in float64, without shared memory, shards or state sets: for tests, and for
 * anyone who wants to read what one step computes.
 */
import type { StatisticsExchange } from '../../../shared/engine.js';
import { leafCount, mergesOfLeaves, mergesOfSubtrees, rowsOf, subtreesOf } from '../../../shared/sums/tree.js';
import type { LeafRange, Subtree } from '../../../shared/sums/tree.js';
import { imagePixels } from '../../../shared/model/network.js';
import type { BatchNormStatistics } from '../host/batch-norm.js';
import { passOverLeaves } from './network-pass.js';
import type { Activations } from './network-pass.js';

export interface ForwardBackwardOptions {
  /** Rows of one leaf; all rows are one leaf if left out. */
  readonly microBatch?: number;
  /** Who sums the batch norms' statistics; the given rows are the whole batch if left out. */
  readonly exchange?: StatisticsExchange;
}

export interface ForwardBackwardReport {
  /** Mean over the rows. */
  readonly loss: number;
  /** Mean over the rows, [parameterCount], in PyTorch's layout. */
  readonly gradient: Float64Array;
  /** For each batch norm, what it normalised by. */
  readonly statistics: readonly BatchNormStatistics[];
  readonly activations: Activations;
}

/**
 * @param parameters [parameterCount], in PyTorch's layout
 * @param images [rows][784], pixels 0..255
 * @param labels [rows]
 */
export function forwardBackward(
  parameters: Float64Array,
  images: Uint8Array | Float64Array,
  labels: Uint8Array,
  options: ForwardBackwardOptions = {},
): ForwardBackwardReport {
  const rows = labels.length;
  const microBatch = options.microBatch ?? rows;
  const range = { start: 0, end: leafCount(rows, microBatch) };
  const leaves = leafRowsOf(range, rows, microBatch).map(({ start, end }) => ({
    rows: end - start,
    images: Float64Array.from(images.subarray(start * imagePixels, end * imagePixels)),
    labels: labels.subarray(start, end),
  }));
  const report = passOverLeaves(parameters, leaves, options.exchange ?? shardExchange(rows));
  const [gradient, loss] = [
    sumOverTree(report.gradients),
    sumOverTree(report.losses.map((sum) => Float64Array.of(sum))),
  ];
  return {
    loss: loss[0]! / rows,
    gradient: gradient.map((value) => value / rows),
    statistics: report.statistics,
    activations: report.activations,
  };
}

/** An exchange that covers the given leaves alone, `rows` rows in all. */
export function shardExchange(rows: number): StatisticsExchange {
  return {
    rows,
    withinShard: true,
    reduce(leaves, length, total) {
      const parts = Array.from({ length: leaves.length / length }, (_, l) =>
        leaves.subarray(l * length, (l + 1) * length),
      );
      if (parts.length > 0) total.set(sumOverTree(parts));
    },
  };
}

/** Rows of each leaf of a run, counted from the run's first row. `rows` are those of the run. */
export function leafRowsOf(range: LeafRange, rows: number, microBatch: number): LeafRange[] {
  return Array.from({ length: range.end - range.start }, (_, l) => rowsOf({ start: l, end: l + 1 }, rows, microBatch));
}

/** Adds the leaves of a run up to its complete subtrees, in place, and returns those, left to right. */
export function sumOverSubtrees(range: LeafRange, leaves: readonly Float64Array[]): Float64Array[] {
  for (const { target, source } of mergesOfLeaves(range)) addInto(leaves[target]!, leaves[source]!);
  return subtreesOf(range).map((subtree: Subtree) => leaves[subtree.start - range.start]!);
}

/** The sum of a whole tree's leaves; they are overwritten. */
function sumOverTree(leaves: readonly Float64Array[]): Float64Array {
  const range = { start: 0, end: leaves.length };
  const nodes = sumOverSubtrees(range, leaves);
  for (const { target, source } of mergesOfSubtrees(subtreesOf(range))) addInto(nodes[target]!, nodes[source]!);
  return nodes[0]!;
}

function addInto(target: Float64Array, source: Float64Array): void {
  for (let p = 0; p < target.length; p++) target[p]! += source[p]!;
}

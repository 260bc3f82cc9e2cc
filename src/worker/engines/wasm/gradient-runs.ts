/**
 * The order in which the kernels sum a layer's gradients over a shard: its tiles, cut into runs, as assembly/products.ts
 * reads them. A run ends where a leaf or a block of stored tiles does.
 */
import { leafSchedule, type LeafRange, type LeafStep } from '../../../shared/tree.js';
import { lineBytes, rowPlace, type ProductLayer } from './geometry.js';

export const runWords = 8;
export const runBytes = runWords * 4;

/**
 * Tiles of a group: as many as let the panels of A and D that one micro-kernel reads, 8 KB each, stay in the first-level
 * cache from one pair of columns to the next.
 */
const groupTiles = 128;

/** Bytes that the kernels need for `nodes`: zeros, and the open nodes of one tile within a group. */
export const nodesBytes = 4096;

export interface GradientShard {
  readonly leaves: LeafRange;
  readonly rows: number;
  readonly microBatch: number;
  /** Address of the accumulator of each subtree. */
  readonly accumulators: readonly number[];
}

/** Runs at most, of any shard of that shape. */
export function maxRuns(layer: ProductLayer, leaves: number, rows: number): number {
  return leaves + Math.ceil(rows / layer.blockRows);
}

/** The runs of a shard, `runWords` int32 each. */
export function gradientRuns(layer: ProductLayer, shard: GradientShard): Int32Array {
  const { leaves, rows, microBatch, accumulators } = shard;
  const words: number[] = [];
  let group: { start: number; steps: LeafStep[] } | null = null;
  const limit = groupLeaves(layer, microBatch);
  leafSchedule(leaves).forEach((step, leaf) => {
    group ??= { start: words.length, steps: [] };
    // A group is a complete subtree, so what its leaves join is in the group, but for the last one's.
    const inner = Math.min(step.merges, openNodes(group.steps));
    group.steps.push(step);
    for (const run of runsOf(layer, leaf * microBatch, Math.min((leaf + 1) * microBatch, rows))) {
      const { input, output, bytes, goesOn } = run;
      words.push(input, output, bytes, goesOn ? 0 : inner, goesOn ? 1 : 0, 0, 0, 0);
    }
    if (group.steps.length < limit && step.finished < 0) return;
    words[group.start + 5] = (words.length - group.start) * 4;
    words[group.start + 6] = step.merges - inner;
    words[group.start + 7] = accumulators[step.finished] ?? 0;
    group = null;
  });
  return Int32Array.from(words);
}

/** Leaves of a full group: a power of two, since groups are subtrees. */
function groupLeaves(layer: ProductLayer, microBatch: number): number {
  let leaves = 1;
  while (2 * leaves * microBatch * layer.rowTiles <= groupTiles) leaves *= 2;
  return leaves;
}

/** Nodes on the inner stack after these leaves. */
function openNodes(steps: readonly LeafStep[]): number {
  return steps.reduce((open, { merges }) => open - merges + 1, 0);
}

interface Run {
  /** Bytes from the start of a plane of inputs, and of outputs. */
  readonly input: number;
  readonly output: number;
  readonly bytes: number;
  /** Whether the leaf has tiles in the next block too. */
  readonly goesOn: boolean;
}

function runsOf(layer: ProductLayer, first: number, end: number): Run[] {
  const runs: Run[] = [];
  for (let row = first; row < end;) {
    const last = Math.min(end, (Math.floor(row / layer.blockRows) + 1) * layer.blockRows);
    runs.push({
      input: rowPlace(layer, row, 'inputs'),
      output: rowPlace(layer, row, 'outputs'),
      bytes: (last - row) * layer.rowTiles * lineBytes,
      goesOn: last < end,
    });
    row = last;
  }
  return runs;
}

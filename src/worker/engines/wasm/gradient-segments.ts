/**
 * The order in which the kernels sum a layer's gradients over a shard: its tiles, cut into segments, as the kernels read
 * them, and its segments in groups. A segment is what lies together of one leaf: it ends where the leaf or a block of stored tiles
 * does. A group is a complete subtree of few enough tiles for the first-level cache. The backward pass goes from group to
 * group, so the deltas of one are all that is stored at a time.
 */
import { leafSchedule, type LeafRange, type LeafStep } from '../../../shared/sums/tree.js';
import { floatBytes, lineBytes, outputPanels, rowOffset, unitLength, type ProductLayer } from '../winograd/geometry.js';

/** The int32 of a segment, in order; the kernels' names for them are generated from these. */
export const segmentFields = ['input', 'output', 'bytes', 'merges', 'goesOn'] as const;
export const segmentBytes = segmentFields.length * 4;

/** Tiles of a group: as many as let the panels of A and D that one micro-kernel reads, 8 KB each, stay cached. */
const groupTiles = 128;

/** Bytes that the kernels need for `nodes`: zeros, and the open nodes of one tile within a group. */
export const nodesBytes = 4096;

export interface GradientShard {
  readonly leaves: LeafRange;
  readonly rows: number;
  readonly microBatch: number;
}

/** Rows whose gradients are summed together, and what becomes of the sum. */
export interface GradientGroup {
  /** Rows [first, end) of the shard. */
  readonly first: number;
  readonly end: number;
  /** Its segments among those of the layer: positions in `words`. */
  readonly from: number;
  readonly to: number;
  /** Nodes on the outer stack before it, and how many of these it joins. */
  readonly open: number;
  readonly merges: number;
  /** The subtree that it finishes, by its position in the shard; -1 where it goes on the outer stack. */
  readonly finished: number;
}

export interface GradientPlan {
  /** The segments, an int32 for each of `segmentFields`. */
  readonly words: Int32Array;
  readonly groups: readonly GradientGroup[];
}

/** Segments at most, of any shard of that shape. */
export function maxSegments(layer: ProductLayer, leaves: number, rows: number): number {
  return leaves + Math.ceil(rows / layer.blockRows);
}

/** Rows of a group at most. */
function maxGroupRows(layer: ProductLayer, microBatch: number, rows: number): number {
  return Math.min(rows, groupLeaves(layer, microBatch) * microBatch);
}

/** Bytes of the outer stack, whose nodes are laid out as the layer's part of an accumulator, for that many leaves. */
export function stackBytes(layer: ProductLayer, leaves: number, microBatch: number): number {
  let levels = 0;
  for (let half = groupLeaves(layer, microBatch) * 2; half <= leaves; half *= 2) levels++;
  return levels * nodeBytes(layer);
}

/** Bytes of a node of the outer stack. */
export function nodeBytes(layer: ProductLayer): number {
  return outputPanels(layer) * unitLength(layer) * floatBytes;
}

/** The segments and groups of a shard. What a segment says of the outputs counts from the first block of its group. */
export function planGradients(layer: ProductLayer, { leaves, rows, microBatch }: GradientShard): GradientPlan {
  const words: number[] = [];
  const groups: GradientGroup[] = [];
  const limit = groupLeaves(layer, microBatch);
  let steps: LeafStep[] = [];
  let [first, from, open] = [0, 0, 0];
  leafSchedule(leaves).forEach((step, leaf) => {
    // A group is a complete subtree, so what its leaves join is in the group, but for the last one's.
    const inner = Math.min(step.merges, openNodes(steps));
    steps.push(step);
    const end = Math.min((leaf + 1) * microBatch, rows);
    for (const segment of segmentsOf(layer, leaf * microBatch, end, first)) {
      const fields = { ...segment, merges: segment.goesOn ? 0 : inner, goesOn: Number(segment.goesOn) };
      words.push(...segmentFields.map((field) => fields[field]));
    }
    if (steps.length < limit && step.finished < 0) return;
    const merges = step.merges - inner;
    groups.push({ first, end, from, to: words.length, open, merges, finished: step.finished });
    open = step.finished < 0 ? open - merges + 1 : 0;
    [steps, first, from] = [[], end, words.length];
  });
  return { words: Int32Array.from(words), groups };
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

interface Segment {
  /** Bytes from the start of the planes of inputs, and of the group's outputs. */
  readonly input: number;
  readonly output: number;
  readonly bytes: number;
  /** Whether the leaf has tiles in the next block too. */
  readonly goesOn: boolean;
}

function segmentsOf(layer: ProductLayer, first: number, end: number, groupFirst: number): Segment[] {
  const segments: Segment[] = [];
  for (let row = first; row < end;) {
    const last = Math.min(end, (Math.floor(row / layer.blockRows) + 1) * layer.blockRows);
    segments.push({
      input: rowOffset(layer, row, 'inputs'),
      output: deltaOffset(layer, row, groupFirst),
      bytes: (last - row) * layer.rowTiles * lineBytes,
      goesOn: last < end,
    });
    row = last;
  }
  return segments;
}

/** Bytes from the deltas of a group, whose first row is `groupFirst`, to the first tile of a row. */
export function deltaOffset(layer: ProductLayer, row: number, groupFirst: number): number {
  return rowOffset(layer, row, 'outputs') - blockOffset(layer, groupFirst);
}

/** Bytes from the first block of outputs to the one of that row. */
export function blockOffset(layer: ProductLayer, row: number): number {
  return Math.floor(row / layer.blockRows) * layer.block.outputs.bytes;
}

/** Bytes of the deltas of any group. */
export function deltaBytes(layer: ProductLayer, microBatch: number, rows: number): number {
  const group = maxGroupRows(layer, microBatch, rows);
  // A group may begin within a block.
  const blocks = Math.ceil((group + (microBatch % layer.blockRows === 0 ? 0 : layer.blockRows - 1)) / layer.blockRows);
  return blocks * layer.block.outputs.bytes;
}

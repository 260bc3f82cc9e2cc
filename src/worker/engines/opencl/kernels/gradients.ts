/**
 * From the sums of each leaf to those of the shard's subtrees, in OpenCL C. Leaves wait in slots, each as long as an accumulator; a
 * group of them is a complete subtree, so their sum is the tree of pairs, and the nodes before it join it on a stack.
 */
import { batchNorms } from '../../../../shared/model/network.js';
import { outputPanels, panelWidth, productLayers, productNames, unitLength } from '../../winograd/geometry.js';
import { accumulatorLength, normOffset, productOffset } from '../../winograd/units.js';

/** Leaves of a group at most. */
export const mostLeaves = 16;

/** The sizes of groups, each with a kernel `sumLeaves1`, `sumLeaves2` and so on. */
export const groupSizes: readonly number[] = [1, 2, 4, 8, 16];

function sumKernel(leaves: number): string {
  const additions: string[] = [];
  for (let size = 1; size < leaves; size *= 2) {
    for (let leaf = 0; leaf < leaves; leaf += 2 * size) {
      additions.push(`  v${String(leaf)} = v${String(leaf)} + v${String(leaf + size)};`);
    }
  }
  const loads = Array.from(
    { length: leaves },
    (_, leaf) => `  float4 v${String(leaf)} = slots[(size_t)(slot + ${String(leaf)}) * length + i];`,
  );
  return `__kernel void sumLeaves${String(leaves)}(
  __global const float4 *slots, const int slot, __global const float4 *stack, const int open, const int merges,
  __global float4 *target, const int position, const int length
) {
  const int i = get_global_id(0);
  if (i >= length) return;
${[...loads, ...additions].join('\n')}
  for (int m = 1; m <= merges; m++) v0 = stack[(size_t)(open - m) * length + i] + v0;
  target[(size_t)position * length + i] = v0;
}`;
}

/** The column of all layers' outputs to its layer, and what follows from that. */
const columns = productNames.map((name) => productLayers[name]);
const firstColumn = columns.map((_, k) => columns.slice(0, k).reduce((sum, layer) => sum + layer.columns, 0));
/** Biases of all layers, with those that fill the last panel of one. */
export const biasColumns: number = columns.reduce((sum, layer) => sum + layer.columns, 0);

const biasBranches = columns
  .map((layer, k) => {
    const { name, rowTiles, biasPoint } = layer;
    const first = String(firstColumn[k]);
    const panels = outputPanels(layer);
    return `if (column < ${String(firstColumn[k]! + layer.columns)}) {
    const int panel = (column - ${first}) / 16;
    d = ${name} + ((size_t)${String(biasPoint * panels)} + panel) * ${name}Tiles * 16;
    rowTiles = ${String(rowTiles)};
    target = ${String(productOffset(name))} + panel * ${String(unitLength(layer))} + ${String(unitLength(layer) - panelWidth)};
  }`;
  })
  .join(' else ');

const normBranches = batchNorms
  .map(({ name, channels, offset }) => {
    return `if (i < ${String(2 * (offset + channels))}) {
    const int j = i - ${String(2 * offset)};
    slots[at + ${String(normOffset(name))} + j] = (float)${name}[(size_t)leaf * ${String(2 * channels)} + (j + ${String(channels)}) % ${String(2 * channels)}];
  }`;
  })
  .join(' else ');

export const gradientsSource = `
${groupSizes.map(sumKernel).join('\n\n')}

// One addition of the tree over subtrees, in their array: node \`target\` += node \`source\`.
__kernel void addNode(__global float4 *nodes, const int target, const int source, const int length) {
  const int i = get_global_id(0);
  if (i < length) nodes[(size_t)target * length + i] = nodes[(size_t)target * length + i] + nodes[(size_t)source * length + i];
}

// The column sums of dM at the point that sums to the bias gradient, of all layers: a work-item for each column of each leaf.
__kernel void biasGradients(
${productNames.map((name) => `  __global const float *${name}, const int ${name}Tiles,`).join('\n')}
  __global float *slots, const int firstLeaf, const int rows, const int microBatch
) {
  const int column = get_global_id(0), slot = get_global_id(1), leaf = firstLeaf + slot;
  __global const float *d;
  int rowTiles, target;
  ${biasBranches} else return;
  const int first = leaf * microBatch, count = (min(first + microBatch, rows) - first) * rowTiles;
  d += (size_t)first * rowTiles * 16 + column % 16;
  float sum = 0.0f;
  for (int t = 0; t < count; t++) sum += d[(size_t)t * 16];
  slots[(size_t)slot * ${String(accumulatorLength)} + target + column % 16] = sum;
}

// The sums of each leaf over dy xhat and dy are the gradients of a batch norm's weights and biases.
__kernel void normGradients(
${batchNorms.map(({ name }) => `  __global const LEAF_SUM *${name},`).join('\n')}
  __global float *slots, const int firstLeaf
) {
  const int i = get_global_id(0), slot = get_global_id(1), leaf = firstLeaf + slot;
  const size_t at = (size_t)slot * ${String(accumulatorLength)};
  ${normBranches}
}
`;

/** Sizes of the engine's arrays on its device: what lies where there, computed from the shape alone. */
import type { DeviceShape } from '../../../shared/engine.js';
import {
  batchNormChannels,
  batchNorms,
  classes,
  convolutions,
  imagePixels,
  parameterCount,
} from '../../../shared/model/network.js';
import { transformLength } from '../../../shared/model/augmentation.js';
import { statisticsLength } from '../../../shared/group/memory.js';
import { leafCount } from '../../../shared/sums/tree.js';
import {
  conv3Values,
  doubleBytes,
  eachProduct,
  floatBytes,
  inputPanels,
  lineBytes,
  outputPanels,
  pooled2Values,
  pooled4Values,
  pooled5Values,
  type ProductLayer,
  type ProductName,
} from '../winograd/geometry.js';
import { accumulatorLength, preparedBytes } from '../winograd/units.js';
import { mostLeaves } from './kernels/gradients.js';

/** Tiles of a panel are a multiple of what a product takes at once, see kernels/products.ts. */
const tileMultiple = 64;

/** Tiles of a panel of that layer, for so many rows. */
export function panelTiles(layer: ProductLayer, rows: number): number {
  return Math.ceil((rows * layer.rowTiles) / tileMultiple) * tileMultiple;
}

/** Accumulators for single leaves: as many as are summed at once. */
export function slotCount({ rows, microBatch }: Pick<DeviceShape, 'rows' | 'microBatch'>): number {
  const leaves = Math.max(1, leafCount(rows, microBatch));
  let slots = 1;
  while (slots < leaves && slots < mostLeaves) slots *= 2;
  return slots;
}

/** Nodes on the stack between groups of leaves at most. */
export function stackNodes({ rows, microBatch }: Pick<DeviceShape, 'rows' | 'microBatch'>): number {
  let nodes = 1;
  for (let leaves = mostLeaves; leaves <= leafCount(rows, microBatch); leaves *= 2) nodes++;
  return nodes;
}

const conv1Side = convolutions[1].inputSize;
/** Values of one row of the gradients of the activations of conv1 and of conv3. */
const delta1Values = conv1Side * conv1Side * convolutions[1].inputs;

/** Bytes of each array. */
export interface ArrayPlan {
  /** uint8, the whole training split. */
  readonly trainImages: number;
  readonly trainLabels: number;
  /** uint32 [rows]: which of these are at hand. */
  readonly rowNumbers: number;
  /** float32 [rows][784]: the images at hand as they go through the network; float32 [rows][transformLength]. */
  readonly pixels: number;
  readonly transforms: number;
  /** uint8 [rows][784]: test rows at hand, and uint32 [rows]: 0, 1, 2 and so on. */
  readonly testImages: number;
  readonly testRows: number;
  /** float32 of each state set. */
  readonly parameters: number;
  readonly runningStatistics: number;
  readonly prepared: number;
  /** V of each product, [points][panels][tiles][16], kept for the weight gradients; M, later dM; and dV of the layer at hand. */
  readonly inputs: Readonly<Record<ProductName, number>>;
  readonly outputs: Readonly<Record<ProductName, number>>;
  readonly inputDeltas: number;
  /** Activations [rows][height][width][channels], where pools took their values from (int8), and gradients of activations. */
  readonly pooled2: number;
  readonly argmax2: number;
  readonly conv3: number;
  readonly pooled4: number;
  readonly argmax4: number;
  readonly pooled5: number;
  readonly argmax5: number;
  readonly delta1: number;
  readonly delta2: number;
  readonly delta3: number;
  readonly delta4: number;
  readonly delta5: number;
  /** float64 [leaves][2 channels] of each batch norm; float64 [statisticsLength]. */
  readonly leafSums: Readonly<Record<(typeof batchNorms)[number]['name'], number>>;
  readonly mergedSums: number;
  readonly total: number;
  /** float32 [channels of all batch norms]. */
  readonly coefficients: number;
  /** float64 [rows]; float32 [rows][classes]. */
  readonly losses: number;
  readonly probabilities: number;
  /** Accumulators: of leaves, of nodes between groups of leaves, of the shard's subtrees, and of the group's. */
  readonly slots: number;
  readonly stack: number;
  readonly accumulators: number;
  readonly nodes: number;
}

export function planArrays(shape: DeviceShape): ArrayPlan {
  const { rows } = shape;
  const leaves = Math.max(1, leafCount(rows, shape.microBatch));
  const floats = (count: number): number => count * floatBytes;
  const accumulators = (count: number): number => floats(count * accumulatorLength);
  const inputs = eachProduct((layer) => layer.points * inputPanels(layer) * panelTiles(layer, rows) * lineBytes);
  const sums = (k: number): number => leaves * 2 * batchNorms[k]!.channels * doubleBytes;
  return {
    trainImages: shape.trainCount * imagePixels,
    trainLabels: shape.trainCount,
    rowNumbers: floats(rows),
    pixels: floats(rows * imagePixels),
    transforms: floats(rows * transformLength),
    testImages: rows * imagePixels,
    testRows: floats(rows),
    parameters: floats(parameterCount),
    runningStatistics: floats(2 * batchNormChannels),
    prepared: preparedBytes,
    inputs,
    outputs: eachProduct((layer) => layer.points * outputPanels(layer) * panelTiles(layer, rows) * lineBytes),
    inputDeltas: Math.max(...Object.values(inputs)),
    pooled2: floats(rows * pooled2Values),
    argmax2: rows * pooled2Values,
    conv3: floats(rows * conv3Values),
    pooled4: floats(rows * pooled4Values),
    argmax4: rows * pooled4Values,
    pooled5: floats(rows * pooled5Values),
    argmax5: rows * pooled5Values,
    delta1: floats(rows * delta1Values),
    delta2: floats(rows * pooled2Values),
    delta3: floats(rows * conv3Values),
    delta4: floats(rows * pooled4Values),
    delta5: floats(rows * pooled5Values),
    leafSums: { bn2: sums(0), bn4: sums(1), bn5: sums(2) },
    mergedSums: leaves * statisticsLength * doubleBytes,
    total: statisticsLength * doubleBytes,
    coefficients: floats(batchNormChannels),
    losses: rows * doubleBytes,
    probabilities: floats(rows * classes),
    slots: accumulators(slotCount(shape)),
    stack: accumulators(stackNodes(shape)),
    accumulators: accumulators(shape.subtrees),
    nodes: accumulators(shape.nodes),
  };
}

/** Bytes of all arrays, what one replica has on its device, and of the largest of them. */
export function deviceBytes(shape: DeviceShape): { readonly total: number; readonly largest: number } {
  const { inputs, outputs, leafSums, parameters, runningStatistics, coefficients, ...once } = planArrays(shape);
  const arrays = [once, inputs, outputs, leafSums].flatMap((list) => Object.values<number>(list));
  const average = shape.averages ? parameters + runningStatistics : 0;
  const sets = 2 * (3 * parameters + runningStatistics + average) + runningStatistics;
  return {
    total: arrays.reduce((sum, bytes) => sum + bytes, 0) + sets + 5 * batchNorms.length * coefficients,
    largest: Math.max(...arrays, parameters),
  };
}

/**
 * The layers whose work is a matrix product, as the kernels see them: convolutions at the points of their Winograd tile,
 * linear layers as a "tile" of one point. Everything else in this folder takes its sizes from here.
 *
 * Sizes of blocks are constants, chosen for caches of 32 KB and 1 MB, and never detected: they are part of what the result
 * depends on only through sums over rows, and those follow the tree.
 */
import { convolutions, linears, parameterOf, type Convolution, type Parameter } from '../../../shared/model/network.js';
import { tiles } from './winograd.js';

export const panelWidth = 16;
export const floatBytes = 4;
export const doubleBytes = 8;
/** Bytes of a row of a panel. */
export const lineBytes = panelWidth * floatBytes;

export type ConvolutionName = 'conv2' | 'conv3' | 'conv4' | 'conv5';
export type ProductName = ConvolutionName | 'linear1' | 'linear2';

export interface ProductLayer {
  readonly name: ProductName;
  readonly weight: Parameter;
  readonly bias: Parameter;
  /** K of the forward product. */
  readonly inputs: number;
  readonly outputs: number;
  /** N of the forward product: outputs, rounded up to whole panels. */
  readonly columns: number;
  /** Products of one layer: points of a tile. */
  readonly points: number;
  /** The point whose plane of dM sums to the bias gradient: where every output enters with weight 1. */
  readonly biasPoint: number;
  readonly rowTiles: number;
  /** Rows whose tiles are stored together, for the weight gradients; a multiple of `stripRows`. */
  readonly blockRows: number;
  /** Rows that go through transforms and products together. */
  readonly stripRows: number;
  /** Where the tiles of a block lie, and those of a strip: inputs (V, dV) and outputs (M, dM). */
  readonly block: TileLayouts;
  readonly strip: TileLayouts;
}

/** [point][panel][tile][16]: bytes between two panels and between two points, and of all. */
export interface TileLayout {
  readonly panel: number;
  readonly plane: number;
  readonly bytes: number;
}

interface TileLayouts {
  readonly inputs: TileLayout;
  readonly outputs: TileLayout;
  /** Of one panel of either. */
  readonly panel: TileLayout;
}

/**
 * A strip's tiles of all points, and the weights that go through them, should stay in the second-level cache; the more rows,
 * the fewer times the weights are read. conv3's and conv4's rows are the same: the passes go through both strip by strip.
 */
const stripRows = { conv2: 2, conv3: 16, conv4: 16, conv5: 32, linear1: 32, linear2: 32 } as const;
/** Long segments of tiles for the weight gradients, see gradient-segments.ts. */
const blockRows = { conv2: 8, conv3: 32, conv4: 32, conv5: 32, linear1: 32, linear2: 32 } as const;

export const productLayers: Readonly<Record<ProductName, ProductLayer>> = {
  conv2: convolutionLayer('conv2'),
  conv3: convolutionLayer('conv3'),
  conv4: convolutionLayer('conv4'),
  conv5: convolutionLayer('conv5'),
  linear1: linearLayer('linear1'),
  linear2: linearLayer('linear2'),
};

export const productNames = Object.keys(productLayers) as ProductName[];

/** Something of each layer, made in the network's order. */
export function eachProduct<T>(make: (layer: ProductLayer) => T): Record<ProductName, T> {
  return Object.fromEntries(productNames.map((name) => [name, make(productLayers[name])])) as Record<ProductName, T>;
}

/** Values of one row behind a panel of conv1, behind conv3, and behind each pool; bytes of conv1's signs. */
const { outputSize: conv1Size, outputs: conv1Outputs } = convolutionOf('conv1');
export const conv1Values = conv1Size * conv1Size * panelWidth;
export const conv1Signs = (conv1Size * conv1Size * conv1Outputs) / 8;
export const conv3Values = outputValues('conv3');
export const pooled2Values = outputValues('conv2') / 4;
export const pooled4Values = outputValues('conv4') / 4;
export const pooled5Values = outputValues('conv5') / 4;
export const conv1Panels = conv1Outputs / panelWidth;

/** Panels of a layer's inputs. */
export function inputPanels(layer: ProductLayer): number {
  return layer.inputs / panelWidth;
}

/** Panels of its outputs. */
export function outputPanels(layer: ProductLayer): number {
  return layer.columns / panelWidth;
}

/** Floats of one panel's part of the accumulator: G [points][inputs][16], then 16 bias gradients. */
export function unitLength(layer: ProductLayer): number {
  return (layer.points * layer.inputs + 1) * panelWidth;
}

/** Bytes of all blocks of `rows` rows. */
export function blocksBytes(layer: ProductLayer, rows: number, side: 'inputs' | 'outputs'): number {
  return Math.ceil(rows / layer.blockRows) * layer.block[side].bytes;
}

/** Bytes from the first block to the first tile of a row. */
export function rowOffset(layer: ProductLayer, row: number, side: 'inputs' | 'outputs'): number {
  const block = Math.floor(row / layer.blockRows);
  return block * layer.block[side].bytes + (row - block * layer.blockRows) * layer.rowTiles * lineBytes;
}

function convolutionOf(name: Convolution['name']): Convolution {
  const conv = convolutions.find((candidate) => candidate.name === name);
  if (conv === undefined) throw new Error(`no convolution ${name}`);
  return conv;
}

function outputValues(name: Convolution['name']): number {
  const { outputSize, outputs } = convolutionOf(name);
  return outputSize * outputSize * outputs;
}

function convolutionLayer(name: ConvolutionName): ProductLayer {
  const conv = convolutionOf(name);
  const { m } = tiles[name];
  const side = m + 2;
  const tilesPerSide = conv.outputSize / m;
  // Points are listed 0, 1, ...: the point (1, 1) is the second of the second row.
  return layerOf(name, conv.inputs, conv.outputs, side * side, side + 1, tilesPerSide * tilesPerSide);
}

function linearLayer(name: 'linear1' | 'linear2'): ProductLayer {
  const linear = linears.find((candidate) => candidate.name === name);
  if (linear === undefined) throw new Error(`no linear layer ${name}`);
  return layerOf(name, linear.inputs, linear.outputs, 1, 0, 1);
}

function layerOf(
  name: ProductName,
  inputs: number,
  outputs: number,
  points: number,
  biasPoint: number,
  rowTiles: number,
): ProductLayer {
  const columns = Math.ceil(outputs / panelWidth) * panelWidth;
  const layout = (rows: number, channels: number): TileLayout => {
    const panel = rows * rowTiles * lineBytes;
    // One line more than the data, so that the planes of a tile do not all fall into the same cache set.
    const plane = (channels / panelWidth) * panel + lineBytes;
    return { panel, plane, bytes: points * plane };
  };
  const layouts = (rows: number): TileLayouts => ({
    inputs: layout(rows, inputs),
    outputs: layout(rows, columns),
    panel: layout(rows, panelWidth),
  });
  return {
    name,
    weight: parameterOf(name, 'weight'),
    bias: parameterOf(name, 'bias'),
    inputs,
    outputs,
    columns,
    points,
    biasPoint,
    rowTiles,
    blockRows: blockRows[name],
    stripRows: stripRows[name],
    block: layouts(blockRows[name]),
    strip: layouts(stripRows[name]),
  };
}

/**
 * What the passes of a replica share: its device, its arrays, and how kernels are made, each with its arguments and sizes set once.
 * A step launches them and makes nothing.
 */
import type { DeviceShape } from '../../../../shared/engine.js';
import { batchNorms, type BatchNorm } from '../../../../shared/model/network.js';
import type { DeviceArrays } from '../arrays.js';
import type { DeviceBuffer } from '../driver/buffer.js';
import type { Context } from '../driver/context.js';
import type { Argument, Kernel, Program } from '../driver/program.js';
import {
  floatBytes,
  inputPanels,
  lineBytes,
  outputPanels,
  panelWidth,
  productLayers,
} from '../../winograd/geometry.js';
import type { ConvolutionName, ProductLayer, ProductName } from '../../winograd/geometry.js';
import { preparedOffsets } from '../../winograd/units.js';
import { panelTiles } from '../geometry.js';
import { blockSums, type BlockSide } from '../kernels/products.js';
import { sizeItems, sizeLines } from '../launch-sizes.js';
import { tileWork, type TileKernel } from '../works.js';

export type NormName = BatchNorm['name'];

/** Bytes of a piece of four floats, in which products count. */
const pieceBytes = 16;

export class Pass {
  readonly context: Context;
  readonly program: Program;
  readonly arrays: DeviceArrays;
  readonly shape: DeviceShape;
  readonly side: BlockSide;

  constructor(context: Context, program: Program, arrays: DeviceArrays, shape: DeviceShape, side: BlockSide) {
    this.context = context;
    this.program = program;
    this.arrays = arrays;
    this.shape = shape;
    this.side = side;
  }

  /** Tiles of a panel of that layer, with those behind the last. */
  tiles(name: ProductName): { readonly int32: number } {
    return { int32: panelTiles(productLayers[name], this.shape.rows) };
  }

  /** Words on the device that stay what they are. */
  constant(values: Int32Array): DeviceBuffer {
    const buffer = this.context.buffer(Math.max(values.byteLength, 64));
    if (values.length === 0) return buffer;
    const shared = new Int32Array(new SharedArrayBuffer(values.byteLength));
    shared.set(values);
    this.context.queue.write(buffer, 0, shared);
    this.context.queue.finish();
    return buffer;
  }

  /** See launch-sizes.ts. */
  lines(name: string, values: readonly Argument[], lanes: number, count: number, times = 1): Kernel {
    return sizeLines(this.program.kernel(name, values), lanes, count, times);
  }

  /** A kernel of the tiles of some rows of a convolution; the last of its arguments is how many tiles a panel has. */
  tileKernel(name: ConvolutionName, kind: TileKernel, values: readonly Argument[], rows: number): Kernel {
    const layer = productLayers[name];
    const panels = kind === 'Output' || kind === 'OutputAdjoint' ? outputPanels(layer) : inputPanels(layer);
    const list = [...values, this.tiles(name)];
    const kernel = this.lines(`${name}${kind}`, list, panelWidth, rows * layer.rowTiles, panels);
    kernel.work = tileWork(name, kind, rows);
    return kernel;
  }

  /** See launch-sizes.ts. */
  items(name: string, values: readonly Argument[], count: number): Kernel {
    return sizeItems(this.program.kernel(name, values), count);
  }

  /** M = V U of the tiles of some rows, into `outputs`. */
  forwardProduct(name: ProductName, rows: number, outputs = this.arrays.outputs[name]): Kernel {
    const layer = productLayers[name];
    const shape = { k: inputPanels(layer), n: outputPanels(layer), weights: preparedOffsets[name].u };
    return this.#product(layer, rows, this.arrays.inputs[name], outputs, shape);
  }

  /** dV = dM U^T of the tiles of some rows, into `inputs`. */
  backwardProduct(
    name: ProductName,
    rows: number,
    outputs = this.arrays.outputs[name],
    inputs = this.arrays.inputDeltas,
  ): Kernel {
    const layer = productLayers[name];
    const shape = { k: outputPanels(layer), n: inputPanels(layer), weights: preparedOffsets[name].ut };
    return this.#product(layer, rows, outputs, inputs, shape);
  }

  #product(
    layer: ProductLayer,
    rows: number,
    from: DeviceBuffer,
    to: DeviceBuffer,
    { k, n, weights }: { readonly k: number; readonly n: number; readonly weights: number },
  ): Kernel {
    const panel = (panelTiles(layer, this.shape.rows) * lineBytes) / pieceBytes;
    const weightPanel = (layer.points * k * panelWidth * lineBytes) / pieceBytes;
    const kernel = this.program.kernel(
      'product',
      [
        from,
        { int32: panel },
        { int32: k },
        this.arrays.prepared,
        { int32: weights / pieceBytes },
        { int32: weightPanel },
        { int32: n },
        to,
        { int32: panel },
      ],
      `${layer.name} product`,
    );
    const tiles = rows * layer.rowTiles;
    const sums = blockSums(this.side);
    kernel.work = {
      operations: 2 * layer.points * tiles * k * n * panelWidth * panelWidth,
      bytes: layer.points * panelWidth * (tiles * (k + n) + k * n * panelWidth) * floatBytes,
    };
    return kernel.setSize(
      [Math.ceil((n * panelWidth) / sums) * this.side, Math.ceil(tiles / sums) * this.side, layer.points],
      [this.side, this.side, 1],
    );
  }
}

/** What a batch norm normalises, and the gradient of what it makes. */
export function normArrays(
  { arrays }: Pass,
  name: NormName,
): { readonly x: DeviceBuffer; readonly delta: DeviceBuffer } {
  if (name === 'bn2') return { x: arrays.pooled2, delta: arrays.delta2 };
  if (name === 'bn4') return { x: arrays.pooled4, delta: arrays.delta4 };
  return { x: arrays.pooled5, delta: arrays.delta5 };
}

/** The batch norm of that name. */
export function normOf(name: NormName): BatchNorm {
  const norm = batchNorms.find((candidate) => candidate.name === name);
  if (norm === undefined) throw new Error(`no batch norm ${name}`);
  return norm;
}

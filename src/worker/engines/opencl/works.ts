/** What kernels compute and move, by the formula: for a profile. Each array is counted once each way. */
import type { Work } from '../../../shared/compute-device.js';
import { convolutions, imagePixels } from '../../../shared/model/network.js';
import { floatBytes, productLayers, unitLength, outputPanels } from '../winograd/geometry.js';
import type { ConvolutionName, ProductName } from '../winograd/geometry.js';
import { smallParameters } from './kernels/optimiser.js';
import { countOperations } from '../winograd/linear-program.js';
import { transformsOf } from '../winograd/transforms.js';
import { tiles } from '../winograd/winograd.js';
import type { Kernel } from './driver/program.js';

/** The kernel, with what one launch of it comes to. */
export function worked(kernel: Kernel, work: Work): Kernel {
  kernel.work = work;
  return kernel;
}

/** So many operations and bytes for each of `count` things. */
export function each(count: number, operations: number, bytes: number): Work {
  return { operations: count * operations, bytes: count * bytes };
}

/** Taps of conv1, each a product and a sum. */
const conv1Operations = 18;
/** Of Adam, on one parameter: six arrays of state, and the operations of the formula. */
const adamBytes = 6 * floatBytes;
const adamOperations = 13;

/** The kernels around a convolution's products, on the tiles of some rows. */
export function tileWork(name: ConvolutionName, kernel: TileKernel, rows: number): Work {
  const { points, rowTiles, inputs, outputs } = productLayers[name];
  const { m } = tiles[name];
  const n = m + 2;
  const conv = convolutions.find((candidate) => candidate.name === name);
  if (conv === undefined) throw new Error(`no convolution ${name}`);
  const channels = kernel === 'Output' || kernel === 'OutputAdjoint' ? outputs : inputs;
  const tileBytes = points * floatBytes;
  const inputBytes = rows * conv.inputSize * conv.inputSize * inputs * floatBytes;
  // Of a pool's output, a value and the place that it was taken from; else the value is looked at again on the way back.
  const kept = conv.pooled ? (floatBytes + 1) / 4 : floatBytes;
  const outputBytes = rows * conv.outputSize * conv.outputSize * outputs * kept;
  const transform = (kind: string, calls: number): number => calls * operationsOf(name, kind);
  const perTile: Readonly<Record<TileKernel, readonly [operations: number, bytes: number, others: number]>> = {
    Input: [
      transform('inputTransform', 2 * n) + (name === 'conv2' ? points * conv1Operations : 0),
      tileBytes,
      name === 'conv2' ? rows * imagePixels * floatBytes : inputBytes,
    ],
    Output: [transform('outputTransform', n + m), tileBytes, outputBytes],
    OutputAdjoint: [transform('outputAdjoint', m + n), tileBytes, conv.pooled ? outputBytes : 2 * outputBytes],
    InputAdjoint: [transform('inputAdjoint', 2 * n), 2 * tileBytes, 0],
    Gather: [points, tileBytes, inputBytes],
  };
  const [operations, bytes, others] = perTile[kernel];
  const work = each(rows * rowTiles * channels, operations, bytes);
  return { ...work, bytes: work.bytes + others };
}

export type TileKernel = 'Input' | 'Output' | 'OutputAdjoint' | 'InputAdjoint' | 'Gather';

/** The update of a product layer's weights, or of all small parameters. */
export function updateWork(name: ProductName | 'small'): Work {
  if (name === 'small') return each(smallParameters, adamOperations, adamBytes + floatBytes);
  const layer = productLayers[name];
  const { weight, points, inputs, columns } = layer;
  const bytes = (outputPanels(layer) * unitLength(layer) + 2 * points * inputs * columns) * floatBytes;
  const adam = each(weight.length, adamOperations, adamBytes);
  if (name === 'linear1' || name === 'linear2') return { ...adam, bytes: adam.bytes + bytes };
  const calls = tiles[name].m + 2 + 3;
  const transforms = calls * (operationsOf(name, 'weightAdjoint') + operationsOf(name, 'weightTransform'));
  return { operations: adam.operations + inputs * columns * transforms, bytes: adam.bytes + bytes };
}

/** Additions and multiplications of one transform in one dimension. */
function operationsOf(name: ConvolutionName, kind: string): number {
  const transform = transformsOf(tiles[name]).find((candidate) => candidate.kind === kind);
  if (transform === undefined) throw new Error(`no transform ${kind}`);
  const { adds, muls } = countOperations(transform.program);
  return adds + muls;
}

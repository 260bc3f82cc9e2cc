/** Tensors as all formats store them: row-major and little-endian. */
import { assert } from '../shared/errors.js';
import { batchNormChannels, parameterCount } from '../shared/model/network.js';
import type { StateTensor, Weights } from './weights.js';

/** float32, or int64 for `batchesTracked`; a copy. */
export function tensorBytes(weights: Weights, { part, offset, length }: StateTensor): Uint8Array {
  const { parameters, runningStatistics, batchesTracked } = weights;
  assert(parameters.length === parameterCount, 'weights have one value for each parameter');
  assert(runningStatistics.length === 2 * batchNormChannels, 'weights have a mean and a variance for each channel');
  if (part === 'batchesTracked') {
    const scalar = new DataView(new ArrayBuffer(8));
    scalar.setBigInt64(0, BigInt(batchesTracked), true);
    return new Uint8Array(scalar.buffer);
  }
  const values = weights[part].slice(offset, offset + length);
  const bytes = new DataView(new ArrayBuffer(4 * length));
  values.forEach((value, i) => {
    bytes.setFloat32(4 * i, value, true);
  });
  return new Uint8Array(bytes.buffer);
}

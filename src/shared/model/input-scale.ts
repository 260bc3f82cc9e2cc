/**
 * Networks whose input is scaled, as networks of plain pixels: dividing every pixel is dividing conv1's weights. Engines use the
 * divided weights too, so that both compute the same bits.
 */
import { inputDivisorOf, type TrainConfig } from './config.js';
import { parameterOf } from './network.js';

const { offset, length } = parameterOf('conv1', 'weight');

/** A copy of trained parameters, [parameterCount], that takes pixels of 0..255. */
export function forPlainPixels(parameters: Float32Array, config: Pick<TrainConfig, 'inputScale'>): Float32Array {
  const plain = parameters.slice();
  const divisor = inputDivisorOf(config);
  if (divisor !== 1) for (let p = offset; p < offset + length; p++) plain[p] = (plain[p] ?? NaN) / divisor;
  return plain;
}

/** The way back, to a rounding: parameters to train of those of a network that takes pixels of 0..255. */
export function ofPlainPixels(plain: Float32Array, config: Pick<TrainConfig, 'inputScale'>): Float32Array {
  const parameters = plain.slice();
  const divisor = inputDivisorOf(config);
  if (divisor !== 1) for (let p = offset; p < offset + length; p++) parameters[p] = (parameters[p] ?? NaN) * divisor;
  return parameters;
}

/**
 * Batch normalisation (Ioffe and Szegedy 2015) in float64, with its sums taken elsewhere: these functions do not know
 * whether a statistic covers one shard or the global batch.
 *
 * Tensors are [rows][channels][pixels]. Sums are [2][channels]: forward of x and x*x, backward of dY and dY*xHat.
 */
import type { BatchNormStatistics } from '../host/batch-norm.js';

export interface BatchNormShape {
  readonly channels: number;
  /** Height times width. */
  readonly pixels: number;
}

/** Sums of x and of x*x. */
export function batchNormForwardSums(shape: BatchNormShape, rows: number, input: Float64Array): Float64Array {
  return channelSums(shape, rows, input, input);
}

/** Sums of dY (the gradient of the bias) and of dY*xHat (the gradient of the weight). */
export function batchNormBackwardSums(
  shape: BatchNormShape,
  rows: number,
  outputGradient: Float64Array,
  normalised: Float64Array,
): Float64Array {
  return channelSums(shape, rows, outputGradient, normalised);
}

/** @returns output = weight * xHat + bias, and xHat ("normalised"), which backward needs; both shaped as the input */
export function batchNormForward(
  { channels, pixels }: BatchNormShape,
  rows: number,
  input: Float64Array,
  { mean, inverseDeviation }: BatchNormStatistics,
  weight: Float64Array,
  bias: Float64Array,
): { output: Float64Array; normalised: Float64Array } {
  const output = new Float64Array(input.length);
  const normalised = new Float64Array(input.length);
  for (let p = 0; p < rows * channels * pixels; p++) {
    const c = Math.floor(p / pixels) % channels;
    const value = (input[p]! - mean[c]!) * inverseDeviation[c]!;
    normalised[p] = value;
    output[p] = weight[c]! * value + bias[c]!;
  }
  return { output, normalised };
}

/**
 * The gradient with respect to the input. Mean and deviation depend on every value of the channel, hence the two sums.
 * @param sums of dY and dY*xHat, [2][channels], over the same rows as the statistics
 * @param count values of one channel that were summed
 */
export function batchNormBackward(
  { channels, pixels }: BatchNormShape,
  rows: number,
  outputGradient: Float64Array,
  normalised: Float64Array,
  { inverseDeviation }: BatchNormStatistics,
  weight: Float64Array,
  sums: Float64Array,
  count: number,
): Float64Array {
  const inputGradient = new Float64Array(outputGradient.length);
  for (let p = 0; p < rows * channels * pixels; p++) {
    const c = Math.floor(p / pixels) % channels;
    const centred = outputGradient[p]! - (sums[c]! + normalised[p]! * sums[channels + c]!) / count;
    inputGradient[p] = weight[c]! * inverseDeviation[c]! * centred;
  }
  return inputGradient;
}

/** [2][channels]: sums over rows and pixels of `values`, and of `values * factors`. */
function channelSums(
  { channels, pixels }: BatchNormShape,
  rows: number,
  values: Float64Array,
  factors: Float64Array,
): Float64Array {
  const sums = new Float64Array(2 * channels);
  for (let p = 0; p < rows * channels * pixels; p++) {
    const c = Math.floor(p / pixels) % channels;
    sums[c]! += values[p]!;
    sums[channels + c]! += values[p]! * factors[p]!;
  }
  return sums;
}

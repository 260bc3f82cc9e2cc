/** What a batch norm normalises by, from sums that may cover one shard or the global batch. All in float64. */
import { batchNormEpsilon } from '../../../shared/model/network.js';

/** Each [channels]. */
export interface BatchNormStatistics {
  readonly mean: Float64Array;
  /** Biased: divided by the count, not by the count less one. */
  readonly variance: Float64Array;
  /** 1 / sqrt(variance + epsilon) */
  readonly inverseDeviation: Float64Array;
}

/**
 * @param sums of x and x*x, [2][channels]
 * @param count values of one channel that were summed
 */
export function batchNormStatistics(channels: number, sums: Float64Array, count: number): BatchNormStatistics {
  const mean = new Float64Array(channels);
  const variance = new Float64Array(channels);
  for (let c = 0; c < channels; c++) {
    const value = sums[c]! / count;
    mean[c] = value;
    // The difference of two rounded numbers may come out below 0.
    variance[c] = Math.max(0, sums[channels + c]! / count - value * value);
  }
  return statisticsOf(mean, variance);
}

/** The statistics of evaluation mode. */
export function statisticsOf(mean: Float64Array, variance: Float64Array): BatchNormStatistics {
  return { mean, variance, inverseDeviation: variance.map((value) => 1 / Math.sqrt(value + batchNormEpsilon)) };
}

/** Synchronising batch-norm statistics that each rank keeps for itself (`batchNorm` local). */
import type { TrainConfig } from '../../shared/model/config.js';
import { batchNormChannels } from '../../shared/model/network.js';
import { leafCount, rowsOf, shardOf } from '../../shared/sums/tree.js';

/**
 * The running statistics that a network is evaluated with: those of batch norm `sync` are everywhere the same, those of
 * `local` are pooled.
 * @param statistics of each rank that trained, as in `poolStatistics`
 * @returns float32 [2][batchNormChannels], a copy
 */
export function synchroniseStatistics(
  config: Pick<TrainConfig, 'batchNorm' | 'batchSize' | 'microBatch'>,
  statistics: readonly Float32Array[],
): Float32Array {
  const target = new Float32Array(2 * batchNormChannels);
  if (config.batchNorm === 'sync') target.set(statistics[0] ?? []);
  else poolStatistics(statistics, shardRows(config.batchSize, config.microBatch, statistics.length), target);
  return target;
}

/**
 * Pools running statistics over ranks: means weighted by rows, and variances by the law of total variance,
 *
 *   mean = sum of w mean_r,   variance = sum of w (variance_r + (mean_r - mean)^2),   w = rows_r / sum of rows
 *
 * @param statistics of each rank, [2][batchNormChannels]: running means, then running variances
 * @param rows of each rank in a full batch
 * @param target receives the pooled ones, in the same layout
 */
export function poolStatistics(
  statistics: readonly Float32Array[],
  rows: readonly number[],
  target: Float32Array,
): void {
  const total = rows.reduce((sum, count) => sum + count, 0);
  const weighted = (value: (of: Float32Array) => number): number => {
    let sum = 0;
    statistics.forEach((of, rank) => {
      sum += (rows[rank]! * value(of)) / total;
    });
    return sum;
  };
  for (let channel = 0; channel < batchNormChannels; channel++) {
    const mean = weighted((of) => of[channel]!);
    target[channel] = mean;
    target[batchNormChannels + channel] = weighted((of) => {
      const between = of[channel]! - mean;
      return of[batchNormChannels + channel]! + between * between;
    });
  }
}

/** Rows of each rank's shard of a full batch. */
export function shardRows(batchSize: number, microBatch: number, groupSize: number): number[] {
  const leaves = leafCount(batchSize, microBatch);
  return Array.from({ length: groupSize }, (_, rank) => {
    const rows = rowsOf(shardOf(leaves, rank, groupSize), batchSize, microBatch);
    return rows.end - rows.start;
  });
}

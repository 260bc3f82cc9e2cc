/** Pooling the statistics that ranks keep for themselves: the pooled ones are those of all rows together. */
import { describe, expect, it } from 'vitest';
import { poolStatistics, shardRows } from '../../src/coordinator/checkpoint/batch-norm.js';
import { batchNormChannels } from '../../src/shared/model/network.js';
import { Philox } from '../../src/shared/model/philox.js';

function momentsOf(values: readonly number[]): { mean: number; variance: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return { mean, variance: values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length };
}

/** As a rank keeps them, the same in all channels. */
function statisticsOf(values: readonly number[]): Float32Array {
  const { mean, variance } = momentsOf(values);
  return new Float32Array(2 * batchNormChannels).fill(mean).fill(variance, batchNormChannels);
}

function pool(shards: readonly (readonly number[])[]): { mean: number; variance: number } {
  const target = new Float32Array(2 * batchNormChannels);
  const rows = shards.map((shard) => shard.length);
  poolStatistics(shards.map(statisticsOf), rows, target);
  expect(new Set(target.subarray(0, batchNormChannels)).size).toBe(1);
  expect(new Set(target.subarray(batchNormChannels)).size).toBe(1);
  return { mean: target[0] ?? NaN, variance: target[batchNormChannels] ?? NaN };
}

describe('pooled statistics', () => {
  const random = new Philox(1, 'initialisation', 0);
  const shard = (rows: number, centre: number): number[] =>
    Array.from({ length: rows }, () => centre + random.uniform());

  it.each([
    { name: 'equal shards', shards: [shard(8, 0), shard(8, 5)] },
    { name: 'uneven shards', shards: [shard(24, 0), shard(16, 5), shard(8, -3)] },
    { name: 'one shard', shards: [shard(8, 2)] },
  ])('are mean and variance of all rows together: $name', ({ shards }) => {
    const all = momentsOf(shards.flat());
    const pooled = pool(shards);
    expect(pooled.mean).toBeCloseTo(all.mean, 5);
    expect(pooled.variance).toBeCloseTo(all.variance, 4);
  });

  it('hold the spread between ranks, which an average of variances would lose', () => {
    expect(
      pool([
        [0, 0],
        [2, 2],
      ]),
    ).toEqual({ mean: 1, variance: 1 });
  });

  it('leave out ranks without rows', () => {
    const statistics = [statisticsOf([1, 3]), statisticsOf([100, 200])];
    const target = new Float32Array(2 * batchNormChannels);
    poolStatistics(statistics, [2, 0], target);
    expect([target[0], target[batchNormChannels]]).toEqual([2, 1]);
  });
});

describe('rows of each rank', () => {
  it('are those of a full batch, whole micro-batches each', () => {
    expect(shardRows(128, 8, 1)).toEqual([128]);
    expect(shardRows(128, 8, 3)).toEqual([40, 40, 48]);
    expect(shardRows(20, 8, 2)).toEqual([8, 12]);
    expect(shardRows(128, 8, 16)).toEqual(new Array<number>(16).fill(8));
  });
});

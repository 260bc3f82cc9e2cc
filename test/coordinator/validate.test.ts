import { describe, expect, it } from 'vitest';
import { checkBatchNormRows, resolveConfig } from '../../src/coordinator/validate.js';
import { defaultConfig } from '../../src/shared/model/config.js';
import { leafCount, rowsOf, shardOf } from '../../src/shared/sums/tree.js';
import { operationalError } from '../support/compute/errors.js';

describe('configuration', () => {
  it('is the reference program where nothing is said', () => {
    expect(resolveConfig({})).toEqual(defaultConfig);
    expect(resolveConfig({ epochs: undefined, seed: 4_294_967_295, batchNorm: 'local', learningRate: 0 })).toEqual({
      ...defaultConfig,
      seed: 4_294_967_295,
      batchNorm: 'local',
      learningRate: 0,
    });
  });

  it.each([
    [{ epochs: 0 }, '`epochs` must be a whole number from 1 to 1000000, not 0'],
    [{ epochs: 1.5 }, '`epochs`'],
    [{ batchSize: 0 }, '`batchSize`'],
    [{ batchSize: Infinity }, '`batchSize`'],
    [{ batchSize: 2_147_483_648 }, '`batchSize`'],
    [{ microBatch: -8 }, '`microBatch`'],
    [{ learningRate: NaN }, '`learningRate` must be a finite number of at least 0, not NaN'],
    [{ learningRate: -1e-3 }, '`learningRate`'],
    [{ learningRate: '0.1' }, '`learningRate` must be a finite number of at least 0, not "0.1"'],
    [{ lrStep: 0 }, '`lrStep`'],
    [{ lrGamma: Infinity }, '`lrGamma`'],
    [{ seed: -1 }, '`seed`'],
    [{ seed: 4_294_967_296 }, '`seed` must be a whole number from 0 to 4294967295, not 4294967296'],
    [{ seed: 0.5 }, '`seed`'],
    [{ batchNorm: 'group' }, '`batchNorm` must be sync or local, not "group"'],
  ])('refuses %o by the name of its flag', async (options, message) => {
    const error = await operationalError(() => resolveConfig(options as object));
    expect(error.code).toBe('USAGE');
    expect(error.message).toContain(message);
  });
});

describe('a batch norm over one row is refused before training starts', () => {
  const config = { ...defaultConfig, batchSize: 128, microBatch: 8 };

  it('takes the reference: full batches of 128 and a last one of 96', () => {
    for (const batchNorm of ['sync', 'local'] as const) {
      for (let groupSize = 1; groupSize <= 16; groupSize++)
        checkBatchNormRows({ ...config, batchNorm }, 60_000, groupSize);
    }
  });

  it.each([
    [1, 100, 'a full batch has 1 row (100 training rows in batches of 1)'],
    [128, 129, 'the last batch of an epoch has 1 row (129 training rows in batches of 128)'],
    [128, 1, 'the last batch of an epoch has 1 row'],
  ])('sync: batch %i of %i rows', async (batchSize, trainCount, message) => {
    const error = await operationalError(() => {
      checkBatchNormRows({ ...config, batchSize }, trainCount, 1);
    });
    expect(error.code).toBe('USAGE');
    expect(error.message).toContain(message);
    expect(error.message).toContain('choose another batch size');
  });

  it('sync: a shard of one row is fine, since statistics are taken over the batch', () => {
    checkBatchNormRows({ ...config, batchSize: 9 }, 90, 2);
    checkBatchNormRows({ ...config, batchSize: 4, microBatch: 1 }, 16, 4);
  });

  it('local: names rank, rows, batch and flags', async () => {
    const error = await operationalError(() => {
      checkBatchNormRows({ ...config, batchSize: 9, batchNorm: 'local' }, 90, 2);
    });
    expect(error).toMatchObject({ code: 'USAGE' });
    expect(error.message).toContain('rank 1 of 2 gets 1 of the 9 rows of a full batch');
    expect(error.message).toMatch(/choose another `workers`, `batchSize` or `microBatch`, or `batchNorm` sync$/);
    const last = await operationalError(() => {
      checkBatchNormRows({ ...config, batchNorm: 'local' }, 128 + 17, 3);
    });
    expect(last.message).toContain('gets 1 of the 17 rows of the last batch of an epoch');
  });

  it('local: refuses exactly the cases where some shard of some batch has one row', () => {
    for (const microBatch of [1, 2, 3, 8]) {
      for (let batchSize = 2; batchSize <= 20; batchSize++) {
        for (let groupSize = 1; groupSize <= 4; groupSize++) {
          for (const trainCount of [3, 40, 41, 59]) {
            const local = { ...config, batchSize, microBatch, batchNorm: 'local' as const };
            const sizes: number[] = [];
            for (let row = 0; row < trainCount; row += batchSize) sizes.push(Math.min(batchSize, trainCount - row));
            const alone = sizes.some((rows) =>
              Array.from({ length: groupSize }, (_, rank) =>
                rowsOf(shardOf(leafCount(rows, microBatch), rank, groupSize), rows, microBatch),
              ).some(({ start, end }) => end - start === 1),
            );
            const check = (): void => {
              checkBatchNormRows(local, trainCount, groupSize);
            };
            if (alone) expect(check).toThrow(/needs at least 2/);
            else expect(check).not.toThrow();
          }
        }
      }
    }
  });
});

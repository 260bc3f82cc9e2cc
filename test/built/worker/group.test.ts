/** One hash: any number of worker threads gives the bits of one, and what they compute together is the mean gradient. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { batchNormChannels, batchNorms, parameters } from '../../../src/shared/model/network.js';
import { planBatch } from '../../../src/shared/sums/batch-plan.js';
import { leafCount, rowsOf } from '../../../src/shared/sums/tree.js';
import { forwardBackward } from '../../../src/worker/engines/reference/forward-backward.js';
import { relativeL2 } from '../../support/compute/golden.js';
import { startGroup, type StepResult } from '../../support/compute/group.js';
import { temporaryDirectory, writeIdxSet } from '../../support/inputs/idx-files.js';
import { pickMnistRows } from '../../support/inputs/mnist.js';
import { trainRun } from '../../support/processes/runs.js';

let directory: string;
let remove: () => Promise<void>;
let small: string;
let large: string;
let runs = 0;
const out = (): string => `${directory}/run-${String(runs++)}`;

beforeAll(async () => {
  ({ directory, remove } = await temporaryDirectory());
  const [smallSet, largeSet] = await Promise.all([temporaryDirectory(), temporaryDirectory()]);
  small = await writeIdxSet(smallSet.directory, 74, 21);
  large = await writeIdxSet(largeSet.directory, 176, 21);
  const removeRuns = remove;
  remove = async () => {
    await Promise.all([removeRuns(), smallSet.remove(), largeSet.remove()]);
  };
});
afterAll(async () => {
  await remove();
});

async function trajectory(data: string, groupSize: number, steps: number, config: object): Promise<StepResult[]> {
  const group = await startGroup(data, groupSize, config);
  try {
    const results: StepResult[] = [];
    while (results.length < steps) results.push(await group.step());
    return results;
  } finally {
    await group.close();
  }
}

describe('any number of workers', () => {
  describe('on batches of 32 in 16 micro-batches, the last of an epoch of 10 rows in 5', () => {
    const config = { batchSize: 32, microBatch: 2, epochs: 2, seed: 3 };
    let alone: StepResult[];
    beforeAll(async () => {
      alone = await trajectory(small, 1, 6, config);
    });

    it.each([2, 3, 7, 16])(
      'gives the loss and the parameters of one worker after every step: %d',
      async (groupSize) => {
        expect(await trajectory(small, groupSize, 6, config)).toEqual(alone);
      },
    );

    it('changes the parameters in every step', () => {
      expect(new Set(alone.map((step) => step.parametersSha256)).size).toBe(6);
    });

    it('is what train does', async () => {
      const lastEpoch = alone.slice(3).reduce((sum, { loss }) => sum + loss, 0) / 3;
      const { summary } = await trainRun({ ...config, data: small, workers: 3, out: out() });
      expect(summary).toMatchObject({
        steps: 6,
        workers: 3,
        trainLoss: lastEpoch,
        parametersSha256: alone[5]?.parametersSha256,
      });
    });

    it('gives the same hash once more, and another one for another seed', async () => {
      const again = await trainRun({ ...config, data: small, workers: 2, out: out() });
      const other = await trainRun({ ...config, seed: 4, data: small, workers: 2, out: out() });
      expect(again.summary.parametersSha256).toBe(alone[5]?.parametersSha256);
      expect(other.summary.parametersSha256).not.toBe(alone[5]?.parametersSha256);
    });
  });

  describe('on a batch of 128 in micro-batches of 8, and a short one of 48', () => {
    const config = { batchSize: 128, microBatch: 8, seed: 1 };
    let alone: StepResult[];
    beforeAll(async () => {
      alone = await trajectory(large, 1, 2, config);
    });

    it.each([4, 7])('gives the loss and the parameters of one worker: %d', async (groupSize) => {
      expect(await trajectory(large, groupSize, 2, config)).toEqual(alone);
    });
  });

  it('depends on the micro-batch: another tree gives other bits', async () => {
    const [first] = await trajectory(small, 1, 1, { batchSize: 32, microBatch: 2 });
    const [second] = await trajectory(small, 1, 1, { batchSize: 32, microBatch: 4 });
    expect(second?.parametersSha256).not.toBe(first?.parametersSha256);
    expect(Math.abs((second?.loss ?? NaN) - (first?.loss ?? NaN))).toBeLessThan(1e-4);
  });
});

/** 16 rows in 8 micro-batches over 3 workers: shards of 4, 6 and 6 rows. */
describe.each(['sync', 'local'] as const)('the first step of 3 workers with batch norm %s', (batchNorm) => {
  const [rows, groupSize, microBatch] = [16, 3, 2];
  const shards = Array.from({ length: groupSize }, (_, rank) =>
    rowsOf(planBatch(rows, leafCount(rows, microBatch), rank, groupSize).shard, rows, microBatch),
  );
  const groups = batchNorm === 'sync' ? [{ start: 0, end: rows }] : shards;
  const initialRunning = new Float64Array(2 * batchNormChannels).fill(1, batchNormChannels);

  let loss: number;
  let gradient: Float32Array;
  /** [rank][2][channels] */
  let running: Float32Array[];
  let evaluationStatistics: Float32Array;
  let reference: ReturnType<typeof forwardBackward>[];

  beforeAll(async () => {
    const group = await startGroup(small, groupSize, { batchSize: rows, microBatch, batchNorm, seed: 3 });
    try {
      const { session, permutation } = group;
      const start = Float64Array.from(session.save().parameters);
      ({ loss } = await group.step());
      gradient = new Float32Array(group.gradient);
      const copyAt = (offset: number): Float32Array =>
        new Float32Array(new Float32Array(session.buffer, offset, 2 * batchNormChannels));
      running = session.layout.sets[1].runningStatistics.map(copyAt);
      await session.evaluate();
      evaluationStatistics = copyAt(session.layout.evaluationStatistics);
      reference = groups.map(({ start: first, end }) => {
        const { images, labels } = pickMnistRows('train', [...permutation.subarray(first, end)]);
        return forwardBackward(start, images, labels);
      });
    } finally {
      await group.close();
    }
  });

  const weightOf = (index: number): number => {
    const group = groups[index];
    return group === undefined ? NaN : (group.end - group.start) / rows;
  };

  it('has the mean loss of the whole batch', () => {
    const expected = reference.reduce((sum, report, i) => sum + weightOf(i) * report.loss, 0);
    expect(Math.abs(loss / expected - 1)).toBeLessThan(1e-5);
  });

  it('has the mean gradient of the whole batch, in every tensor', () => {
    // float32 against float64; statistics over 4 rows alone amplify it.
    const tolerance = batchNorm === 'sync' ? 5e-5 : 2e-4;
    for (const { name, offset, length } of parameters) {
      const expected = new Float64Array(length);
      reference.forEach((report, i) => {
        report.gradient.subarray(offset, offset + length).forEach((value, p) => {
          expected[p] = (expected[p] ?? NaN) + weightOf(i) * value;
        });
      });
      expect(relativeL2(gradient.subarray(offset, offset + length), expected), name).toBeLessThan(tolerance);
    }
  });

  it('leaves each rank the running statistics of what it normalised by', () => {
    running.forEach((actual, rank) => {
      const index = batchNorm === 'sync' ? 0 : rank;
      const count = rows * weightOf(index);
      const expected = Float64Array.from(initialRunning, (value) => 0.9 * value);
      batchNorms.forEach(({ offset, pixels }, k) => {
        const statistics = reference[index]?.statistics[k];
        const unbiased = (count * pixels) / (count * pixels - 1);
        statistics?.mean.forEach((mean, c) => (expected[offset + c] = 0.1 * mean));
        statistics?.variance.forEach((variance, c) => {
          expected[batchNormChannels + offset + c] = 0.9 + 0.1 * variance * unbiased;
        });
      });
      expect(relativeL2(actual, expected), `rank ${String(rank)}`).toBeLessThan(1e-5);
    });
    const distinct = new Set(running.map((statistics) => Buffer.from(statistics.buffer).toString('hex'))).size;
    expect(distinct).toBe(batchNorm === 'sync' ? 1 : groupSize);
  });

  it('evaluates by statistics that are pooled over the ranks by their rows', () => {
    const mean = (c: number): number =>
      running.reduce((sum, of, r) => sum + (batchNorm === 'sync' ? 1 / groupSize : weightOf(r)) * (of[c] ?? NaN), 0);
    const expected = new Float64Array(2 * batchNormChannels);
    for (let c = 0; c < batchNormChannels; c++) {
      expected[c] = mean(c);
      expected[batchNormChannels + c] = running.reduce((sum, of, r) => {
        const weight = batchNorm === 'sync' ? 1 / groupSize : weightOf(r);
        return sum + weight * ((of[batchNormChannels + c] ?? NaN) + ((of[c] ?? NaN) - mean(c)) ** 2);
      }, 0);
    }
    expect(relativeL2(evaluationStatistics, expected)).toBeLessThan(1e-6);
  });
});

/** Shuffling and initialisation: functions of the seed alone. */
import { describe, expect, it } from 'vitest';
import { fillPermutation, holdOut } from '../../src/coordinator/dataset/sampler.js';
import { initialiseParameters, initialiseRunningStatistics } from '../../src/coordinator/session/initialisation.js';
import { batchNormChannels, parameterCount, parameters } from '../../src/shared/model/network.js';

function permutation(rows: number, seed: number, epoch: number): number[] {
  const target = new Uint32Array(rows);
  fillPermutation(
    target,
    target.map((_, row) => row),
    seed,
    epoch,
  );
  return [...target];
}

function initial(seed: number): Float32Array {
  const target = new Float32Array(parameterCount);
  initialiseParameters(target, seed);
  return target;
}

describe('rows that are held out', () => {
  it.each([
    [60_000, 5000],
    [40, 39],
    [7, 0],
  ])('of %d are %d, and with those that are trained on every row once, in order', (total, count) => {
    const { trained, heldOut } = holdOut(total, count, 3);
    expect([trained.length, heldOut.length]).toEqual([total - count, count]);
    expect([...trained, ...heldOut].sort((a, b) => a - b)).toEqual(Array.from({ length: total }, (_, row) => row));
    for (const rows of [trained, heldOut]) expect([...rows]).toEqual([...rows].sort((a, b) => a - b));
  });

  it('depend on the seed, and are any row about equally often', () => {
    const often = new Array<number>(8).fill(0);
    for (let seed = 0; seed < 2000; seed++)
      for (const row of holdOut(8, 3, seed).heldOut) often[row] = (often[row] ?? 0) + 1;
    expect(often.reduce((sum, times) => sum + times, 0)).toBe(6000);
    for (const times of often) expect(Math.abs(times - 750)).toBeLessThan(100);
  });

  it('are in no epoch, which takes each of the others once', () => {
    const { trained } = holdOut(500, 100, 3);
    const target = new Uint32Array(400);
    fillPermutation(target, trained, 3, 5);
    expect([...target].sort((a, b) => a - b)).toEqual([...trained]);
    expect([...target]).not.toEqual([...trained]);
  });
});

describe('the order of an epoch', () => {
  it.each([1, 2, 176, 60_000])('takes every one of %d rows exactly once', (rows) => {
    const sorted = permutation(rows, 0, 0).sort((a, b) => a - b);
    expect(sorted.every((row, i) => row === i)).toBe(true);
    expect(sorted).toHaveLength(rows);
  });

  it('depends on seed and epoch, and on nothing else', () => {
    const order = permutation(500, 1, 2);
    expect(permutation(500, 1, 2)).toEqual(order);
    expect(permutation(500, 1, 3)).not.toEqual(order);
    expect(permutation(500, 2, 2)).not.toEqual(order);
    expect(order).not.toEqual(Array.from(order.keys()));
  });

  it('puts any row in any place about equally often', () => {
    const first = new Array<number>(4).fill(0);
    for (let epoch = 0; epoch < 2000; epoch++) {
      const row = permutation(4, 0, epoch)[0] ?? NaN;
      first[row] = (first[row] ?? NaN) + 1;
    }
    for (const count of first) expect(Math.abs(count - 500)).toBeLessThan(100);
  });
});

describe('initial parameters', () => {
  const values = initial(0);

  it("are within PyTorch's bounds of 1/sqrt(fanIn), and use their whole width", () => {
    for (const { name, offset, length, fanIn } of parameters) {
      if (fanIn === 0) continue;
      const tensor = values.subarray(offset, offset + length);
      const bound = 1 / Math.sqrt(fanIn);
      const largest = tensor.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      expect(largest, name).toBeLessThanOrEqual(Math.fround(bound));
      expect(largest, name).toBeGreaterThan(0.7 * bound);
      if (length < 1000) continue;
      const variance = tensor.reduce((sum, value) => sum + value * value, 0) / length;
      expect(Math.abs(variance / ((bound * bound) / 3) - 1), name).toBeLessThan(0.15);
    }
  });

  it('are 1 and 0 in batch norms', () => {
    for (const { kind, offset, length, fanIn } of parameters) {
      if (fanIn !== 0) continue;
      const tensor = values.subarray(offset, offset + length);
      expect(tensor.every((value) => value === (kind === 'weight' ? 1 : 0))).toBe(true);
    }
  });

  it('depend on the seed, and differ from tensor to tensor', () => {
    expect(initial(0)).toEqual(values);
    expect(initial(1)).not.toEqual(values);
    const scaled = parameters
      .filter(({ fanIn }) => fanIn !== 0)
      .map((p) => (values[p.offset] ?? 0) * Math.sqrt(p.fanIn));
    expect(new Set(scaled.map((value) => value.toFixed(6))).size).toBe(scaled.length);
  });

  it('come with running means of 0 and running variances of 1', () => {
    const statistics = new Float32Array(2 * batchNormChannels).fill(NaN);
    initialiseRunningStatistics(statistics);
    expect(statistics.every((value, i) => value === (i < batchNormChannels ? 0 : 1))).toBe(true);
  });
});

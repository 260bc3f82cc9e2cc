/** Learning rates, which rows a step takes, and what each of them depends on. */
import { describe, expect, it } from 'vitest';
import { defaultConfig, trainAlike } from '../../src/shared/model/config.js';
import { averageDecayAt, learningRateAt, positionOf, stepsPerEpoch } from '../../src/shared/model/schedule.js';

describe('StepLR', () => {
  it('decays by 0.1 every 938 optimiser steps from 1e-3', () => {
    const rates = [0, 937, 938, 1875, 1876, 2814].map((step) => learningRateAt(defaultConfig, 469, step));
    expect(rates.map((rate) => rate.toFixed(10))).toEqual([
      '0.0010000000',
      '0.0010000000',
      '0.0001000000',
      '0.0001000000',
      '0.0000100000',
      '0.0000010000',
    ]);
  });

  it('multiplies repeatedly, as PyTorch does, to the bit', () => {
    let rate = 1e-3;
    for (let decays = 0; decays < 7; decays++) {
      expect(learningRateAt(defaultConfig, 469, 938 * decays)).toBe(rate);
      rate *= 0.1;
    }
  });

  it('takes any period and factor, those that end at 0 too', () => {
    const config = { ...defaultConfig, learningRate: 0.5, lrStep: 3, lrGamma: 0.5 };
    expect([0, 2, 3, 5, 6, 9].map((step) => learningRateAt(config, 469, step))).toEqual([
      0.5, 0.5, 0.25, 0.25, 0.125, 0.0625,
    ]);
    expect(learningRateAt({ ...config, lrGamma: 0 }, 469, 3)).toBe(0);
    expect(learningRateAt({ ...config, lrStep: 1, lrGamma: 1 }, 469, 1000)).toBe(0.5);
  });
});

describe('one cycle', () => {
  const config = { ...defaultConfig, schedule: 'one-cycle', learningRate: 4e-3, epochs: 10, warmUp: 0.2 } as const;
  const rateAt = (step: number): number => learningRateAt(config, 100, step);

  it('goes up to the learning rate in a straight line, and down to 0 along a cosine', () => {
    expect([0, 50, 100, 200].map(rateAt)).toEqual([0, 1e-3, 2e-3, 4e-3]);
    expect(rateAt(600)).toBeCloseTo(2e-3, 12);
    expect(rateAt(400)).toBeCloseTo(4e-3 * (0.5 + Math.SQRT1_2 / 2), 12);
    expect([1000, 1001].map(rateAt), 'what comes after the end').toEqual([0, 0]);
    const rates = Array.from({ length: 1001 }, (_, step) => rateAt(step));
    for (let step = 1; step <= 1000; step++) {
      const change = (rates[step] ?? NaN) - (rates[step - 1] ?? NaN);
      expect(step <= 200 ? change > 0 : change < 0, String(step)).toBe(true);
    }
  });

  it.each([0, 1])('takes a warm-up of %d of all steps', (warmUp) => {
    const rates = [0, 500, 1000].map((step) => learningRateAt({ ...config, warmUp }, 100, step));
    expect(rates.map((rate) => Number(rate.toFixed(12)))).toEqual(warmUp === 0 ? [4e-3, 2e-3, 0] : [0, 2e-3, 0]);
  });
});

describe("the average's decay", () => {
  it('grows from a little to what was asked for', () => {
    const config = { ...defaultConfig, averageDecay: 0.99 };
    expect([1, 90, 890, 100_000].map((steps) => averageDecayAt(config, steps))).toEqual([2 / 11, 0.91, 0.99, 0.99]);
  });
});

describe('the rows of a step', () => {
  it('has 469 steps in an epoch of MNIST, the last of 96 rows', () => {
    expect(stepsPerEpoch(defaultConfig, 60_000)).toBe(469);
    expect(positionOf(defaultConfig, 60_000, 0)).toEqual({ epoch: 0, start: 0, rows: 128 });
    expect(positionOf(defaultConfig, 60_000, 467)).toEqual({ epoch: 0, start: 59_776, rows: 128 });
    expect(positionOf(defaultConfig, 60_000, 468)).toEqual({ epoch: 0, start: 59_904, rows: 96 });
    expect(positionOf(defaultConfig, 60_000, 469)).toEqual({ epoch: 1, start: 0, rows: 128 });
    expect(positionOf(defaultConfig, 60_000, 13 * 469 - 1)).toEqual({ epoch: 12, start: 59_904, rows: 96 });
  });

  it.each([1, 31, 32, 33, 64, 176])('covers every one of %d rows once in each epoch', (trainCount) => {
    const config = { ...defaultConfig, batchSize: 32 };
    const perEpoch = stepsPerEpoch(config, trainCount);
    for (const epoch of [0, 1, 5]) {
      let next = 0;
      for (let step = epoch * perEpoch; step < (epoch + 1) * perEpoch; step++) {
        const position = positionOf(config, trainCount, step);
        expect(position).toMatchObject({ epoch, start: next });
        expect(position.rows).toBeGreaterThan(0);
        next += position.rows;
      }
      expect(next).toBe(trainCount);
    }
  });
});

it('configurations train alike though their epochs differ, unless the rate goes by them', () => {
  const oneCycle = { ...defaultConfig, schedule: 'one-cycle' } as const;
  expect(trainAlike(defaultConfig, { ...defaultConfig, epochs: 1 })).toBe(true);
  expect(trainAlike(oneCycle, { ...oneCycle, epochs: 1 })).toBe(false);
  expect(trainAlike(defaultConfig, { ...defaultConfig, seed: 1 })).toBe(false);
});

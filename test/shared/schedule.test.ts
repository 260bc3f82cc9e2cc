/** StepLR and which rows a step takes. */
import { describe, expect, it } from 'vitest';
import { defaultConfig } from '../../src/shared/model/config.js';
import { learningRateAt, positionOf, stepsPerEpoch } from '../../src/shared/model/schedule.js';

describe('StepLR', () => {
  it('decays by 0.1 every 938 optimiser steps from 1e-3', () => {
    const rates = [0, 937, 938, 1875, 1876, 2814].map((step) => learningRateAt(defaultConfig, step));
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
      expect(learningRateAt(defaultConfig, 938 * decays)).toBe(rate);
      rate *= 0.1;
    }
  });

  it('takes any period and factor, those that end at 0 too', () => {
    const config = { ...defaultConfig, learningRate: 0.5, lrStep: 3, lrGamma: 0.5 };
    expect([0, 2, 3, 5, 6, 9].map((step) => learningRateAt(config, step))).toEqual([
      0.5, 0.5, 0.25, 0.25, 0.125, 0.0625,
    ]);
    expect(learningRateAt({ ...config, lrGamma: 0 }, 3)).toBe(0);
    expect(learningRateAt({ ...config, lrStep: 1, lrGamma: 1 }, 1000)).toBe(0.5);
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

/** The score of held-out rows: what it is to the bit, and what is chosen by it. */
import { describe, expect, it } from 'vitest';
import { lossUnits, meanLoss } from '../../src/coordinator/session/row-loss.js';
import { Selection } from '../../src/coordinator/training/selection.js';
import { resolveConfig, checkBatchNormRows, checkSelection } from '../../src/coordinator/validate.js';
import { operationalError } from '../support/compute/errors.js';
import { randomBits } from '../support/inputs/random.js';

describe('the loss of a row', () => {
  const random = randomBits(11);
  /** From even to certain. */
  const rows = Array.from({ length: 500 }, (_, i) => {
    const values = Array.from({ length: 10 }, () => Math.exp(((i / 50) * random()) / 6554));
    const sum = values.reduce((total, value) => total + value, 0);
    return Float32Array.from(values, (value) => value / sum);
  });

  it('is the cross-entropy of the softmax of its probabilities, to the unit that it is counted in', () => {
    for (const [i, row] of [...rows, new Float32Array(10).fill(1, 3, 4)].entries()) {
      const label = i % 10;
      const expected = Math.log(row.reduce((sum, value) => sum + Math.exp(value), 0)) - (row[label] ?? NaN);
      expect(Math.abs(meanLoss(lossUnits('double-softmax', row, 0, 10, label), 1) - expected)).toBeLessThan(2 ** -28);
    }
  });

  it('is minus the logarithm of its probability, of cross-entropy, and finite where there is none', () => {
    for (const [i, row] of rows.entries()) {
      const expected = -Math.log(row[i % 10] ?? NaN);
      expect(Math.abs(meanLoss(lossUnits('cross-entropy', row, 0, 10, i % 10), 1) - expected)).toBeLessThan(2 ** -28);
    }
    const tiny = Float32Array.of(1, 1e-30, 2 ** -149, 0);
    const losses = [0, 1, 2, 3].map((label) => meanLoss(lossUnits('cross-entropy', tiny, 0, 4, label), 1));
    expect(losses.map((loss) => loss.toFixed(6))).toEqual(['0.000000', '69.077553', '103.278930', '103.278930']);
  });

  it('adds up to the same in any order, and over any number of processes', () => {
    const units = rows.map((row, i) => lossUnits('double-softmax', row, 0, 10, i % 10));
    const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
    expect(units.every(Number.isSafeInteger)).toBe(true);
    expect(sum(units.toReversed())).toBe(sum(units));
    expect(sum(units.slice(0, 123)) + sum(units.slice(123))).toBe(sum(units));
  });
});

describe('the best epoch', () => {
  const score = (epoch: number, correct: number, loss: number) => ({
    step: 10 * epoch,
    epoch,
    correct,
    total: 100,
    loss,
  });

  it('has most rows right, of equals the least loss, of equals the first', () => {
    const selection = new Selection(0, null);
    const scores = [score(1, 90, 1.6), score(2, 89, 1.5), score(3, 90, 1.6), score(4, 90, 1.59), score(5, 91, 1.7)];
    expect(scores.map((one) => selection.consider(one, true))).toEqual([true, false, false, true, true]);
    expect(selection.best).toEqual(scores[4]);
  });

  it('is written once more where a run goes on from it, and is none within an epoch but the first of all', () => {
    const first = score(1, 90, 1.6);
    const selection = new Selection(0, first);
    expect(selection.consider(first, true)).toBe(true);
    expect(selection.consider(score(1.5, 99, 1.5), false)).toBe(false);
    expect(new Selection(0, null).consider(score(0.5, 9, 1.9), false)).toBe(true);
  });

  it('ends training so many epochs later, and never where no patience is given', () => {
    const selection = new Selection(2, null);
    expect(selection.isExhausted(7)).toBe(false);
    selection.consider(score(3, 90, 1.6), true);
    expect([3, 4, 5, 6].map((epoch) => selection.isExhausted(epoch))).toEqual([false, false, true, true]);
    expect(new Selection(0, score(3, 90, 1.6)).isExhausted(1000)).toBe(false);
  });
});

describe('options', () => {
  it('that go by held-out rows are refused without any', async () => {
    for (const [options, keepBest, name] of [
      [{ patience: 2 }, false, 'patience'],
      [{}, true, 'keepBest'],
    ] as const) {
      const { code, message } = await operationalError(() => {
        checkSelection(resolveConfig(options), keepBest);
      });
      expect([code, message]).toEqual(['USAGE', expect.stringContaining(`\`${name}\` goes by`)]);
    }
    checkSelection(resolveConfig({ patience: 2, validation: 1 }), true);
  });

  it.each([
    [60, 'holds', 60, /^60 rows cannot be held out of 60 training rows: choose a smaller `validation`$/],
    [
      27,
      'leaves',
      60,
      /the last batch of an epoch has 1 row \(33 training rows in batches of 16\).*another `validation`/,
    ],
  ])('that hold out %d of 60 rows are refused by what is left', async (validation, _, trainCount, message) => {
    const config = resolveConfig({ batchSize: 16, validation });
    const error = await operationalError(() => {
      checkBatchNormRows(config, trainCount, 1);
    });
    expect([error.code, error.message]).toEqual(['USAGE', expect.stringMatching(message)]);
  });
});

import { describe, expect, it } from 'vitest';
import { LossMeans } from '../../src/coordinator/metrics/losses.js';
import { randomBits } from '../support/inputs/random.js';

const random = randomBits(5);
const losses = Array.from({ length: 40 }, () => 1.4 + random() / 65_536);
const mean = (first: number, end: number): number =>
  losses.slice(first, end).reduce((sum, loss) => sum + loss, 0) / (end - first);

describe('means of the loss, of epochs of 15 steps in intervals of 7', () => {
  it('are over the steps since an interval ended, and over those of the epoch', () => {
    const means = new LossMeans(15, 7, null);
    expect([means.ofInterval, means.ofEpoch]).toEqual([null, null]);
    const ends: [step: number, ofInterval: number | null, ofEpoch: number | null][] = [];
    losses.forEach((loss, step) => {
      means.add(step, loss);
      if (!means.endsAt((step % 15) + 1)) return;
      ends.push([step + 1, means.ofInterval, means.ofEpoch]);
      means.startInterval();
    });
    expect(ends).toEqual(
      [0, 7, 14, 15, 22, 29, 30].map((first, i, firsts) => {
        const end = firsts[i + 1] ?? 37;
        return [end, mean(first, end), mean(15 * Math.floor(first / 15), end)];
      }),
    );
  });

  it('go on from what was saved after any step, with every bit', () => {
    for (let stop = 0; stop < losses.length; stop++) {
      let means = new LossMeans(15, 7, null);
      losses.forEach((loss, step) => {
        if (step === stop) means = new LossMeans(15, 7, means.save());
        means.add(step, loss);
      });
      expect([means.steps, means.ofInterval, means.ofEpoch]).toEqual([40, mean(0, 40), mean(30, 40)]);
    }
  });
});

/** Augmentation: what is drawn is a function of seed, epoch and row, and is distributed as it is said to be. */
import { describe, expect, it } from 'vitest';
import { augments, drawTransform, transformLength } from '../../src/shared/model/augmentation.js';
import { cosineOf, sineOf } from '../../src/shared/model/trigonometry.js';

const none = { seed: 5, rotation: 0, translation: 0, scaling: 0, shear: 0 };

function drawn(config: typeof none, epoch: number, row: number): number[] {
  const target = new Float32Array(transformLength + 2);
  drawTransform(config, epoch, row, target, 1);
  expect([target[0], target[transformLength + 1]], 'nothing else is written').toEqual([0, 0]);
  return [...target.subarray(1, 1 + transformLength)];
}

/** Mean, standard deviation, least and greatest. */
function spread(values: readonly number[]): { mean: number; deviation: number; least: number; most: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  return { mean, deviation: Math.sqrt(variance), least: Math.min(...values), most: Math.max(...values) };
}

/** That values are uniform in +-bound, as far as so many tell. */
function expectUniform(values: readonly number[], bound: number): void {
  const { mean, deviation, least, most } = spread(values);
  expect(Math.abs(mean)).toBeLessThan((4 * bound) / Math.sqrt(3 * values.length));
  expect(Math.abs(deviation / (bound / Math.sqrt(3)) - 1)).toBeLessThan(0.03);
  expect(least).toBeGreaterThanOrEqual(-bound * 1.000001);
  expect(most).toBeLessThanOrEqual(bound * 1.000001);
  expect(most - least).toBeGreaterThan(1.99 * bound);
  // Each tenth of the range about as often as any other.
  const tenths = new Map<number, number>();
  for (const value of values) {
    const tenth = Math.min(9, Math.floor((5 * (value + bound)) / bound));
    tenths.set(tenth, (tenths.get(tenth) ?? 0) + 1);
  }
  expect(tenths.size).toBe(10);
  for (const often of tenths.values())
    expect(Math.abs(often - values.length / 10)).toBeLessThan((0.12 * values.length) / 10);
}

const rows = Array.from({ length: 10_000 }, (_, row) => row);
const degrees = 180 / Math.PI;

describe('a transform', () => {
  it('is none where nothing is asked for', () => {
    expect(augments(none)).toBe(false);
    expect(drawn(none, 3, 17)).toEqual([1, 0, 0, 0, 1, 0]);
  });

  it.each(['rotation', 'translation', 'scaling', 'shear'] as const)('is asked for by %s alone', (name) => {
    expect(augments({ ...none, [name]: 0.5 })).toBe(true);
    expect(drawn({ ...none, [name]: 0.5 }, 0, 0)).not.toEqual([1, 0, 0, 0, 1, 0]);
  });

  it('turns by an angle that is uniform, about the middle of the image', () => {
    const transforms = rows.map((row) => drawn({ ...none, rotation: 12 }, 0, row));
    expectUniform(
      transforms.map(([a = 0, , , d = 0]) => Math.atan2(d, a) * degrees),
      12,
    );
    for (const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] of transforms) {
      expect(Math.abs(a * a + d * d - 1)).toBeLessThan(1e-6);
      expect([a, b]).toEqual([e, -d]);
      expect(Math.abs(a * 13.5 + b * 13.5 + c - 13.5)).toBeLessThan(1e-5);
      expect(Math.abs(d * 13.5 + e * 13.5 + f - 13.5)).toBeLessThan(1e-5);
    }
  });

  it('shifts by pixels that are uniform in both directions, and of which one does not tell the other', () => {
    const shifts = rows.map((row) => drawn({ ...none, translation: 2.5 }, 0, row));
    const [x, y] = [shifts.map((t) => t[2] ?? NaN), shifts.map((t) => t[5] ?? NaN)];
    expectUniform(x, 2.5);
    expectUniform(y, 2.5);
    const together = x.reduce((sum, value, i) => sum + value * (y[i] ?? 0), 0) / rows.length;
    expect(Math.abs(together)).toBeLessThan((4 * 2.5 * 2.5) / 3 / Math.sqrt(rows.length));
  });

  it('scales each direction by itself, and shears', () => {
    const scaled = rows.map((row) => drawn({ ...none, scaling: 0.12 }, 0, row));
    expectUniform(
      scaled.map(([a = 0]) => a - 1),
      0.12,
    );
    expectUniform(
      scaled.map((t) => (t[4] ?? 0) - 1),
      0.12,
    );
    const sheared = rows.map((row) => drawn({ ...none, shear: 8 }, 0, row));
    expectUniform(
      sheared.map(([, b = 0]) => Math.atan(b) * degrees),
      8,
    );
  });

  it('is another one for each row, epoch and seed, and the same one for the same', () => {
    const config = { seed: 1, rotation: 12, translation: 2.5, scaling: 0.12, shear: 8 };
    const all = [0, 1].flatMap((epoch) => rows.map((row) => drawn(config, epoch, row).join()));
    expect(new Set(all).size, 'no two of two epochs').toBe(2 * rows.length);
    expect(drawn(config, 1, 7)).toEqual(drawn(config, 1, 7));
    expect(drawn({ ...config, seed: 2 }, 1, 7)).not.toEqual(drawn(config, 1, 7));
  });

  it('has these bits on every machine', () => {
    const target = new Float32Array(transformLength);
    drawTransform({ seed: 1, rotation: 12, translation: 2.5, scaling: 0.12, shear: 8 }, 2, 59_999, target, 0);
    expect([...new Uint32Array(target.buffer)].map((word) => word.toString(16))).toEqual([
      ...['3f87cf7f', '3df67471', 'be112e75', 'bdff7878', '3f81d67e', '400a8b7a'],
    ]);
  });
});

describe('sine and cosine', () => {
  it('are those of any angle to some 2^-51', () => {
    for (let i = -4000; i <= 4000; i++) {
      const t = i / 997;
      expect(Math.abs(cosineOf(t) - Math.cos(Math.PI * t))).toBeLessThan(3e-15);
      expect(Math.abs(sineOf(t) - Math.sin(Math.PI * t))).toBeLessThan(3e-15);
    }
  });

  it('are exact at quarters of a turn', () => {
    expect([0, 0.5, 1, 1.5, 2].map(cosineOf).map((value) => value + 0)).toEqual([1, 0, -1, 0, 1]);
    expect([0, 0.5, 1, -0.5].map(sineOf).map((value) => value + 0)).toEqual([0, 1, 0, -1]);
  });
});

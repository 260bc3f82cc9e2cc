/** Committees: the average of several networks' probabilities, the same in any order, wherever it is used. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  evaluate,
  evaluateCommittee,
  loadCheckpoint,
  predict,
  type Evaluation,
  type Prediction,
} from '../../../src/index.js';
import { averageProbabilities, disagreements } from '../../../src/library/network/committee.js';
import { cli } from '../../support/processes/cli.js';
import { operationalError } from '../../support/compute/errors.js';
import { temporaryDataset } from '../../support/inputs/idx-files.js';
import { randomBits } from '../../support/inputs/random.js';
import { trainRun } from '../../support/processes/runs.js';

describe('the average', () => {
  const random = randomBits(3);
  const member = (): Float32Array => Float32Array.from({ length: 200 }, () => random() * 2 ** -(random() % 60));

  it('is the mean to a rounding, and of one member that', () => {
    const members = [member(), member(), member()];
    averageProbabilities(members).forEach((value, i) => {
      const mean = members.reduce((sum, values) => sum + (values[i] ?? NaN), 0) / 3;
      expect(Math.abs(value / mean - 1)).toBeLessThan(2 ** -23);
    });
    const [only = member()] = members;
    expect(averageProbabilities([only])).toEqual(only);
  });

  it('has the same bits in any order', () => {
    const [a, b, c, d] = [member(), member(), member(), member()];
    const average = averageProbabilities([a, b, c, d]);
    for (const order of [
      [b, a, c, d],
      [d, c, b, a],
      [c, a, d, b],
    ])
      expect(averageProbabilities(order)).toEqual(average);
  });

  it('is disagreed about where not all say the same digit', () => {
    const rows = (...digits: number[]): Float32Array => {
      const values = new Float32Array(10 * digits.length);
      digits.forEach((digit, row) => (values[10 * row + digit] = 1));
      return values;
    };
    expect(disagreements([rows(1, 2, 3), rows(1, 5, 3), rows(1, 2, 4)])).toEqual([1, 2]);
  });
});

describe('three networks', () => {
  let directory: string;
  let remove: () => Promise<void>;
  let data: string;
  let runs: string[];
  beforeAll(async () => {
    ({ directory, data, remove } = await temporaryDataset(64, 60));
    runs = [1, 2, 3].map((seed) => join(directory, `seed-${String(seed)}`));
    for (const [i, out] of runs.entries()) {
      await trainRun({ batchSize: 16, microBatch: 4, epochs: 1, seed: i + 1, data, workers: 2, out });
    }
  });
  afterAll(async () => {
    await remove();
  });

  it('score as their average does, each beside it, in any order', async () => {
    const together = await evaluateCommittee({ checkpoints: runs, data, workers: 2 });
    const alone: Evaluation[] = [];
    for (const checkpoint of runs) alone.push(await evaluate({ checkpoint, data, workers: 2 }));
    expect(together.members).toEqual(alone);
    expect(together).toMatchObject({ total: 60, accuracy: (100 * together.correct) / 60 });
    expect(together.disagreements).toBeGreaterThan(0);
    const turned = await evaluateCommittee({ checkpoints: runs.toReversed(), data, workers: 1 });
    const { correct, loss, disagreements: number } = together;
    expect(turned).toMatchObject({ correct, loss, disagreements: number });
    const other = join(directory, 'better');
    await trainRun({ recipe: 'better', batchSize: 16, microBatch: 4, maxSteps: 1, data, workers: 2, out: other });
    const mixed = [other, ...runs.slice(1)];
    const both = [mixed, mixed.toReversed()].map((checkpoints) => evaluateCommittee({ checkpoints, data }));
    const [one, turnedToo] = await Promise.all(both);
    expect(turnedToo?.loss).toBe(one?.loss);
  });

  it('are named by texts, and options of any type are refused by name', async () => {
    const gap = Array<string>(2);
    gap[1] = data;
    expect((await operationalError(() => evaluateCommittee({ checkpoints: gap, data }))).code).toBe('USAGE');
    expect((await operationalError(() => loadCheckpoint(undefined as unknown as string))).code).toBe('USAGE');
    const nothing = Object.create(null) as 'cross-entropy';
    expect((await operationalError(() => trainRun({ loss: nothing, data }))).message).toContain('not an object');
  });

  it('predict with the average of their probabilities', async () => {
    const files = [join(data, 't10k-images-idx3-ubyte')];
    const each: Prediction[][] = [];
    for (const checkpoint of runs) each.push(await predict({ files, rows: '0-4', checkpoint }));
    const together = await predict({ files, rows: '0-4', checkpoint: runs });
    together.forEach(({ digits }, row) => {
      const members = each.map((one) => Float32Array.from(one[row]?.digits[0]?.probabilities ?? []));
      expect(digits[0]?.probabilities).toEqual([...averageProbabilities(members)]);
    });
    const { code, stdout } = await cli([
      'predict',
      files[0] ?? '',
      '--rows',
      '0-4',
      '--checkpoint',
      runs.join(','),
      '--json',
    ]);
    expect(code).toBe(0);
    const printed = JSON.parse(stdout) as { number: string }[];
    expect(printed.map(({ number }) => number)).toEqual(together.map(({ number }) => number));
  });

  it('are scored by eval, and looked at together by report', async () => {
    const scored = await cli(['eval', ...runs, '--data', data]);
    const { accuracy, correct, disagreements: number } = await evaluateCommittee({ checkpoints: runs, data });
    expect([scored.code, scored.stdout]).toEqual([0, `Accuracy on test set: ${accuracy.toFixed(2)} %\n`]);
    expect(scored.stderr).toContain(
      `3 together: ${String(correct)} of 60 correct; they disagree about ${String(number)}`,
    );
    const file = join(directory, 'report.html');
    expect((await cli(['report', ...runs, '--data', data, '--out', file])).code).toBe(0);
    const html = await readFile(file, 'utf8');
    expect(html).toContain(`They disagree about ${String(number)} of`);
    for (const run of runs) expect(html).toContain(join(run, 'checkpoint.msgpack'));
  });

  it('are two or more', async () => {
    const { code, message } = await operationalError(() => evaluateCommittee({ checkpoints: runs.slice(0, 1), data }));
    expect([code, message]).toEqual(['USAGE', 'the option `checkpoints` is an array of two or more runs or files']);
  });
});

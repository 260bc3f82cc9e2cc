/** `predict` reads digits from pictures as well as the network reads the rows that they were drawn from. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { predict, type Prediction } from '../../../src/index.js';
import { cli } from '../../support/cli.js';
import { operationalError } from '../../support/errors.js';
import { mnistDirectory, temporaryDirectory, writeIdxSet } from '../../support/idx-files.js';
import { mnistRows } from '../../support/mnist.js';
import { drawing, inkOnPaper, photo } from '../../support/pictures.js';
import { trainRun } from '../../support/runs.js';

const count = 100;
const { images, labels } = mnistRows('t10k', 0, count);
const idx = join(mnistDirectory, 't10k-images-idx3-ubyte');

let directory: string;
let remove: () => Promise<void>;
let run: string;
/** Of the rows themselves. */
let raw: Prediction[];
let files: string[];
/** Of pictures of the rows. */
let seen: Prediction[];

beforeAll(async () => {
  ({ directory, remove } = await temporaryDirectory());
  run = join(directory, 'run');
  const data = join(directory, 'data');
  await writeIdxSet(data, 2560, 1);
  await trainRun({ epochs: 1, batchSize: 64, seed: 1, workers: 2, data, out: run });
  raw = await predict({ files: [idx], rows: `0-${String(count - 1)}`, checkpoint: run });
  files = await Promise.all(Array.from({ length: count }, (_, i) => writePicture(i)));
  seen = await predict({ files, checkpoint: run, workers: 2 });
});
afterAll(async () => {
  await remove();
});

/** A small drawing, a large one of ink, or a photograph: a third of each. */
async function writePicture(i: number): Promise<string> {
  const row = images.subarray(i * 784, (i + 1) * 784);
  const file = join(directory, `digit-${String(i)}`);
  if (i % 3 === 0) await drawing(row, 64).png().toFile(file);
  else if (i % 3 === 1) await inkOnPaper(row, 240).jpeg({ quality: 70 }).toFile(file);
  else await (await photo(row)).jpeg({ quality: 80 }).toFile(file);
  return file;
}

function agreement(digits: readonly Prediction[], others: ArrayLike<number>): number {
  return digits.filter(({ digit }, i) => digit === others[i]).length;
}

it('the rows of an IDX file are told after a short training', () => {
  expect(raw.map(({ file, row }) => [file, row])).toEqual(Array.from({ length: count }, (_, i) => [idx, i]));
  expect(agreement(raw, labels)).toBeGreaterThanOrEqual(85);
});

it('pictures of the rows are told as the rows are', () => {
  expect(seen.map(({ file, row }) => [file, row])).toEqual(files.map((file) => [file, null]));
  const rowDigits = raw.map(({ digit }) => digit);
  expect(agreement(seen, rowDigits)).toBeGreaterThanOrEqual(90);
  // Not because all of them are told to be the same.
  expect(new Set(seen.map(({ digit }) => digit)).size).toBe(10);
});

it('probabilities are those of the ten digits, and the digit is the most probable', () => {
  for (const { probabilities, digit } of [...raw, ...seen]) {
    expect(probabilities).toHaveLength(10);
    expect(probabilities.reduce((sum, value) => sum + value, 0)).toBeCloseTo(1, 5);
    expect(probabilities[digit]).toBe(Math.max(...probabilities));
  }
});

it('any number of workers says the same, to the bit', async () => {
  expect(await predict({ files, checkpoint: run, workers: 1 })).toEqual(seen);
});

describe('the command', () => {
  const some = (): string[] => [...files.slice(0, 2), idx, '--rows', '2,7-8', '--checkpoint', run];

  it('prints a line for each picture: where it is, the digit, and the likeliest three', async () => {
    const { code, stdout } = await cli(['predict', ...some()]);
    expect(code).toBe(0);
    const lines = stdout.trimEnd().split('\n');
    const names = [...files.slice(0, 2), ...[2, 7, 8].map((row) => `${idx}#${String(row)}`)];
    const expected = [...seen.slice(0, 2), ...[2, 7, 8].flatMap((row) => raw[row] ?? [])];
    expect(lines).toHaveLength(5);
    for (const [i, line] of lines.entries()) {
      expect(line).toMatch(/^\S+ +\d +\d+\.\d % {2}\(\d +\d+\.\d %, \d +\d+\.\d %\)$/);
      expect(line.split(/ +/).slice(0, 2)).toEqual([names[i], String(expected[i]?.digit)]);
    }
    expect(new Set(lines.map((line) => line.indexOf('('))).size, 'columns are aligned').toBe(1);
  });

  it('--json prints the same as one array', async () => {
    const { code, stdout } = await cli(['predict', '--json', ...some()]);
    const printed = JSON.parse(stdout) as Prediction[];
    expect([code, printed.length]).toEqual([0, 5]);
    for (const [i, prediction] of [...seen.slice(0, 2), raw[2], raw[7], raw[8]].entries()) {
      const { probabilities, ...rest } = printed[i] ?? { probabilities: [] };
      expect(rest).toEqual({ file: prediction?.file, row: prediction?.row, digit: prediction?.digit });
      expect(probabilities).toHaveLength(10);
      probabilities.forEach((value, digit) => {
        expect(Math.abs(value - (prediction?.probabilities[digit] ?? NaN))).toBeLessThan(1e-6);
      });
    }
  });

  it.each([
    ['a file that is not there', ['missing.png'], 1, /missing\.png \(ENOENT\)/],
    ['rows without an IDX file', ['0.png', '--rows', '3'], 2, /none of the files is one/],
    ['rows that are none', ['0.png', '--rows', '3-'], 2, /not "3-"/],
    ['no file', [], 2, /see mnist-ddp --help/],
  ])('%s: one line, and nothing is printed', async (_name, args, exitCode, message) => {
    await drawing(images.subarray(0, 784), 28).png().toFile(join(directory, '0.png'));
    const { code, stdout, stderr } = await cli(['predict', ...args, '--checkpoint', run], { cwd: directory });
    expect([code, stdout]).toEqual([exitCode, '']);
    expect(stderr).toMatch(/^mnist-ddp: [^\n]+\n$/);
    expect(stderr).toMatch(message);
  });

  it('one bad picture among good ones: nothing is printed', async () => {
    const bad = join(directory, 'bad.png');
    await writeFile(bad, 'no picture');
    const { code, message } = await operationalError(() => predict({ files: [...files, bad], checkpoint: run }));
    expect([code, message]).toEqual(['IMAGE_INVALID', expect.stringContaining(bad)]);
  });
});

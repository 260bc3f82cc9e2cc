/**
 * `predict` reads digits from pictures as well as the network reads the rows that they were drawn from, several as a number, and what
 * it cannot read costs nothing else.
 */
import { execFile } from 'node:child_process';
import { cp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { predict, type Prediction } from '../../../src/index.js';
import { cli, cliPath } from '../../support/processes/cli.js';
import { mnistDirectory, temporaryDirectory, writeIdxSet } from '../../support/inputs/idx-files.js';
import { mnistRows } from '../../support/inputs/mnist.js';
import { drawing, inkOnPaper, photo } from '../../support/inputs/pictures.js';
import { trainRun } from '../../support/processes/runs.js';

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

function agreement(predictions: readonly Prediction[], others: ArrayLike<number>): number {
  return predictions.filter(({ number }, i) => number === String(others[i])).length;
}

it('the rows of an IDX file are told after a short training', () => {
  expect(raw.map(({ file, row }) => [file, row])).toEqual(Array.from({ length: count }, (_, i) => [idx, i]));
  expect(agreement(raw, labels)).toBeGreaterThanOrEqual(85);
});

it('pictures of the rows are told as the rows are', () => {
  expect(seen.map(({ file, row }) => [file, row])).toEqual(files.map((file) => [file, null]));
  const rowDigits = raw.map(({ number }) => Number(number));
  expect(agreement(seen, rowDigits)).toBeGreaterThanOrEqual(90);
  // Not because all of them are told to be the same.
  expect(new Set(seen.map(({ number }) => number)).size).toBe(10);
});

it('probabilities are those of the ten digits, the digit is the most probable, and marked where it is below 95 %', () => {
  for (const { digits, number, error } of [...raw, ...seen]) {
    expect([digits.map(({ digit }) => digit).join(''), error]).toEqual([number, null]);
    for (const { probabilities, digit, uncertain } of digits) {
      expect(probabilities).toHaveLength(10);
      expect(probabilities.reduce((sum, value) => sum + value, 0)).toBeCloseTo(1, 5);
      expect(probabilities[digit]).toBe(Math.max(...probabilities));
      expect(uncertain).toBe(Math.max(...probabilities) < 0.95);
    }
  }
});

describe('several digits', () => {
  it('are read from left to right, each with its place in the picture', async () => {
    const rows = [7, 2, 10, 4].map((row) => images.subarray(row * 784, (row + 1) * 784));
    const file = join(directory, 'number.png');
    const digits = await Promise.all(
      rows.map(async (row, i) => ({
        input: await inkOnPaper(row, 280).png().toBuffer(),
        left: 40 + 240 * i,
        top: 60 - 20 * i,
      })),
    );
    const paper = { width: 1100, height: 400, channels: 3, background: 'white' } as const;
    await sharp({ create: paper })
      .composite(digits.map((digit) => ({ ...digit, blend: 'multiply' })))
      .png()
      .toFile(file);
    const [prediction] = await predict({ files: [file], checkpoint: run });
    expect(prediction?.number).toBe([7, 2, 10, 4].map((row) => raw[row]?.number).join(''));
    for (const [i, { box }] of (prediction?.digits ?? []).entries()) {
      expect(box?.left).toBeGreaterThan(40 + 240 * i);
      expect((box?.left ?? 0) + (box?.width ?? 0)).toBeLessThan(40 + 240 * i + 280);
      expect(box?.top).toBeGreaterThan(60 - 20 * i);
      expect((box?.top ?? 0) + (box?.height ?? 0)).toBeLessThan(60 - 20 * i + 280);
    }
    const { stdout } = await cli(['predict', file, '--checkpoint', run]);
    expect(stdout).toMatch(/number\.png {2}\d{4} {2}\((\d +\d+\.\d %(, |\))){4}( {2}uncertain: .+)?\n$/);
    expect(/ {2}(\d{4}) /.exec(stdout)?.[1]).toBe(prediction?.number);
  });
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
      expect(line).toMatch(/^\S+ +\d +\d+\.\d % {2}\(\d +\d+\.\d %, \d +\d+\.\d %\)( {2}uncertain)?$/);
      expect(line.split(/ +/).slice(0, 2)).toEqual([names[i], expected[i]?.number]);
      expect(line.endsWith('uncertain')).toBe(expected[i]?.digits[0]?.uncertain);
    }
    expect(new Set(lines.map((line) => line.indexOf('('))).size, 'columns are aligned').toBe(1);
  });

  it('reads with the newest run where none is named, and says with which', async () => {
    const folder = join(directory, 'runs', 'only');
    await cp(run, folder, { recursive: true });
    const { code, stdout, stderr } = await cli(['predict', ...files.slice(0, 1)], { cwd: directory });
    expect([code, stderr]).toEqual([0, `reading with ${join(folder, 'checkpoint.msgpack')}\n`]);
    expect(stdout).toContain(files[0]);
  });

  it('--json prints the same as one array', async () => {
    const { code, stdout } = await cli(['predict', '--json', ...some()]);
    const printed = JSON.parse(stdout) as Prediction[];
    expect([code, printed.length]).toEqual([0, 5]);
    const withoutProbabilities = (prediction: Prediction | undefined): unknown => ({
      ...prediction,
      digits: prediction?.digits.map((digit) => ({ ...digit, probabilities: null })),
    });
    for (const [i, prediction] of [...seen.slice(0, 2), raw[2], raw[7], raw[8]].entries()) {
      expect(withoutProbabilities(printed[i])).toEqual(withoutProbabilities(prediction));
      const [own, others] = [printed[i], prediction].map((one) => one?.digits[0]?.probabilities ?? []);
      expect(own).toHaveLength(10);
      own?.forEach((value, digit) => {
        expect(Math.abs(value - (others?.[digit] ?? NaN))).toBeLessThan(1e-6);
      });
    }
  });

  it.each([
    ['a file that is not there', ['missing.png'], 1, /missing\.png \(ENOENT\)/],
    ['rows without an IDX file', ['0.png', '--rows', '3'], 2, /none of the files is one/],
    ['rows that are none', ['0.png', '--rows', '3-'], 2, /not "3-"/],
    ['no file', [], 2, /see mnist-ddp predict --help/],
    ['stdin twice', ['-', '-'], 2, /- is stdin, which can be read once/],
  ])('%s: one line, and nothing is printed', async (_name, args, exitCode, message) => {
    await drawing(images.subarray(0, 784), 28).png().toFile(join(directory, '0.png'));
    const { code, stdout, stderr } = await cli(['predict', ...args, '--checkpoint', run], { cwd: directory });
    expect([code, stdout]).toEqual([exitCode, '']);
    expect(stderr).toMatch(/^mnist-ddp: [^\n]+\n$/);
    expect(stderr).toMatch(message);
  });

  it('a broken and a blank picture cost a line each and the exit code 1, and no other answer', async () => {
    const [broken, blank] = [join(directory, 'broken.png'), join(directory, 'blank.png')];
    await writeFile(broken, 'no picture');
    await sharp({ create: { width: 90, height: 90, channels: 3, background: '#ddd' } })
      .png()
      .toFile(blank);
    const mixed = [...files.slice(0, 1), broken, ...files.slice(1, 2), blank];
    const predictions = await predict({ files: mixed, checkpoint: run });
    expect([predictions[0], predictions[2]]).toEqual(seen.slice(0, 2));
    const failures = [1, 3].map((i) => predictions[i]);
    for (const [i, failure] of failures.entries()) {
      const message = expect.stringContaining([broken, blank][i] ?? '') as string;
      const nothing = { row: null, number: null, digits: [], error: { code: 'IMAGE_INVALID', message } };
      expect(failure).toEqual({ file: [broken, blank][i], ...nothing });
    }
    const lines = failures.map((failure) => `mnist-ddp: ${failure?.error?.message ?? ''}\n`).join('');
    const { code, stdout, stderr } = await cli(['predict', ...mixed, '--checkpoint', run]);
    expect([code, stderr]).toEqual([1, lines]);
    expect(stdout).toBe((await cli(['predict', ...files.slice(0, 2), '--checkpoint', run])).stdout);
    const asJson = await cli(['predict', ...mixed, '--json', '--checkpoint', run]);
    expect([asJson.code, asJson.stderr]).toEqual([1, lines]);
    expect((JSON.parse(asJson.stdout) as Prediction[]).map(({ error }) => error)).toEqual(
      predictions.map(({ error }) => error),
    );
  });

  it('- is stdin: a picture, or rows', async () => {
    const sh = (script: string) => promisify(execFile)('sh', ['-c', script], { timeout: 60_000, cwd: directory });
    const predictStdin = `"${process.execPath}" "${cliPath}" predict - --checkpoint run`;
    const picture = await sh(`cat "${files[1] ?? ''}" | ${predictStdin} --json`);
    expect((JSON.parse(picture.stdout) as Prediction[])[0]).toMatchObject({ file: '-', number: seen[1]?.number });
    const rows = await sh(`${predictStdin} --rows 7 < "${idx}"`);
    expect(rows.stdout).toMatch(new RegExp(`^-#7 {2}${raw[7]?.number ?? ''} `));
    const nothing = await sh(`${predictStdin} < /dev/null || echo "code $?"`);
    expect(nothing).toMatchObject({
      stdout: 'code 1\n',
      stderr: expect.stringMatching(/^mnist-ddp: stdin is empty; [^\n]+\n$/) as string,
    });
  });
});

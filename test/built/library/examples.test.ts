/** The examples run as they stand, on a small data set, and print what they say. */
import { execFile } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { temporaryRuns } from '../../support/processes/runs.js';

const { data } = await temporaryRuns(640, 20);

const folder = fileURLToPath(new URL('../../../examples/', import.meta.url));

const hash = '[0-9a-f]{64}';
const printed: Readonly<Record<string, RegExp>> = {
  'abort.mjs': /^ended \(enough\); the checkpoint is that of step [3-9]\n$/,
  'predict.mjs': /^(\S+ row [0-4]: \d \(\d+\.\d %\)\n){5}$/,
  'progress.mjs': new RegExp(`^\\d+ workers?, engine wasm\n(accuracy .* after step \\d+\n)+hash ${hash}\n$`),
  'resume.mjs': new RegExp(`^one after the other {2}(${hash})\nstopped and resumed {2}\\1\n$`),
};

it('are all tried here', async () => {
  expect((await readdir(folder)).filter((name) => name.endsWith('.mjs')).sort()).toEqual(Object.keys(printed));
});

it.each(Object.entries(printed))('%s prints what it is for', { timeout: 60_000 }, async (name, expected) => {
  const env = { ...process.env, MNIST_DDP_DATA: data };
  const { stdout } = await promisify(execFile)(process.execPath, [`${folder}${name}`], { env });
  expect(stdout).toMatch(expected);
});

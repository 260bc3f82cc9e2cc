/** What bench/compare.mjs measures is the same training, and what it cannot measure is said. Nothing here is timed. */
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { temporaryDirectory } from '../../support/inputs/idx-files.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const node = (...args: string[]) => promisify(execFile)(process.execPath, args, { cwd: root, timeout: 110_000 });

let directory: string;
let remove: () => Promise<void>;
beforeAll(async () => {
  ({ directory, remove } = await temporaryDirectory());
});
afterAll(async () => {
  await remove();
});

it('a rival that is not there is listed with the reason, and ends nothing', async () => {
  const file = join(directory, 'none.json');
  const python = join(directory, 'no-python');
  const few = ['--workers', '1', '--rounds', '1', '--steps', '1', '--json', file];
  const one = ['--rival', 'fp32, eager, contiguous', '--python', python];
  const { stdout } = await node('bench/compare.mjs', ...few, ...one);
  expect(stdout).toMatch(
    /^\| PyTorch, fp32, eager, contiguous .* not available: cannot start .*no-python.*MNIST_DDP_PYTHON/m,
  );
  const { rivals } = JSON.parse(await readFile(file, 'utf8')) as { rivals: unknown[] };
  expect(rivals).toEqual([
    { library: 'PyTorch', name: 'fp32, eager, contiguous', unavailable: expect.stringContaining(python) as string },
  ]);
});

it('the plot has a bar as long as each figure, marks ours, and stands alone', async () => {
  const file = join(directory, 'comparison.json');
  const rivals = [
    { library: 'A', name: 'slow', imagesPerSecond: 50 },
    { library: 'B', name: 'missing', unavailable: 'not installed' },
    { library: 'C', name: 'fast', imagesPerSecond: 400 },
  ];
  await writeFile(file, JSON.stringify({ cpu: 'a processor', workers: 2, imagesPerSecond: 200, rivals }));
  await node('scripts/plot-benchmark.mjs', file, directory);
  for (const scheme of ['light', 'dark']) {
    const svg = await readFile(join(directory, `compare-${scheme}.svg`), 'utf8');
    expect(svg).toMatch(/^<svg [^>]*xmlns="http:\/\/www\.w3\.org\/2000\/svg"/);
    expect(svg).not.toMatch(/<script|<style|href|url\(|B, missing/);
    const drawn = /<g [^>]*aria-label="bar"[^>]*>(.*?)<\/g>/s.exec(svg)?.[1] ?? '';
    const attributes = (name: string) =>
      [...drawn.matchAll(new RegExp(` ${name}="([^"]*)"`, 'g'))].map(([, value]) => value);
    const widths = attributes('width').map(Number);
    expect(widths).toHaveLength(3);
    expect((widths[0] ?? NaN) / (widths[1] ?? NaN)).toBeCloseTo(2, 3);
    expect((widths[0] ?? NaN) / (widths[2] ?? NaN)).toBeCloseTo(8, 2);
    const fills = attributes('fill');
    expect(fills).toHaveLength(3);
    expect(fills[0]).toBe(fills[2]);
    expect(fills[1]).not.toBe(fills[0]);
    const names = [...svg.matchAll(/>([^<>]*(?:slow|fast|mnist-ddp[^<>]*))</g)].map((match) => match[1]);
    expect(new Set(names)).toEqual(new Set(['C, fast', 'mnist-ddp, 2 workers', 'A, slow']));
  }
});

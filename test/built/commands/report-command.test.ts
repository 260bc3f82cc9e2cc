/** `mnist-ddp report` on real runs: it is about the run it is asked about, and its command trains to the same bits again. */
import { appendFile, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { exportWeights, loadCheckpoint, report, type Summary } from '../../../src/index.js';
import { trainCommandLine } from '../../../src/commands/shell/flags.js';
import { reproductionOf } from '../../../src/coordinator/training/reproduction.js';
import { cli } from '../../support/processes/cli.js';
import { operationalError } from '../../support/compute/errors.js';
import { temporaryRuns, trainRun } from '../../support/processes/runs.js';

const { directory, data } = await temporaryRuns(64, 60);

let run: Summary;
const perEpoch = 4;

beforeAll(async () => {
  const config = { batchSize: 16, microBatch: 4, epochs: 2, seed: 5, learningRate: 2e-3, lrStep: 3, lrGamma: 0.5 };
  ({ summary: run } = await trainRun({ ...config, data, workers: 2, out: join(directory, 'run') }));
});

async function commandOf(folder: string): Promise<string> {
  return trainCommandLine(reproductionOf(await loadCheckpoint(folder), perEpoch, true) ?? {});
}

it('promises no command where the run went on otherwise than it began', async () => {
  const out = join(directory, 'overridden');
  const other = { data, workers: 1, override: ['learningRate'] as const, learningRate: 0.01 };
  await trainRun({ ...other, resume: run.out, out, maxSteps: 9, epochs: 3 });
  expect((await loadCheckpoint(out)).overridden).toEqual(['learningRate']);
  expect((await cli(['report', out, '--data', data])).code).toBe(0);
  const html = await readFile(join(out, 'report.html'), 'utf8');
  expect(html).toContain('(learningRate overridden), so no single command comes to these parameters');
  expect(html).not.toContain('mnist-ddp train');
});

it('is one file in the run folder, which tells its accuracy, hash and command', async () => {
  const { code, stdout } = await cli(['report', run.out, '--data', data]);
  expect([code, stdout]).toEqual([0, `${join(run.out, 'report.html')}\n`]);
  const html = await readFile(join(run.out, 'report.html'), 'utf8');
  expect(html).toContain(run.accuracy.toFixed(2));
  expect(html).toContain(run.parametersSha256);
  expect(html).toContain(await commandOf(run.out));
});

it.each([
  ['one with other weights to begin with, that ended early', { init: true, maxSteps: 3 }],
  ['batch norm local', { batchNorm: 'local', workers: 3 }],
  ['the recipe better', { recipe: 'better' }],
] as const)('its command trains to the same bits again: %s', async (name, options) => {
  const weights = join(directory, "the run's weights.pth");
  await exportWeights({ checkpoint: run.out, format: 'pytorch', out: weights });
  const init = 'init' in options ? weights : undefined;
  const config = { batchSize: 16, microBatch: 4, epochs: 2, seed: 8, learningRate: 5e-4 };
  const { summary } = await trainRun({ workers: 2, ...config, ...options, init, data, out: join(directory, name) });
  const command = await commandOf(summary.out);
  expect(command.startsWith('mnist-ddp train ')).toBe(true);
  const words = [...command.matchAll(/'((?:[^']|'\\'')*)'|(\S+)/g)].map(
    ([, quoted, plain]) => quoted?.replaceAll("'\\''", "'") ?? plain ?? '',
  );
  const args = words.slice(1).map((word) => (word === 'DIR' ? data : word));
  const again = join(directory, `${name} again`);
  expect((await cli([...args, '--out', again])).code).toBe(0);
  expect((await loadCheckpoint(again)).parametersSha256).toBe(summary.parametersSha256);
  const { out: file } = await report({ run: again, data });
  expect((await readFile(file, 'utf8')).includes('Initial weights')).toBe(init !== undefined);
});

it('shows a call of train to a user of the library, or what that user makes of its options', async () => {
  const options = { batchSize: 16, microBatch: 4, epochs: 2, learningRate: 0.002, lrStep: 3, lrGamma: 0.5, seed: 5 };
  const page = async (more: object): Promise<string> =>
    readFile((await report({ run: run.out, data, out: join(directory, 'library.html'), ...more })).out, 'utf8');
  const shown: object[] = [];
  const showReproduction = (given: object): string => {
    shown.push(given);
    return 'as <this> user likes';
  };
  expect(await page({ showReproduction })).toContain('<code>as &lt;this&gt; user likes</code>');
  expect(shown).toEqual([{ ...options, data: 'DIR' }]);
  const [, call = ''] = /<code>train\((.*)\)<\/code>/.exec(await page({})) ?? [];
  const literal = call.replaceAll('&quot;', '"').replaceAll(/(\w+): /g, '"$1": ');
  expect(JSON.parse(literal)).toEqual({ ...options, data: 'DIR' });
});

it('does without what a killed run did not write, and reads no line that is cut short', async () => {
  const out = join(directory, 'killed');
  await trainRun({ batchSize: 16, epochs: 1, data, workers: 1, out });
  await rm(join(out, 'summary.json'));
  await appendFile(join(out, 'metrics.jsonl'), '{"kind":"step","step":1,"lo');
  await report({ run: out, data });
  await writeFile(join(out, 'metrics.jsonl'), '{"kind":"step","step":"many"}\nnull\n[]\n{"kind":"start","step":0}\n');
  const { out: file } = await report({ run: out, data });
  await rm(join(out, 'metrics.jsonl'));
  await report({ run: out, data });
  expect(await readFile(file, 'utf8')).toMatch(/^<!doctype html>/i);
});

it('is about a run, not about weights, and is whole or not there', async () => {
  const weights = join(directory, 'weights.safetensors');
  await exportWeights({ checkpoint: run.out, format: 'safetensors', out: weights });
  expect(await operationalError(() => report({ run: weights, data }))).toMatchObject({ code: 'RUN_INVALID' });
  const before = await readdir(directory);
  const out = join(directory, 'none', 'report.html');
  expect(await operationalError(() => report({ run: run.out, data, out }))).toMatchObject({ code: 'OUT_NOT_WRITABLE' });
  expect(await readdir(directory)).toEqual(before);
});

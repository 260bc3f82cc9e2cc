/** What a run leaves behind, and what the commands print, are as docs/schema says, and docs/files.md names all of it. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import Ajv from 'ajv';
import { beforeAll, expect, it } from 'vitest';
import { cli } from '../../support/processes/cli.js';
import { temporaryRuns } from '../../support/processes/runs.js';

const { directory, data } = await temporaryRuns(58, 20);

const docs = join(import.meta.dirname, '../../../docs');
let run: string;

beforeAll(async () => {
  run = join(directory, 'run');
  const flags = '--batch-size 16 --micro-batch 2 --epochs 2 --validation 20 --keep-best --tensorboard --log-every 2';
  const { code, stderr } = await cli(['train', '--data', data, '--out', run, '--workers', '1', ...flags.split(' ')]);
  expect(code, stderr).toBe(0);
});

/** Fails where a value is not as a schema says. */
async function expectValid(name: string, values: readonly unknown[]): Promise<void> {
  const schema = JSON.parse(await readFile(join(docs, 'schema', `${name}.schema.json`), 'utf8')) as object;
  const ajv = new Ajv({ allErrors: true });
  const validate = ajv.compile(schema);
  for (const value of values) {
    await validate(value);
    expect(ajv.errorsText(validate.errors), JSON.stringify(value).slice(0, 500)).toBe('No errors');
  }
  expect(values.length).toBeGreaterThan(0);
}

it('metrics.jsonl and summary.json are as documented', async () => {
  const lines = (await readFile(join(run, 'metrics.jsonl'), 'utf8')).trimEnd().split('\n');
  const metrics = lines.map((line) => JSON.parse(line) as { kind: string });
  expect(new Set(metrics.map(({ kind }) => kind))).toEqual(new Set(['start', 'step', 'evaluation']));
  await expectValid('metrics', metrics);
  const summary = JSON.parse(await readFile(join(run, 'summary.json'), 'utf8')) as object;
  await expectValid('summary', [summary]);
  expect(summary).toMatchObject({ validation: { total: 20 }, best: { total: 20 }, config: { validation: 20 } });
});

const printed: Readonly<Record<string, () => string[]>> = {
  eval: () => ['eval', run, '--data', data, '--workers', '1', '--json'],
  'eval-committee': () => ['eval', run, join(run, 'best.msgpack'), '--data', data, '--workers', '1', '--json'],
  predict: () => ['predict', join(data, 't10k-images-idx3-ubyte'), '--rows', '0-1', '--checkpoint', run, '--json'],
  runs: () => ['runs', '--folder', directory, '--json'],
  'runs-compare': () => ['runs', 'compare', run, join(run, 'best.msgpack'), '--json'],
  devices: () => ['devices', '--json'],
  bench: () => ['bench', '--data', data, '--batch-size', '16', '--workers', '1', '--steps', '1', '--json'],
  verify: () => ['verify', '--data', data, '--workers', '1', '--steps', '2', '--json'],
};

it.each(Object.entries(printed))('%s --json is as documented', async (name, args) => {
  const { code, stdout, stderr } = await cli(args());
  expect(code, stderr).toBe(0);
  await expectValid(name, [JSON.parse(stdout)]);
});

it('a schema refuses what is not documented', async () => {
  await expect(expectValid('bench', [[{ workers: 1 }]])).rejects.toThrow('No errors');
  await expect(expectValid('metrics', [{ kind: 'step', step: 1 }])).rejects.toThrow('No errors');
});

it('docs/files.md names every file of a run and every schema', async () => {
  const text = await readFile(join(docs, 'files.md'), 'utf8');
  const schemas = (await readdir(join(docs, 'schema'))).map((name) => `schema/${name}`);
  const files = (await readdir(run)).map((name) => name.replace(/(tfevents\.).*/, '$1'));
  const named = [...schemas, ...files, 'run.lock', 'report.html', 'checkpoint.previous.msgpack'];
  for (const name of named) expect(text, name).toContain(name);
});

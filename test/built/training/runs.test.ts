/** What runs there are, and what differs between two. */
import { execFile } from 'node:child_process';
import { cp, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, expect, it } from 'vitest';
import { RunLock } from '../../../src/coordinator/node/run-lock.js';
import { compareRuns, evaluate, listRuns, type RunEntry, type Summary } from '../../../src/index.js';
import { cli } from '../../support/processes/cli.js';
import { operationalError } from '../../support/compute/errors.js';
import { temporaryRuns, trainRun } from '../../support/processes/runs.js';

const { directory, data } = await temporaryRuns(38, 20);

let folder: string;
const config = { batchSize: 16, microBatch: 2, seed: 9, workers: 1 };

/** Runs `first` and `second`, which differ in their rate, one that was killed, one that runs, and what is none. */
beforeAll(async () => {
  folder = join(directory, 'runs');
  await trainRun({ ...config, data, maxSteps: 1, out: join(folder, 'first') });
  await trainRun({ ...config, data, maxSteps: 2, learningRate: 0.01, out: join(folder, 'second') });
  await cp(join(folder, 'second'), join(folder, 'killed'), { recursive: true });
  await rm(join(folder, 'killed/summary.json'));
  await trainRun({ ...config, data, validation: 6, epochs: 1, out: join(folder, 'validated') });
  await mkdir(join(folder, 'empty'));
  await mkdir(join(folder, 'running'));
  await RunLock.take(join(folder, 'running'));
  await writeFile(join(folder, 'a file'), '');
});

it('are listed with what became of them, the newest first', async () => {
  const runs = await listRuns({ folder });
  expect(runs.map(({ name, state, step }) => [name, state, step])).toEqual([
    ['validated', 'finished', 2],
    ['second', 'finished', 2],
    ['killed', 'stopped', 2],
    ['first', 'finished', 1],
    ['running', 'running', 0],
  ]);
  expect(runs[1]).toMatchObject({ accuracy: expect.any(Number) as number, directory: join(folder, 'second') });
  expect((await operationalError(() => listRuns({ folder: join(directory, 'none') }))).code).toBe('USAGE');
});

it('are compared in what was asked for and in what came of it, by folder, name or checkpoint', async () => {
  const files = [join(folder, 'first'), join(folder, 'second/checkpoint.msgpack')] as const;
  const { configuration, result } = await compareRuns(files);
  expect(configuration).toEqual([{ what: 'learningRate', values: ['0.001', '0.01'] }]);
  expect(result.map(({ what }) => what)).toEqual(expect.arrayContaining(['step', 'parametersSha256']));
  expect(await compareRuns([join(folder, 'second'), join(folder, 'killed')])).toMatchObject({
    configuration: [],
    result: [],
  });
  const elsewhere = ['runs', 'compare', 'first', 'second', '--folder', folder];
  expect((await cli(elsewhere)).stdout).toMatch(/^ +first +second\n/);
  const { code, stdout } = await cli(['runs', 'compare', 'first', 'second'], { cwd: directory });
  expect([code, stdout]).toEqual([
    0,
    expect.stringMatching(/^ +first +second\nlearningRate +0\.001 +0\.01\nstep +1 +2\n/),
  ]);
});

it('are given names, which stand for their folders', async () => {
  const args = [
    'train',
    '--data',
    data,
    '--batch-size',
    '16',
    '--workers',
    '1',
    '--max-steps',
    '1',
    '--name',
    'base.1',
  ];
  expect((await cli(args, { cwd: directory })).code).toBe(0);
  const { stdout } = await cli(['eval', 'base.1', '--data', data, '--workers', '1', '--json'], { cwd: directory });
  expect(JSON.parse(stdout)).toMatchObject({ checkpoint: join('runs', 'base.1', 'checkpoint.msgpack'), step: 1 });
  await rm(join(folder, 'base.1'), { recursive: true });
  const both = await operationalError(() => trainRun({ ...config, name: 'a', out: 'b' }));
  expect([both.code, both.message]).toEqual(['USAGE', expect.stringMatching(/^`name` is .*give one of them$/)]);
  for (const name of ['../x', '.x', '-x', 'a/b', 'x'.repeat(101)]) {
    expect((await operationalError(() => trainRun({ ...config, name }))).message).toMatch(/^`name` is of letters/);
  }
});

it('are all read where few files may be open', async () => {
  const many = join(directory, 'many');
  for (let i = 0; i < 150; i++) await cp(join(folder, 'first/metrics.jsonl'), join(many, String(i), 'metrics.jsonl'));
  const shell = `ulimit -n 60; exec ${process.execPath} dist/cli.js runs --folder ${many} --json`;
  const { stdout } = await promisify(execFile)('bash', ['-c', shell]);
  const listed = JSON.parse(stdout) as RunEntry[];
  expect(listed.map(({ step }) => step)).toEqual(listed.map(() => 1));
  expect(listed).toHaveLength(150);
});

it('that cannot be looked into are no empty ones', async () => {
  const folder = join(directory, 'circle');
  await mkdir(folder);
  await symlink('checkpoint.msgpack', join(folder, 'checkpoint.msgpack'));
  const { code, message } = await operationalError(() => evaluate({ checkpoint: folder, data }));
  expect([code, message]).toEqual(['CHECKPOINT_INVALID', expect.stringMatching(/^cannot read .*\(ELOOP\)/)]);
});

it('keep the score of held-out rows, which a choice is made by, apart from that of the test set', async () => {
  const [validated, without] = await listRuns({ folder });
  const scores = await readFile(join(folder, 'validated/summary.json'), 'utf8');
  const { accuracy, validation } = JSON.parse(scores) as Summary;
  expect(validated).toMatchObject({ accuracy, validationAccuracy: validation?.accuracy });
  expect(without?.validationAccuracy).toBeNull();
  const { result } = await compareRuns([join(folder, 'validated'), join(folder, 'second')]);
  const compared = result.find(({ what }) => what === 'validationAccuracy')?.values;
  expect(compared).toEqual([String(validation?.accuracy), 'none']);
});

it('as a table, and a usage error for what is neither list nor comparison', async () => {
  const { stdout } = await cli(['runs'], { cwd: directory });
  expect(stdout).toMatch(
    /^name +started \(UTC\) +state +steps +validation +test +images\/s\nvalidated +\d{4}-\d\d-\d\d \d\d:\d\d +finished +2 /,
  );
  expect(await cli(['runs', 'compare', 'first'], { cwd: directory })).toMatchObject({ code: 2, stdout: '' });
  expect(await cli(['runs', 'none'], { cwd: directory })).toMatchObject({ code: 2, stdout: '' });
});

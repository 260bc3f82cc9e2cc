/** Jobs that are started again and again, told to save, and left behind by machines that are gone. */
import { once } from 'node:events';
import { cp, mkdir, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadCheckpoint } from '../../../src/index.js';
import { cli } from '../../support/processes/cli.js';
import { operationalError } from '../../support/compute/errors.js';
import { temporaryRuns, trainRun } from '../../support/processes/runs.js';

const { directory, data, out } = await temporaryRuns(38, 20);

const config = { batchSize: 16, microBatch: 2, epochs: 2, seed: 9 };

describe('one command for a job that is started again and again', () => {
  it('begins the run, goes on with it, and comes to the bits of one that was never stopped', async () => {
    const { summary: whole } = await trainRun({ ...config, data, workers: 2, out: out(), maxSteps: 4 });
    const options = { ...config, data, out: out(), resumeOrStart: true };
    await trainRun({ ...options, workers: 1, maxSteps: 2, checkpointEvery: 1 });
    const { metrics, summary } = await trainRun({ ...options, workers: 3, maxSteps: 4 });
    expect(metrics[0]).toMatchObject({ kind: 'start', step: 2 });
    expect(summary.stateSha256).toBe(whole.stateSha256);
  });

  it('goes on from the checkpoint before a damaged one, and says so', async () => {
    const options = { ...config, data, out: out(), workers: 1, resumeOrStart: true };
    await trainRun({ ...options, maxSteps: 2, checkpointEvery: 1 });
    await writeFile(join(options.out, 'checkpoint.msgpack'), 'damaged');
    const notes: string[] = [];
    const { metrics } = await trainRun({ ...options, maxSteps: 2, onNote: (text) => notes.push(text) });
    expect(metrics[0]).toMatchObject({ kind: 'start', step: 1 });
    expect(notes.join()).toMatch(/^warning: .*is whole: use .*checkpoint.previous.msgpack, which this run does/);
    expect((await loadCheckpoint(options.out)).step).toBe(2);
  });

  it('keeps nothing of a run that was killed before its first checkpoint', async () => {
    const options = { ...config, data, out: out(), workers: 1, resumeOrStart: true, maxSteps: 1 };
    await trainRun(options);
    for (const name of ['checkpoint.msgpack', 'summary.json']) await rm(join(options.out, name));
    await rm(join(options.out, 'checkpoint.previous.msgpack'), { force: true });
    const { metrics } = await trainRun(options);
    const { stdout } = await cli(['report', options.out, '--data', data, '--workers', '1']);
    expect([metrics[0]?.kind, stdout]).toEqual(['start', `${join(options.out, 'report.html')}\n`]);
  });

  it.each([
    ['summary.json', '{}'],
    ['metrics.jsonl', '{"loss":1}\n'],
    ['metrics.csv', 'a,b\n'],
  ])('leaves alone a %s that another program wrote', async (name, text) => {
    const folder = out();
    await mkdir(folder);
    await writeFile(join(folder, name), text);
    const { code, message } = await operationalError(() => trainRun({ ...config, data, workers: 1, out: folder }));
    expect([code, message]).toEqual(['OUT_IN_USE', expect.stringContaining(`holds a ${name} that is not this run's;`)]);
    expect(await readdir(folder)).toEqual([name]);
    expect(await readFile(join(folder, name), 'utf8')).toBe(text);
  });

  it('needs a folder, and no other run', async () => {
    const without = await operationalError(() => trainRun({ ...config, data, resumeOrStart: true }));
    expect([without.code, without.message]).toEqual(['USAGE', expect.stringMatching(/^`resumeOrStart` needs `out`/)]);
    const both = await operationalError(() =>
      trainRun({ ...config, data, resumeOrStart: true, out: out(), resume: 'x' }),
    );
    expect(both.message).toMatch(/^`resume` and `resumeOrStart` exclude each other/);
  });
});

describe('`--resume` alone', () => {
  it('goes on with the newest run of the working folder, and an empty name is none', async () => {
    const [older, newer] = [join(directory, 'cwd/runs/older'), join(directory, 'cwd/runs/newer')];
    await trainRun({ ...config, data, workers: 1, out: newer, maxSteps: 1 });
    await cp(newer, older, { recursive: true });
    await utimes(join(older, 'checkpoint.msgpack'), 1, 1);
    const cwd = join(directory, 'cwd');
    const args = ['--data', data, '--workers', '1', '--max-steps', '2'];
    const { code, stderr } = await cli(['train', '--resume', ...args], { cwd });
    expect([code, stderr]).toEqual([0, expect.stringContaining('writing to')]);
    expect([(await loadCheckpoint(newer)).step, (await loadCheckpoint(older)).step]).toEqual([2, 1]);
    for (const empty of [['--resume', ''], ['--resume=']]) {
      expect(await cli(['train', ...empty, ...args], { cwd })).toMatchObject({ code: 2, stdout: '' });
    }
  });
});

describe.skipIf(process.platform === 'win32')('SIGUSR1 and SIGUSR2', () => {
  it.each(['SIGUSR1', 'SIGUSR2'] as const)('%s writes a checkpoint, and training goes on', async (signal) => {
    const folder = out();
    const args = ['--data', data, '--batch-size', '16', '--epochs', '100000', '--workers', '1', '--out', folder];
    const running = cli(['train', ...args], {
      onStart: (child) => {
        void (async () => {
          await once(child.stdout ?? child, 'data');
          child.kill(signal);
          const path = join(folder, 'checkpoint.msgpack');
          await expect.poll(() => stat(path).catch(() => null), { timeout: 20_000 }).not.toBeNull();
          child.kill('SIGTERM');
        })();
      },
    });
    const { code, stderr } = await running;
    expect([code, stderr]).toEqual([143, expect.stringContaining(`${signal}: writing a checkpoint after this step`)]);
    expect(await readdir(folder)).toContain('checkpoint.msgpack');
  });
});

it('`--take-over` takes the folder of a run on another machine, and says whose', async () => {
  const folder = out();
  await trainRun({ ...config, data, workers: 1, out: folder, maxSteps: 1 });
  await writeFile(join(folder, 'run.lock'), JSON.stringify({ pid: 7, host: `not-${hostname()}`, beats: true }));
  const args = ['train', '--resume', folder, '--data', data, '--workers', '1', '--max-steps', '2'];
  const refused = await cli(args);
  expect([refused.code, refused.stderr]).toEqual([
    1,
    expect.stringContaining('if it is gone, add --take-over or delete'),
  ]);
  const { code, stderr } = await cli([...args, '--take-over']);
  expect([code, stderr]).toEqual([0, expect.stringContaining('over from the run of process 7 on not-')]);
});

/** Whatever fails while training, nothing that was committed is lost, and the end has the bits of a run without failures. */
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { loadCheckpoint, train, type Summary, type TrainOptions } from '../../../src/index.js';
import { cli } from '../../support/processes/cli.js';
import { operationalError } from '../../support/compute/errors.js';
import { faultCases, faultImport, survive } from '../../support/processes/faults.js';
import { writeIdxSet } from '../../support/inputs/idx-files.js';
import { liveAndDie } from '../../support/processes/kills.js';
import { temporaryRuns, trainRun } from '../../support/processes/runs.js';

const { directory, data, out } = await temporaryRuns(38, 20);

/** Two epochs of 3 steps: 16, 16 and 6 rows. */
const config = { batchSize: 16, microBatch: 2, epochs: 2, seed: 9, workers: 3, timeout: 1 };
const hashes = ({ parametersSha256, stateSha256 }: Summary): string[] => [parametersSha256, stateSha256];

let whole: Summary;
beforeAll(async () => {
  ({ summary: whole } = await trainRun({ ...config, workers: 1, data, out: out() }));
});

describe('a rank that fails', () => {
  it.each(faultCases)('by $kind in $phase of step $step on rank $rank costs nothing but time', async (fault) => {
    expect(hashes(await survive(fault, { ...config, data, out: out() }))).toEqual(hashes(whole));
  });

  it('again and again ends the run by name, with its last good step saved, to go on from', async () => {
    const folder = out();
    const flags = '--batch-size 16 --micro-batch 2 --epochs 2 --seed 9 --workers 3 --max-restarts 2'.split(' ');
    const faulty = { env: { MNIST_DDP_FAULT: 'throw:reduce:1:5:99' }, node: [faultImport] };
    const { code, stderr } = await cli(['train', '--data', data, '--out', folder, ...flags], faulty);
    expect(code).toBe(1);
    const last = stderr.trimEnd().split('\n').at(-1);
    expect(last).toMatch(/^mnist-ddp: rank 1 failed in reduce of step 5: a fault on purpose; gave up after 2 restarts/);
    expect(last).toContain(`step 4 is saved: go on with --resume ${folder}`);
    expect((await loadCheckpoint(folder)).step).toBe(4);
    expect(await readdir(folder)).not.toContain('run.lock');
    const { summary } = await trainRun({ resume: folder, data, workers: 2 });
    expect(hashes(summary)).toEqual(hashes(whole));
  });
});

describe('a place to write to that fails while training', () => {
  let options: TrainOptions;
  let notes: string[];
  let folder: string;
  beforeAll(() => {
    options = { ...config, workers: 2, data, checkpointEvery: 1 };
  });

  /** Trains into a new folder, and does `harm` to it once the first epoch is through. */
  async function harmed(harm: () => Promise<void>): Promise<Summary> {
    [notes, folder] = [[], out()];
    let summary: Summary | null = null;
    for await (const metric of train({ ...options, out: folder, onNote: (text) => notes.push(text) })) {
      if (metric.kind === 'evaluation' && metric.epoch === 1) await harm();
      if (metric.kind === 'summary') summary = metric;
    }
    if (summary === null) throw new Error('a run ends with its summary');
    return summary;
  }

  it('and was deleted is made again, with the next checkpoint in it', async () => {
    const summary = await harmed(() => rm(folder, { recursive: true }));
    expect(hashes(summary)).toEqual(hashes(whole));
    expect((await loadCheckpoint(folder)).step).toBe(6);
    expect((await readdir(folder)).sort()).toEqual([
      'checkpoint.msgpack',
      'checkpoint.previous.msgpack',
      'metrics.csv',
      'metrics.jsonl',
      'summary.json',
    ]);
  });

  it('for some time costs a warning by name, and the next checkpoint is written', async () => {
    const path = (): string => join(folder, 'checkpoint.previous.msgpack');
    const blocked = harmed(async () => {
      await rm(path());
      await mkdir(path());
      await writeFile(join(path(), 'in-the-way'), '');
    });
    const error = await operationalError(() => blocked);
    // In the way to the end: each checkpoint is tried, and only the last one, which is lost for good, is an error.
    expect(notes).toHaveLength(2);
    for (const note of notes)
      expect(note).toMatch(
        /^warning: no checkpoint of step [45]: cannot write .*checkpoint\.previous\.msgpack: it is a folder; /,
      );
    expect(error.code).toBe('OUT_NOT_WRITABLE');
    expect((await loadCheckpoint(folder)).step).toBe(3);
    await rm(path(), { recursive: true });
    expect(hashes((await trainRun({ resume: folder, data, workers: 3 })).summary)).toEqual(hashes(whole));
  });

  it('and was replaced by a file is one error at the end, and one warning about the metrics', async () => {
    const blocked = harmed(async () => {
      await rm(folder, { recursive: true });
      await writeFile(folder, '');
    });
    expect((await operationalError(() => blocked)).code).toBe('OUT_NOT_WRITABLE');
    expect(notes.filter((note) => note.startsWith('warning: lines of the metrics are lost'))).toHaveLength(1);
  });

  it('and that another run took over is left to that one', async () => {
    const error = await operationalError(() =>
      harmed(async () => {
        await rm(folder, { recursive: true });
        await trainRun({ ...options, maxSteps: 1, out: folder });
        await writeFile(join(folder, 'run.lock'), JSON.stringify({ pid: 1, host: 'elsewhere' }));
      }),
    );
    expect(error.code).toBe('OUT_IN_USE');
    expect((await loadCheckpoint(folder)).step).toBe(1);
  });
});

describe('a process that is killed', () => {
  const flags = '--batch-size 8 --micro-batch 2 --epochs 1 --seed 5'.split(' ');
  const kills = 2;
  let longData: string;
  let undisturbed: Summary;

  beforeAll(async () => {
    longData = join(directory, 'long');
    await writeIdxSet(longData, 800, 20);
    const options = { batchSize: 8, microBatch: 2, epochs: 1, seed: 5, workers: 2, data: longData, out: out() };
    ({ summary: undisturbed } = await trainRun(options));
  });

  it(`${String(kills)} times at random moments, and goes on with other workers, ends with the undisturbed hash`, async () => {
    const folder = out();
    expect(await liveAndDie(kills, longData, folder, flags)).toBeLessThan(100);
    const { summary } = await trainRun({ resume: folder, data: longData, workers: 3 });
    expect(hashes(summary)).toEqual(hashes(undisturbed));
    expect((await readdir(folder)).filter((name) => /tmp|lock/.test(name))).toEqual([]);
  });

  it.each([
    { signal: 'SIGTERM', code: 143 },
    { signal: 'SIGHUP', code: 129 },
  ] as const)('by $signal saves its step and ends with $code', async ({ signal, code }) => {
    const folder = out();
    const stopped = await cli(['train', '--data', longData, '--out', folder, ...flags, '--workers', '2'], {
      onStart: (child) => child.stdout?.once('data', () => child.kill(signal)),
    });
    expect(stopped.code).toBe(code);
    expect(stopped.stderr).toContain(
      `stopped by ${signal}; go on with: mnist-ddp train --resume ${folder} --workers 2 --data ${longData}\n`,
    );
    const { summary } = await trainRun({ resume: folder, data: longData, workers: 1 });
    expect(hashes(summary)).toEqual(hashes(undisturbed));
  });

  it('by a second SIGINT ends at once, and its last checkpoint is whole', async () => {
    const folder = out();
    // A rank that stalls keeps the first SIGINT from being heard.
    const faulty = { env: { MNIST_DDP_FAULT: 'stall:reduce:0:21' }, node: [faultImport] };
    const args = ['train', '--data', longData, '--out', folder, ...flags, '--workers', '2', '--checkpoint-every', '1'];
    let second = 0;
    const { code } = await cli(args, {
      ...faulty,
      onStart: (child) => {
        void reached(folder, 20).then(() => child.kill('SIGINT'));
        child.stderr?.on('data', (text: Buffer) => {
          if (!text.toString().includes('once more ends at once')) return;
          second = performance.now();
          child.kill('SIGINT');
        });
      },
    });
    // Far less than the minute after which a stalled rank ends the run.
    expect(performance.now() - second).toBeLessThan(15_000);
    expect(code).toBe(130);
    expect((await loadCheckpoint(folder)).step).toBe(20);
    const { summary } = await trainRun({ resume: folder, data: longData, workers: 4 });
    expect(hashes(summary)).toEqual(hashes(undisturbed));
  });
});

/** Resolves when the run's checkpoint is of that step, or after a minute. */
async function reached(folder: string, step: number): Promise<void> {
  const deadline = performance.now() + 60_000;
  while ((await loadCheckpoint(folder).catch(() => null))?.step !== step && performance.now() < deadline)
    await sleep(20);
}

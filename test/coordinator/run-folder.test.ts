import { mkdir, readdir, readFile, rm, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { newestRun, openRunFolder, resolveCheckpointPath } from '../../src/coordinator/node/run-folder.js';
import { operationalError } from '../support/compute/errors.js';
import { temporaryDirectory } from '../support/inputs/idx-files.js';

const checkpointName = 'checkpoint.msgpack';
let directory: string;
let remove: () => Promise<void>;

beforeEach(async () => {
  ({ directory, remove } = await temporaryDirectory());
});
afterEach(async () => {
  await remove();
});

describe('opening', () => {
  const startTime = new Date('2025-03-04T05:06:07.891Z');

  it('without `out` makes a new folder under runs/, named by the start time without colons', async () => {
    const first = await openRunFolder({ loaded: null, cwd: directory, startTime });
    const second = await openRunFolder({ loaded: null, cwd: directory, startTime });
    expect(first.directory).toBe(join(directory, 'runs', '2025-03-04T05-06-07'));
    expect(second.directory).toBe(join(directory, 'runs', '2025-03-04T05-06-07-2'));
    expect(await readdir(first.directory)).toEqual(['run.lock']);
  });

  it('makes `out` with the folders above it, and takes one that is there', async () => {
    const out = join(directory, 'a', 'b');
    const run = await openRunFolder({ out, loaded: null });
    expect(run.directory).toBe(out);
    await run.close();
    await mkdir(out);
    expect((await openRunFolder({ out, loaded: null })).checkpointPath).toBe(join(out, checkpointName));
  });

  it.each([checkpointName, 'checkpoint.previous.msgpack'])(
    'refuses an `out` that holds %s, unless the run resumes',
    async (name) => {
      await writeFile(join(directory, name), 'x');
      const error = await operationalError(() => openRunFolder({ out: directory, loaded: null }));
      expect(error.code).toBe('OUT_IN_USE');
      expect(error.message).toContain(`\`resume\` ${directory}`);
      await openRunFolder({ out: directory, loaded: join(directory, checkpointName) });
      expect(await readFile(join(directory, name), 'utf8')).toBe('x');
    },
  );

  it('refuses an `out` that is a file, or under one', async () => {
    const file = join(directory, 'file');
    await writeFile(file, 'kept');
    for (const out of [file, join(file, 'below')]) {
      const error = await operationalError(() => openRunFolder({ out, loaded: null }));
      expect(error.code).toBe('OUT_NOT_WRITABLE');
      expect(error.message).toContain(file);
    }
    expect(await readFile(file, 'utf8')).toBe('kept');
  });

  it.runIf(process.platform === 'linux')('finds by writing that a folder takes no files, before training', async () => {
    const error = await operationalError(() => openRunFolder({ out: '/proc/self', loaded: null }));
    expect(error.code).toBe('OUT_NOT_WRITABLE');
    expect(error.message).toContain('/proc/self');
  });

  it('refuses links that lead nowhere, before training', async () => {
    for (const [name, target] of [
      [checkpointName, 'nowhere/file'],
      ['run.lock', 'nowhere'],
    ] as const) {
      await symlink(target, join(directory, name));
      const { code, message } = await operationalError(() => openRunFolder({ out: directory, loaded: null }));
      expect([code, message]).toEqual(['OUT_NOT_WRITABLE', expect.stringMatching(/it is a link to .* not there/)]);
      await rm(join(directory, name));
    }
  });

  it.each([checkpointName, 'summary.json'])(
    'refuses links that end nowhere or at another of its files: %s',
    async (name) => {
      for (const [target, message] of [
        [name, 'its links lead in a circle'],
        ['n'.repeat(300), 'the path is too long'],
        ['metrics.jsonl', 'it leads to another file of the run'],
      ] as const) {
        await symlink(target, join(directory, name));
        const error = await operationalError(() => openRunFolder({ out: directory, loaded: null }));
        expect([error.code, error.message]).toEqual(['OUT_NOT_WRITABLE', expect.stringContaining(message)]);
        await rm(join(directory, name));
      }
    },
  );

  it('goes again where it was made for a run that wrote nothing', async () => {
    const made = await openRunFolder({ out: join(directory, 'made'), loaded: null });
    await made.close();
    const kept = await openRunFolder({ out: join(directory, 'kept'), loaded: null });
    await kept.appendMetric({ step: 1 });
    await kept.close();
    const existing = await openRunFolder({ out: directory, loaded: null });
    await existing.close();
    expect(await readdir(directory)).toEqual(['kept']);
  });

  it('clears what killed processes left, and nothing of a process that lives', async () => {
    const [dead, own, alive] = [4_194_303, process.pid, process.ppid].map(
      (pid) => `.${checkpointName}.${String(pid)}-1.tmp`,
    );
    for (const name of [dead, own, alive, '.other.tmp']) await writeFile(join(directory, name ?? ''), 'x');
    await openRunFolder({ out: directory, loaded: join(directory, checkpointName) });
    expect((await readdir(directory)).sort()).toEqual([alive, '.other.tmp', 'run.lock'].sort());
  });
});

describe('metrics and summary', () => {
  it('appends one line a metric, and cuts back to a step, half-written lines included', async () => {
    const run = await openRunFolder({ out: directory, loaded: null });
    for (const step of [100, 200, 300, 400]) await run.appendMetric({ step, loss: step / 7 });
    await run.appendMetric({ step: 300, accuracy: 0.5 });
    await writeFile(join(directory, 'metrics.jsonl'), 'no json\n{"loss":1}\n\n{"step":100,"lo', { flag: 'a' });
    await run.cutMetrics(300);
    const lines = (await readFile(join(directory, 'metrics.jsonl'), 'utf8')).trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
      { step: 100, loss: 100 / 7 },
      { step: 200, loss: 200 / 7 },
      { step: 300, loss: 300 / 7 },
      { step: 300, accuracy: 0.5 },
    ]);
    await run.appendMetric({ step: 301 });
    expect((await readFile(join(directory, 'metrics.jsonl'), 'utf8')).endsWith('0.5}\n{"step":301}\n')).toBe(true);
    await run.cutMetrics(0);
    expect(await readFile(join(directory, 'metrics.jsonl'), 'utf8')).toBe('');
  });

  it('is not read where it is larger than metrics are', async () => {
    const run = await openRunFolder({ out: directory, loaded: null });
    await writeFile(join(directory, 'metrics.jsonl'), '');
    await truncate(join(directory, 'metrics.jsonl'), 600 * 1024 * 1024);
    const { code, message } = await operationalError(() => run.cutMetrics(5));
    expect([code, message]).toEqual([
      'RUN_INVALID',
      expect.stringMatching(/metrics\.jsonl has 629145600 bytes.* move it away/),
    ]);
  });

  it('cutting a file that is not there is nothing', async () => {
    const run = await openRunFolder({ out: directory, loaded: null });
    await run.cutMetrics(5);
    expect(await readdir(directory)).toEqual(['run.lock']);
  });

  it('replaces the summary as a whole', async () => {
    const run = await openRunFolder({ out: directory, loaded: null });
    await run.writeSummary({ accuracy: 1, long: 'x'.repeat(1000) });
    await run.writeSummary({ accuracy: 2 });
    expect(JSON.parse(await readFile(run.summaryPath, 'utf8'))).toEqual({ accuracy: 2 });
    expect(await readdir(directory)).toEqual(['run.lock', 'summary.json']);
  });

  it('names the folder that was deleted while training', async () => {
    const run = await openRunFolder({ out: join(directory, 'run'), loaded: null });
    await rm(run.directory, { recursive: true });
    for (const act of [() => run.appendMetric({ step: 1 }), () => run.writeSummary({})]) {
      const error = await operationalError(act);
      expect(error.code).toBe('OUT_NOT_WRITABLE');
      expect(error.message).toContain('was deleted (ENOENT)');
    }
  });
});

describe('finding a checkpoint', () => {
  async function makeRun(name: string, seconds: number | null): Promise<string> {
    const run = join(directory, 'runs', name);
    await mkdir(run, { recursive: true });
    if (seconds === null) return run;
    await writeFile(join(run, checkpointName), 'x');
    await utimes(join(run, checkpointName), seconds, seconds);
    return run;
  }

  it('the newest run is the one whose checkpoint was written last; folders without one do not count', async () => {
    await makeRun('2025-01-02', 1000);
    const newest = await makeRun('2025-01-01', 2000);
    await makeRun('2025-01-03', null);
    await writeFile(join(directory, 'runs', '2026'), 'a file');
    expect(await newestRun(directory)).toBe(newest);
  });

  it.each([true, false])('says so where there is none (runs/ there: %s)', async (there) => {
    if (there) await makeRun('empty', null);
    const error = await operationalError(() => newestRun(directory));
    expect(error.code).toBe('CHECKPOINT_MISSING');
    expect(error.message).toContain(join(directory, 'runs'));
  });

  it('a name means the run under runs/, and where something here has that name too, either has to be named by its path', async () => {
    const run = await makeRun('a', 1);
    const cwd = process.cwd();
    process.chdir(directory);
    try {
      expect(await resolveCheckpointPath('a')).toBe(join('runs', 'a', checkpointName));
      await writeFile('a', 'x');
      const { code, message } = await operationalError(() => resolveCheckpointPath('a'));
      expect([code, message]).toEqual(['USAGE', 'a is a file here and a run: name ./a or runs/a']);
      expect(await resolveCheckpointPath('./a')).toBe('./a');
      expect(await resolveCheckpointPath('runs/a')).toBe(join('runs', 'a', checkpointName));
      // A link to the run is the run.
      await rm('a');
      await symlink(run, 'a');
      expect(await resolveCheckpointPath('a')).toBe(join('a', checkpointName));
    } finally {
      process.chdir(cwd);
    }
  });

  it('a folder means its checkpoint, a file itself, and the one before stands in where a kill left only that', async () => {
    const run = await makeRun('a', 1);
    const path = join(run, checkpointName);
    expect(await resolveCheckpointPath(run)).toBe(path);
    expect(await resolveCheckpointPath(path)).toBe(path);
    await rm(path);
    expect((await operationalError(() => resolveCheckpointPath(run))).message).toContain(`holds no ${checkpointName}`);
    await writeFile(join(run, 'checkpoint.previous.msgpack'), 'x');
    expect(await resolveCheckpointPath(run)).toBe(join(run, 'checkpoint.previous.msgpack'));
    expect((await operationalError(() => resolveCheckpointPath(path))).code).toBe('CHECKPOINT_MISSING');
  });
});

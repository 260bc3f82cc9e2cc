/** One live run in a folder: the second is refused by name; the lock of a run that is gone holds nobody up. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmod, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { lives, reachOf, RunLock } from '../../../src/coordinator/node/run-lock.js';
import { operationalError } from '../../support/compute/errors.js';
import { temporaryDirectory } from '../../support/inputs/idx-files.js';

let directory: string;
let remove: () => Promise<void>;
let path: string;

beforeEach(async () => {
  ({ directory, remove } = await temporaryDirectory());
  path = join(directory, 'run.lock');
});
afterEach(async () => {
  await remove();
});

/** A process that takes the lock, says so or why not, and lives on until it is killed. */
async function holder(within: readonly string[] = []): Promise<{ child: ChildProcess; said: string }> {
  const module = new URL('../../../dist/coordinator/node/run-lock.js', import.meta.url).href;
  const script = `
    const { RunLock } = await import(${JSON.stringify(module)});
    await RunLock.take(${JSON.stringify(directory)}).then(() => console.log('taken'), (error) => console.log(error.message));
    setTimeout(() => undefined, 30_000);`;
  const [command, ...args] = [...within, process.execPath, '--input-type=module', '--eval', script];
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [said] = (await once(child.stdout, 'data')) as [Buffer];
  return { child, said: said.toString().trim() };
}

async function kill({ child }: { child: ChildProcess }): Promise<void> {
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

async function own(): Promise<Record<string, unknown>> {
  const lock = await RunLock.take(directory);
  const holder = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
  await lock.release();
  return holder;
}

describe('the lock of a live run', () => {
  it('refuses every other, in the same process too, and leaves nothing behind when it is released', async () => {
    const lock = await RunLock.take(directory);
    const error = await operationalError(() => RunLock.take(directory));
    expect(error.code).toBe('OUT_IN_USE');
    expect(error.message).toContain(`held by the run of process ${String(process.pid)}`);
    await lock.release();
    expect(await readdir(directory)).toEqual([]);
    await (await RunLock.take(directory)).release();
  });

  it('names the other process; of several at once exactly one has it', async () => {
    const holders = await Promise.all(Array.from({ length: 4 }, () => holder()));
    try {
      const winner = holders.find(({ said }) => said === 'taken');
      const refused = holders.filter((other) => other !== winner);
      for (const { said } of refused) expect(said).toContain(`process ${String(winner?.child.pid)}`);
      const error = await operationalError(() => RunLock.take(directory));
      expect(error.message).toContain(`process ${String(winner?.child.pid)}`);
    } finally {
      await Promise.all(holders.map(kill));
    }
  });

  it.runIf(process.platform === 'linux')(
    'is refused where the umask keeps the process from its own files',
    async () => {
      await chmod(directory, 0o777);
      // Root may read everything.
      const asNobody = process.getuid?.() === 0 ? ['setpriv', '--reuid', '65534', '--clear-groups'] : [];
      const { said } = await holder([...asNobody, 'sh', '-c', 'umask 777 && exec "$@"', 'sh']);
      expect(said).toContain('what this process writes it may not read (EACCES); set another umask, such as 022');
      expect(await readdir(directory)).toEqual([]);
    },
  );

  it('is taken again where the folder was emptied, and lost where another run was faster', async () => {
    const lock = await RunLock.take(directory);
    await rm(path);
    await lock.renew();
    expect((await operationalError(() => RunLock.take(directory))).code).toBe('OUT_IN_USE');
    await rm(path);
    const other = await RunLock.take(directory);
    expect((await operationalError(() => lock.renew())).code).toBe('OUT_IN_USE');
    await lock.release();
    await other.renew();
    expect(await readdir(directory)).toEqual(['run.lock']);
  });
});

describe('a stale lock is taken over', () => {
  it('of a process that was killed with SIGKILL', async () => {
    const held = await holder();
    expect(held.said).toBe('taken');
    await kill(held);
    await (await RunLock.take(directory)).release();
  });

  it.runIf(process.platform === 'linux')('of a process whose number another one has now', async () => {
    const holder = { ...(await own()), id: 'x' };
    await writeFile(path, JSON.stringify(holder));
    expect((await operationalError(() => RunLock.take(directory))).code).toBe('OUT_IN_USE');
    await writeFile(path, JSON.stringify({ ...holder, startTime: '1' }));
    await (await RunLock.take(directory)).release();
  });

  it.each(['', 'half a l', '{}', 'null', '{"pid":-1,"host":"x"}', '{"pid":1e999,"host":"x"}'])(
    'that is no whole lock: %j',
    async (text) => {
      await writeFile(path, text);
      await (await RunLock.take(directory)).release();
      expect(await readdir(directory)).toEqual([]);
    },
  );

  it('by one of many that want it at once', async () => {
    await writeFile(path, JSON.stringify({ pid: 4_194_303, startTime: '1', host: hostname(), id: 'x' }));
    const takers = await Promise.allSettled(Array.from({ length: 8 }, () => RunLock.take(directory)));
    const locks = takers.flatMap((taker) => (taker.status === 'fulfilled' ? [taker.value] : []));
    const kept = await Promise.allSettled(locks.map((lock) => lock.renew()));
    expect(kept.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(await readdir(directory)).toEqual(['run.lock']);
  });

  it('but not that of another machine, which cannot be asked', async () => {
    await writeFile(path, JSON.stringify({ pid: 1, startTime: '1', host: `not-${hostname()}`, id: 'x' }));
    const error = await operationalError(() => RunLock.take(directory));
    expect(error.message).toContain(`if it is gone, add \`takeOver\` or delete ${path}`);
  });

  it('but not that of another container with the same host name, whose process numbers mean nothing here', async () => {
    const holder = { ...(await own()), pid: 4_194_303, pidNamespace: 'pid:[1]' };
    await writeFile(path, JSON.stringify(holder));
    const error = await operationalError(() => RunLock.take(directory));
    expect(error.message).toContain(`delete ${path}`);
  });

  const minute = 60;
  it.each([
    ['has been silent for long', { beats: true }, 6 * minute, false, true],
    ['is at once to be taken over', { beats: true }, 0, true, true],
    ['was heard of just now', { beats: true }, 4 * minute, false, false],
    ['never says anything, being of an earlier version', {}, 600 * minute, false, false],
  ])('of another machine, where it %s', async (_, beats, silence, takeOver, taken) => {
    const elsewhere = { pid: 7, startTime: '1', host: `not-${hostname()}`, id: 'x', ...beats };
    await writeFile(path, JSON.stringify(elsewhere));
    const heard = Date.now() / 1000 - silence;
    await utimes(path, heard, heard);
    const notes: string[] = [];
    const taking = RunLock.take(directory, { takeOver, onNote: (text) => notes.push(text) });
    if (!taken) {
      expect((await operationalError(() => taking)).code).toBe('OUT_IN_USE');
      return;
    }
    await (await taking).release();
    const minutes = `${String(silence / minute)} minutes`;
    expect(notes).toEqual([
      `warning: took ${path} over from the run of process 7 on not-${hostname()}, silent for ${minutes}`,
    ]);
    expect(await readdir(directory)).toEqual([]);
  });
});

it('a holder gives signs of life, and none over the lock of another run', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  try {
    const lock = await RunLock.take(directory);
    await utimes(path, 1, 1);
    vi.advanceTimersByTime(15_000);
    await expect.poll(async () => (await stat(path)).mtimeMs).toBeGreaterThan(1_000_000);
    await writeFile(path, 'of another run');
    await utimes(path, 1, 1);
    vi.advanceTimersByTime(60_000);
    await setTimeout(100);
    expect([await readFile(path, 'utf8'), (await stat(path)).mtimeMs]).toEqual(['of another run', 1000]);
    await lock.release();
  } finally {
    vi.useRealTimers();
  }
});

describe('where a holder is', () => {
  const first = 'pid:[4026531836]';
  const here = { host: 'a', machine: 'm', boot: 'b', pidNamespace: first };
  const container = { ...here, pidNamespace: 'pid:[7]' };

  it.each([
    ['the same', here, here, 'here'],
    ['the same container', container, container, 'here'],
    [
      'an earlier version, or a system that does not tell',
      { ...here, machine: null, boot: null, pidNamespace: null },
      here,
      'here',
    ],
    ['another host', { ...here, host: 'c' }, here, 'elsewhere'],
    ['another machine of that name', { ...here, machine: 'n' }, here, 'elsewhere'],
    ['a container on this machine', container, here, 'elsewhere'],
    ['the machine around this container', here, container, 'elsewhere'],
    ['this machine, before it was started again', { ...here, boot: 'c' }, here, 'past'],
    ['a machine that has no id', { ...here, machine: null, boot: 'c' }, here, 'elsewhere'],
    [
      'who knows his numbers, of one who does not',
      { ...here, beats: true },
      { ...here, pidNamespace: null },
      'elsewhere',
    ],
    ['a container of the same image on another kernel', { ...container, boot: 'c' }, container, 'elsewhere'],
  ] as const)('%s', (_name, holder, own, reach) => {
    expect(reachOf(holder, own)).toBe(reach);
  });
});

const unshare = ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc'] as const;
const mayUnshare = spawnSync(unshare[0], [...unshare.slice(1), 'true']).status === 0;

it.runIf(mayUnshare)('a process with another table of processes is refused, and refuses', async () => {
  const inContainer = await holder(unshare);
  try {
    expect(inContainer.said).toBe('taken');
    expect((await operationalError(() => RunLock.take(directory))).code).toBe('OUT_IN_USE');
    await rm(path);
    await RunLock.take(directory);
    const second = await holder(unshare);
    await kill(second);
    expect(second.said).toContain('is held by the run of process');
  } finally {
    await kill(inContainer);
  }
});

it.runIf(mayUnshare)('a process that /proc does not show is not taken for gone', async () => {
  const module = new URL('../../../dist/coordinator/node/run-lock.js', import.meta.url).href;
  const script = `
    const { lives } = await import(${JSON.stringify(module)});
    const live = await lives({ pid: process.pid, startTime: '1' });
    console.log(live, await lives({ pid: 4194303, startTime: '1' }));`;
  const [command, ...args] = ['unshare', '--mount', 'sh', '-c', 'mount -t tmpfs none /proc && exec "$@"', 'sh'];
  const node = [process.execPath, '--input-type=module', '--eval', script];
  const { stdout, status } = spawnSync(command, [...args, ...node], { encoding: 'utf8' });
  expect([status, stdout]).toEqual([0, 'true false\n']);
  expect(await lives({ pid: process.pid, startTime: null })).toBe(true);
});

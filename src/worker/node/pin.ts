/**
 * Pins the calling thread to one core, where that can be done: Linux, with util-linux's taskset. Node has no call for it,
 * but the kernel gives every thread an id, and taskset moves any thread of the same user.
 */
import { execFile } from 'node:child_process';
import { readlinkSync } from 'node:fs';
import { basename } from 'node:path';

const timeoutMs = 5_000;

/**
 * The kernel's id of the calling thread; null where there is no such thing.
 * Read synchronously on purpose: an asynchronous read would run on, and name, a thread of Node's own pool.
 */
export function currentThreadId(): string | null {
  try {
    const id = basename(readlinkSync('/proc/thread-self'));
    return /^\d+$/.test(id) ? id : null;
  } catch {
    return null;
  }
}

/**
 * Pins the calling thread to that core.
 * @returns null when done, else one line that says why not; never throws, since a run goes on without
 */
export async function pinThread(core: number): Promise<string | null> {
  const what = `cannot pin this worker to core ${String(core)}`;
  if (process.platform !== 'linux') return `${what}: pinning works on Linux only`;
  const threadId = currentThreadId();
  if (threadId === null) return `${what}: /proc/thread-self cannot be read`;
  const reason = await runTaskset(core, threadId);
  return reason === null ? null : `${what}: ${reason}`;
}

function runTaskset(core: number, threadId: string): Promise<string | null> {
  return new Promise((resolve) => {
    execFile('taskset', ['-cp', String(core), threadId], { timeout: timeoutMs }, (error, _stdout, stderr) => {
      if (error === null) resolve(null);
      else if (error.code === 'ENOENT') resolve('taskset (util-linux) is not installed');
      else resolve(stderr.trim().split('\n')[0] || error.message.split('\n')[0] || 'taskset failed');
    });
  });
}

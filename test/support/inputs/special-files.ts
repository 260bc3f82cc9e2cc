/** What a path can name that is no regular file. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { createServer } from 'node:net';

export const hasPipes = process.platform === 'linux';

export function makePipe(path: string): string {
  execFileSync('mkfifo', [path]);
  return path;
}

/**
 * Makes a device, where that can be done: it takes root, and a system that lets it.
 * @param numbers its kind, major and minor number, such as `c 1 3`
 * @returns whether it was made, and a character device can be opened
 */
export function makeDevice(path: string, numbers: string): boolean {
  try {
    execFileSync('mknod', [path, ...numbers.split(' ')], { stdio: 'ignore' });
    if (numbers.startsWith('c')) closeSync(openSync(path, 'r+'));
    return true;
  } catch {
    return false;
  }
}

/** A socket that somebody listens on until it is closed. */
export async function makeSocket(path: string): Promise<{ close: () => void }> {
  const server = createServer().listen(path);
  await once(server, 'listening');
  return server;
}

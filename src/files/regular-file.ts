/**
 * Opening files to read without ever waiting. Whoever opens a pipe waits until somebody writes to it, and opening a device is an
 * act by itself; so what is to be read is a regular file, or a link to one.
 */
import { constants, type StatsBase } from 'node:fs';
import { open, stat, type FileHandle } from 'node:fs/promises';

type Kind = Pick<StatsBase<unknown>, 'isDirectory' | 'isFIFO' | 'isSocket'>;

/** Something is there that is no regular file. The message is one line for the user. */
export class IrregularFileError extends Error {
  /** What it is, such as `a pipe`. */
  readonly kind: string;
  /** What to do, where it was to be read. */
  readonly advice: string;

  constructor(path: string, stats: Kind) {
    const [kind, advice] = describe(stats);
    super(`${path} is ${kind}; ${advice}`);
    this.name = 'IrregularFileError';
    this.kind = kind;
    this.advice = advice;
  }
}

/** A file is larger than what it is for. The message is one line for the user. */
export class FileTooLargeError extends Error {
  constructor(path: string, size: number, maxBytes: number) {
    super(`${path} has ${String(size)} bytes, more than the ${String(maxBytes)} that it can have; move it away`);
    this.name = 'FileTooLargeError';
  }
}

/** More than any file that is read whole has, but no more than a text may have. */
const defaultMaxBytes = 256 * 1024 * 1024;

function describe(stats: Kind): [kind: string, advice: string] {
  if (stats.isDirectory()) return ['a folder', 'name a file in it'];
  if (stats.isFIFO()) return ['a pipe', 'save what it gives as a file, and name that'];
  return [stats.isSocket() ? 'a socket' : 'a device', 'name a file'];
}

/**
 * Opens a regular file to read. Close it in the end.
 * @throws IrregularFileError, or the system's error
 */
export async function openRegularFile(path: string): Promise<FileHandle> {
  refuseIrregular(path, await stat(path));
  // Another thing may have come into its place since; Windows has neither pipes in folders nor the second flag.
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    refuseIrregular(path, await handle.stat());
    return handle;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** All of a regular file, of at most `maxBytes`. Throws as `openRegularFile` does, and FileTooLargeError. */
export async function readRegularFile(path: string, maxBytes = defaultMaxBytes): Promise<Buffer> {
  const handle = await openRegularFile(path);
  try {
    const { size } = await handle.stat();
    if (size > maxBytes) throw new FileTooLargeError(path, size, maxBytes);
    return await handle.readFile();
  } finally {
    await handle.close();
  }
}

function refuseIrregular(path: string, stats: Kind & Pick<StatsBase<unknown>, 'isFile'>): void {
  if (!stats.isFile()) throw new IrregularFileError(path, stats);
}

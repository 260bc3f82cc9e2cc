/**
 * Files that are whole at every instant: written beside their place, synced, renamed into it. A process that is killed, or
 * a disk that fills up, leaves the old file as it was. A link is followed, and what is no regular file stays what it is.
 */
import { randomBytes } from 'node:crypto';
import { constants, fstatSync, write, type BigIntStats } from 'node:fs';
import { link, open, readdir, readFile, readlink, rename, rm, stat, unlink } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { IrregularFileError } from './regular-file.js';
import { OperationalError } from '../shared/errors.js';

export interface AtomicWriteOptions {
  /** Where the file that is replaced, if any, stays readable; by default it is gone. */
  readonly keepPrevious?: string;
}

/**
 * Replaces the file at `path`, or the one that a link there leads to, with `contents`, all or nothing. With `keepPrevious` at
 * every instant at least one of the two names is a whole file, once `path` has been one. A pipe that somebody reads, a
 * character device, and this process's own stdout or stderr are written to instead.
 * @throws OperationalError OUT_NOT_WRITABLE, naming the path and the reason; no temporary file is left behind
 */
export async function writeFileAtomically(
  path: string,
  contents: Uint8Array | string,
  options: AtomicWriteOptions = {},
): Promise<void> {
  try {
    const destination = await destinationOf(path);
    if (destination.kind === 'file') await replace(destination.path, contents, options.keepPrevious);
    else if (destination.kind === 'descriptor') await writeAll(destination.descriptor, contents);
    else await writeToDevice(path, contents);
  } catch (cause) {
    throw cause instanceof OperationalError ? cause : notWritable(path, cause);
  }
}

/**
 * Removes what killed processes left of writes to `path`; another process that lives keeps its own.
 * @param mine whether this process is not writing there: then what one of its number left goes too
 */
export async function removeStaleTemporaries(path: string, mine: boolean): Promise<void> {
  const place = await followLinks(path);
  const prefix = temporaryPrefix(place);
  const names = await readdir(dirname(place)).catch(() => []);
  for (const name of names) {
    const processId = name.startsWith(prefix)
      ? /^(\d+)-[\da-f]+\.tmp$/.exec(name.slice(prefix.length))?.[1]
      : undefined;
    if (processId === undefined) continue;
    // Of this process's number is what a killed one of that number left, as all of a container's first ones have the same.
    if (Number(processId) === process.pid ? !mine : isAlive(Number(processId))) continue;
    await rm(join(dirname(place), name), { force: true }).catch(() => undefined);
  }
}

/** The error of a place where nothing can be written, with what to do about it. */
export function notWritable(path: string, cause: unknown): OperationalError {
  return new OperationalError('OUT_NOT_WRITABLE', `cannot write ${path}: ${reasonOf(cause)}`, { cause });
}

/** Node puts U+FFFD for bytes of a name that are no UTF-8, and would write to another file. */
export function refuseUndecoded(path: string): void {
  if (path.includes('\ufffd')) throw notWritable(path, new Error(`its name is not in UTF-8; ${chooseAnother}`));
}

/** The system's name of an error, such as ENOENT; empty for others. */
export function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}

function reasonOf(cause: unknown): string {
  if (cause instanceof IrregularFileError) return `it is ${cause.kind}; remove it, or ${chooseAnother}`;
  return reasons[errorCode(cause)] ?? (cause instanceof Error ? cause.message : String(cause));
}

const chooseAnother = 'choose another place';
const reasons: Readonly<Record<string, string>> = {
  ENOSPC: `the disk is full (ENOSPC); free some space, or ${chooseAnother}`,
  EDQUOT: `the disk quota is used up (EDQUOT); free some space, or ${chooseAnother}`,
  EROFS: `the file system is read-only (EROFS); ${chooseAnother}`,
  EACCES: `permission denied (EACCES); change its permissions, or ${chooseAnother}`,
  EPERM: `operation not permitted (EPERM); change its permissions, or ${chooseAnother}`,
  ENOENT: `the folder does not exist or was deleted (ENOENT); create it, or ${chooseAnother}`,
  ENOTDIR: `a part of the path is a file, not a folder (ENOTDIR); ${chooseAnother}`,
  EISDIR: `a folder of that name is in the way (EISDIR); remove it, or ${chooseAnother}`,
  EEXIST: `a file of that name is in the way (EEXIST); remove it, or ${chooseAnother}`,
  EFBIG: `the file would be larger than this process may write (EFBIG); raise the limit (ulimit -f), or ${chooseAnother}`,
  ELOOP: `its links lead in a circle (ELOOP); remove them, or ${chooseAnother}`,
  ENAMETOOLONG: `the path is too long (ENAMETOOLONG); ${chooseAnother}`,
  ENXIO: `nobody reads at its other end (ENXIO); start the reader first, or ${chooseAnother}`,
  EPIPE: `its reader is gone (EPIPE); ${chooseAnother}`,
  EAGAIN: `its reader does not keep up (EAGAIN); ${chooseAnother}`,
};

/** A name beside `path` that no other write uses; `removeStaleTemporaries` knows it. */
export function temporaryName(path: string): string {
  // Threads of a process have its number, and first processes of containers have the same.
  const unique = `${String(process.pid)}-${randomBytes(6).toString('hex')}`;
  return join(dirname(path), `${temporaryPrefix(path)}${unique}.tmp`);
}

/** What names beside `path` begin with: of a long name its first part, since systems take 255 bytes. */
function temporaryPrefix(path: string): string {
  const name = Buffer.from(basename(path));
  return `.${name.subarray(0, maxPrefixBytes).toString()}.`;
}

/** A character that the cut divides becomes one of three bytes. */
const maxPrefixBytes = 200;

/** What a path means to whoever writes there. */
type Destination =
  /** A regular file, or none yet, behind all links. */
  | { readonly kind: 'file'; readonly path: string }
  /** What this process has open as stdout or stderr: opened anew, a file would be written from its beginning. */
  | { readonly kind: 'descriptor'; readonly descriptor: number }
  /** A pipe, a character device, or a file that only a process has open. */
  | { readonly kind: 'device' };

/** Throws IrregularFileError for what takes no bytes: a folder, a socket, a block device. */
async function destinationOf(path: string): Promise<Destination> {
  refuseUndecoded(path);
  const stats = await stat(path, { bigint: true }).catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return null;
    throw error;
  });
  if (stats === null) {
    if (/[/\\]$/.test(path)) throw new Error('it names a folder, which is not there; name a file');
    return { kind: 'file', path: await followLinks(path) };
  }
  const descriptor = [1, 2].find((own) => isSame(stats, fstatSync(own, { bigint: true })));
  if (descriptor !== undefined) return { kind: 'descriptor', descriptor };
  if (stats.isFile()) {
    const place = await followLinks(path);
    // /dev/fd leads to files that have no name any more.
    return place === path || (await leadToSame(place, path)) ? { kind: 'file', path: place } : { kind: 'device' };
  }
  if (stats.isFIFO() || stats.isCharacterDevice()) return { kind: 'device' };
  throw new IrregularFileError(path, stats);
}

/** Whether two paths lead to one file or folder, which is there. */
export async function leadToSame(one: string, other: string): Promise<boolean> {
  const [a, b] = await Promise.all([statOf(one), statOf(other)]);
  return a !== null && b !== null && isSame(a, b);
}

/** Of what is behind all links; null where nothing is. */
export function statOf(path: string): Promise<BigIntStats | null> {
  return stat(path, { bigint: true }).catch(() => null);
}

/** Whether two names are of one file. */
export function isSame(one: BigIntStats, other: BigIntStats): boolean {
  return one.ino === other.ino && one.dev === other.dev;
}

/** The path behind all links; whether anything is there is another matter. */
export async function followLinks(path: string): Promise<string> {
  let place = path;
  for (let followed = 0; followed < maxLinks; followed++) {
    const target = await readlink(place).catch(() => null);
    if (target === null) return place;
    // Not normalised: a folder in front of `..` may be a link itself.
    place = isAbsolute(target) ? target : `${dirname(place)}/${target}`;
  }
  return place;
}

/** As many as Linux follows. */
const maxLinks = 40;

async function replace(path: string, contents: Uint8Array | string, previous: string | undefined): Promise<void> {
  const temporary = temporaryName(path);
  try {
    await writeSynced(temporary, contents, await modeOf(path));
    if (previous !== undefined) {
      await keep(path, previous).catch((cause: unknown) => {
        throw notWritable(previous, cause);
      });
    }
    await rename(temporary, path);
    await syncDirectory(dirname(path));
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw cause;
  }
}

/** The permissions of a file that is replaced; null where there is none. */
async function modeOf(path: string): Promise<number | null> {
  return stat(path).then(
    ({ mode }) => mode & 0o777,
    () => null,
  );
}

async function writeSynced(path: string, contents: Uint8Array | string, mode: number | null): Promise<void> {
  const handle = await open(path, 'wx');
  try {
    if (mode !== null) await handle.chmod(mode);
    await handle.writeFile(contents);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Never waits for somebody to open the other end of a pipe: without a reader it throws ENXIO. */
async function writeToDevice(path: string, contents: Uint8Array | string): Promise<void> {
  const handle = await open(path, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_TRUNC);
  try {
    await writeAll(handle.fd, contents);
  } finally {
    await handle.close();
  }
}

const writeSome = promisify(write);
/** How long a full pipe is given before it is tried again. */
const fullPipeMs = 5;

/** Writes from where the descriptor stands, at the pace of whoever reads. */
async function writeAll(descriptor: number, contents: Uint8Array | string): Promise<void> {
  const bytes = typeof contents === 'string' ? Buffer.from(contents) : contents;
  for (let position = 0; position < bytes.length;) {
    try {
      position += (await writeSome(descriptor, bytes, position, bytes.length - position, null)).bytesWritten;
    } catch (error) {
      if (errorCode(error) !== 'EAGAIN') throw error;
      await pause(fullPipeMs);
    }
  }
}

/**
 * Gives the file at `path`, if there is one, the name `previous` too: both names are whole throughout. What is no regular file at
 * `previous` keeps nothing.
 */
async function keep(path: string, previous: string): Promise<void> {
  const destination = await destinationOf(previous);
  if (destination.kind !== 'file') return;
  const second = temporaryName(destination.path);
  try {
    await linkOrCopy(path, second);
    await rename(second, destination.path);
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
  } finally {
    // Renaming onto another link of the same file does nothing, and leaves the first name.
    await unlink(second).catch(() => undefined);
  }
}

/** Not every file system has links, and none reaches into another one. */
async function linkOrCopy(path: string, second: string): Promise<void> {
  try {
    await link(path, second);
  } catch (error) {
    const unsupported = ['EPERM', 'ENOTSUP', 'ENOSYS', 'EMLINK', 'EINVAL', 'EACCES', 'EXDEV'];
    if (!unsupported.includes(errorCode(error))) throw error;
    await writeSynced(second, await readFile(path), await modeOf(path));
  }
}

/** Makes the rename itself durable, where a folder can be opened and synced (not on Windows). */
async function syncDirectory(directory: string): Promise<void> {
  const unsupported = ['EISDIR', 'EPERM', 'EACCES', 'EINVAL', 'ENOTSUP', 'EBADF', 'ENOSYS'];
  try {
    const handle = await open(directory, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (!unsupported.includes(errorCode(error))) throw error;
  }
}

/** Whether a process of that number runs, as far as this one may know: one that may not be asked does. */
export function isAlive(processId: number): boolean {
  try {
    process.kill(processId, 0);
    return true;
  } catch (error) {
    return errorCode(error) !== 'ESRCH';
  }
}

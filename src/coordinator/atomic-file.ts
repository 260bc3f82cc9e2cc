/**
 * Files that are whole at every instant: written beside their place, synced, renamed into it. A process that is killed, or
 * a disk that fills up, leaves the old file as it was.
 */
import { link, open, readdir, rename, rm, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { OperationalError } from '../shared/errors.js';

export interface AtomicWriteOptions {
  /** Where the file that is replaced, if any, stays readable; by default it is gone. */
  readonly keepPrevious?: string;
}

let written = 0;

/**
 * Replaces `path` with `contents`, all or nothing. With `keepPrevious` at every instant at least one of the two names is a
 * whole file, once `path` has been one.
 * @throws OperationalError OUT_NOT_WRITABLE, naming the path and the reason; nothing is left behind
 */
export async function writeFileAtomically(
  path: string,
  contents: Uint8Array | string,
  options: AtomicWriteOptions = {},
): Promise<void> {
  const temporary = temporaryName(path);
  try {
    await writeSynced(temporary, contents);
    if (options.keepPrevious !== undefined) await keep(path, options.keepPrevious);
    await rename(temporary, path);
    await syncDirectory(dirname(path));
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw notWritable(path, cause);
  }
}

/**
 * Removes what killed processes left of writes to `path`; a process that lives keeps its own.
 */
export async function removeStaleTemporaries(path: string): Promise<void> {
  const prefix = `.${basename(path)}.`;
  const names = await readdir(dirname(path)).catch(() => []);
  for (const name of names) {
    const processId = name.startsWith(prefix) ? /^(\d+)-\d+\.tmp$/.exec(name.slice(prefix.length))?.[1] : undefined;
    if (processId === undefined || isAlive(Number(processId))) continue;
    await rm(join(dirname(path), name), { force: true }).catch(() => undefined);
  }
}

/** The error of a place where nothing can be written, with what to do about it. */
export function notWritable(path: string, cause: unknown): OperationalError {
  const code = errorCode(cause);
  const reason = reasons[code] ?? (cause instanceof Error ? cause.message : String(cause));
  return new OperationalError('OUT_NOT_WRITABLE', `cannot write ${path}: ${reason}`, { cause });
}

/** The system's name of an error, such as ENOENT; empty for others. */
export function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}

const chooseAnother = 'choose another folder with --out';
const reasons: Readonly<Record<string, string>> = {
  ENOSPC: `the disk is full (ENOSPC); free some space, or ${chooseAnother}`,
  EDQUOT: `the disk quota is used up (EDQUOT); free some space, or ${chooseAnother}`,
  EROFS: `the file system is read-only (EROFS); ${chooseAnother}`,
  EACCES: `permission denied (EACCES); change its permissions, or ${chooseAnother}`,
  EPERM: `operation not permitted (EPERM); change its permissions, or ${chooseAnother}`,
  ENOENT: `the folder does not exist or was deleted (ENOENT); create it again, or ${chooseAnother}`,
  ENOTDIR: `a part of the path is a file, not a folder (ENOTDIR); ${chooseAnother}`,
  EISDIR: `a folder of that name is in the way (EISDIR); remove it, or ${chooseAnother}`,
  EEXIST: `a file of that name is in the way (EEXIST); remove it, or ${chooseAnother}`,
  ENAMETOOLONG: `the path is too long (ENAMETOOLONG); ${chooseAnother}`,
};

/** A name beside `path` that no other write uses; `removeStaleTemporaries` knows it. */
export function temporaryName(path: string): string {
  written++;
  return join(dirname(path), `.${basename(path)}.${String(process.pid)}-${String(written)}.tmp`);
}

async function writeSynced(path: string, contents: Uint8Array | string): Promise<void> {
  const handle = await open(path, 'w');
  try {
    await handle.writeFile(contents);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Gives the file at `path` the name `previous` too. A second link keeps both names whole throughout; where links are not
 * to be had, a rename leaves `previous` alone whole until the new file comes.
 */
async function keep(path: string, previous: string): Promise<void> {
  const second = temporaryName(previous);
  try {
    await link(path, second);
  } catch (error) {
    const code = errorCode(error);
    if (code === 'ENOENT') return;
    if (['EPERM', 'ENOTSUP', 'ENOSYS', 'EMLINK', 'EINVAL', 'EACCES'].includes(code)) return rename(path, previous);
    throw error;
  }
  try {
    await rename(second, previous);
  } finally {
    // Renaming onto another link of the same file does nothing, and leaves the first name.
    await unlink(second).catch(() => undefined);
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

function isAlive(processId: number): boolean {
  try {
    process.kill(processId, 0);
    return true;
  } catch (error) {
    return errorCode(error) !== 'ESRCH';
  }
}

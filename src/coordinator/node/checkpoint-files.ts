/** Checkpoints as files: written whole or not at all, the one before kept beside; read without trust. */
import { dirname, join } from 'node:path';
import { IrregularFileError, openRegularFile } from '../../files/regular-file.js';
import { OperationalError } from '../../shared/errors.js';
import { shellWord } from '../../shared/text.js';
import { errorCode, writeFileAtomically } from '../../files/atomic-file.js';
import { CheckpointFormatError } from '../checkpoint/fields.js';
import {
  checkpointHeaderLength,
  decodeCheckpoint,
  encodeCheckpoint,
  payloadLengthOf,
} from '../checkpoint/checkpoint-format.js';
import type { Checkpoint } from '../checkpoint/checkpoint.js';

export { parametersSha256, stateSha256 } from '../checkpoint/checkpoint.js';
export { isCheckpoint } from '../checkpoint/checkpoint-format.js';
export type { Checkpoint } from '../checkpoint/checkpoint.js';

export const checkpointName = 'checkpoint.msgpack';
/** The generation before, in the same folder. */
export const previousCheckpointName = 'checkpoint.previous.msgpack';
/** The network of the epoch that did best on the held-out rows, in the same folder. */
export const bestName = 'best.msgpack';

/**
 * Writes `checkpoint.msgpack` into the folder. Arrays are read before the first wait, so the caller may go on changing them.
 * @param keepPrevious whether the one that is there is whole and becomes `checkpoint.previous.msgpack`, so that at every
 *   instant at least one of the two is whole; else it is replaced, and the one before it stays
 * @returns the path
 * @throws OperationalError OUT_NOT_WRITABLE; the files that were there are unharmed
 */
export async function writeCheckpoint(
  directory: string,
  checkpoint: Checkpoint,
  { keepPrevious }: { readonly keepPrevious: boolean },
): Promise<string> {
  const path = join(directory, checkpointName);
  const bytes = await encodeCheckpoint(checkpoint);
  await writeFileAtomically(path, bytes, keepPrevious ? { keepPrevious: join(directory, previousCheckpointName) } : {});
  return path;
}

/** Writes `best.msgpack` into the folder. Throws OUT_NOT_WRITABLE; the file that was there is unharmed. */
export async function writeBest(directory: string, checkpoint: Checkpoint): Promise<void> {
  await writeFileAtomically(join(directory, bestName), await encodeCheckpoint(checkpoint));
}

/**
 * Reads a checkpoint. Memory is bounded by what this network's checkpoints need, whatever the file says.
 * @throws OperationalError CHECKPOINT_MISSING or CHECKPOINT_INVALID: what is wrong with which file, and what to do (the
 *   generation before is named where it can be loaded instead)
 */
export async function readCheckpoint(path: string): Promise<Checkpoint> {
  try {
    return await loadCheckpointFile(path);
  } catch (error) {
    const previous = await loadablePrevious(path);
    if (error instanceof CheckpointFormatError) {
      const advice = previous === null ? error.advice : usePrevious(previous);
      throw new OperationalError('CHECKPOINT_INVALID', `${path} ${error.problem}; ${advice}`, { cause: error });
    }
    throw unreadable(path, previous, error);
  }
}

async function loadCheckpointFile(path: string): Promise<Checkpoint> {
  const handle = await openRegularFile(path).catch((error: unknown) => {
    throw error instanceof IrregularFileError ? new CheckpointFormatError(`is ${error.kind}`, error.advice) : error;
  });
  try {
    const stats = await handle.stat();
    const head = new Uint8Array(Math.min(stats.size, checkpointHeaderLength));
    const { bytesRead } = await handle.read(head, 0, head.length, 0);
    const length = checkpointHeaderLength + payloadLengthOf(head.subarray(0, bytesRead));
    // One byte more than announced, so that a file which goes on is noticed without reading all of it.
    const bytes = new Uint8Array(Math.min(stats.size, length + 1));
    let position = 0;
    while (position < bytes.length) {
      const { bytesRead: read } = await handle.read(bytes, position, bytes.length - position, position);
      if (read === 0) break;
      position += read;
    }
    return await decodeCheckpoint(bytes.subarray(0, position));
  } finally {
    await handle.close();
  }
}

/** The path of the generation before, where it is another file than `path` and loads. */
export async function loadablePrevious(path: string): Promise<string | null> {
  const previous = join(dirname(path), previousCheckpointName);
  if (previous === join(path)) return null;
  return loadCheckpointFile(previous).then(
    () => previous,
    () => null,
  );
}

function unreadable(path: string, previous: string | null, cause: unknown): unknown {
  const code = errorCode(cause);
  if (code === '') return cause;
  const missing = previous === null ? 'name a run folder or a checkpoint file' : usePrevious(previous);
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    return new OperationalError('CHECKPOINT_MISSING', `there is no checkpoint at ${path}; ${missing}`, { cause });
  }
  const advice = previous === null ? 'check its permissions, or name another run or checkpoint' : usePrevious(previous);
  const message = `cannot read the checkpoint ${path} (${code}); ${advice}`;
  return new OperationalError('CHECKPOINT_INVALID', message, { cause });
}

function usePrevious(previous: string): string {
  return `the checkpoint before it is whole: use ${shellWord(previous)}`;
}

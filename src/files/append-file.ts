/** Appending to files that others read meanwhile: what a full disk cuts short is taken back, so that what follows is not spoilt. */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { notWritable } from './atomic-file.js';

const append = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK;

/**
 * Appends to a file, which is made where it is not there, or gives a pipe or a device its bytes. Waits for no reader of a pipe.
 * @param head what a file begins with: goes before, where it is empty
 * @throws OperationalError OUT_NOT_WRITABLE; the file is then as it was
 */
export async function appendToFile(
  path: string,
  contents: Uint8Array | string,
  head: Uint8Array | string = '',
): Promise<void> {
  try {
    const handle = await open(path, append);
    try {
      const stats = await handle.stat();
      const begins = stats.isFile() && stats.size === 0;
      const bytes = begins ? Buffer.concat([Buffer.from(head), Buffer.from(contents)]) : contents;
      await handle.appendFile(bytes).catch(async (cause: unknown) => {
        if (stats.isFile()) await handle.truncate(stats.size).catch(() => undefined);
        throw cause;
      });
    } finally {
      await handle.close();
    }
  } catch (cause) {
    throw notWritable(path, cause);
  }
}

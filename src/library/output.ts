/** Where a command may write: not over what it, or the next one, reads. */
import { stat } from 'node:fs/promises';
import { usageError } from '../shared/errors.js';

/**
 * Refuses to write over files that are read, under whatever name.
 * @param inputs their paths; those that are not there do not matter
 * @throws OperationalError USAGE
 */
export async function refuseInputs(out: string, inputs: readonly string[]): Promise<void> {
  const own = await idOf(out);
  if (own === null) return;
  for (const input of inputs) {
    if ((await idOf(input)) !== own) continue;
    throw usageError(`writing ${out} would replace ${input}, which is read; choose another file to write`);
  }
}

/** Which file it is, behind all links; null for what is no regular file. */
async function idOf(path: string): Promise<string | null> {
  const stats = await stat(path, { bigint: true }).catch(() => null);
  return stats?.isFile() === true ? `${String(stats.dev)}:${String(stats.ino)}` : null;
}

/** Where a command may write: not over what it, or the next one, reads. */
import { isSame, removeStaleTemporaries, statOf, writeFileAtomically } from './atomic-file.js';
import { usageError } from '../shared/errors.js';

/**
 * Refuses to write over files that are read, under whatever name.
 * @param inputs their paths; those that are not there do not matter
 * @throws OperationalError USAGE
 */
export async function refuseInputs(out: string, inputs: readonly string[]): Promise<void> {
  const own = await statOf(out);
  if (own?.isFile() !== true) return;
  for (const input of inputs) {
    const other = await statOf(input);
    if (other === null || !isSame(own, other)) continue;
    throw usageError(`writing ${out} would replace ${input}, which is in use; choose another file to write`);
  }
}

/** Writes all of the file or nothing, and clears away what killed processes left of it. Throws OperationalError OUT_NOT_WRITABLE. */
export async function writeOutput(out: string, contents: Uint8Array | string): Promise<void> {
  await removeStaleTemporaries(out, false);
  await writeFileAtomically(out, contents);
}

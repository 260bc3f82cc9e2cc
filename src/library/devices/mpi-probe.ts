/** A process of its own: loads MPI and prints which it is, as JSON. */
import { messageOf } from '../../shared/errors.js';
import type { Launched } from '../../mpi/environment.js';
import { loadMpi } from '../../mpi/library.js';

export type MpiAnswer = { readonly version: string } | { readonly error: string };

function answerTo(preferred: Launched['library']): MpiAnswer {
  try {
    return { version: loadMpi(preferred).version() };
  } catch (error) {
    return { error: messageOf(error) };
  }
}

const answer = answerTo(JSON.parse(process.argv[2] ?? '') as Launched['library']);
process.stdout.write(`\n${JSON.stringify(answer)}\n`);

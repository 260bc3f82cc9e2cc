/** Doing a library function's work in a job of several processes, where a launcher started this one in such a job. */
import { CommonEnd, together } from '../coordinator/session/agreement.js';
import { joinJob, type MpiJob } from '../mpi/job.js';
import { launchedAs } from '../mpi/environment.js';
import { OperationalError } from '../shared/errors.js';
import { processName } from '../shared/group/job.js';
import { version } from './version.js';

/**
 * Yields what `work` yields. What ends all processes alike is thrown by process 0 alone, and the others return; what befalls
 * one process it throws itself, and the job is aborted.
 * @param work is given null for a process on its own
 * @throws OperationalError MPI_UNAVAILABLE, and whatever `work` throws
 */
export async function* inJob<T>(
  timeoutMs: number,
  work: (job: MpiJob | null) => AsyncGenerator<T, void, undefined>,
): AsyncGenerator<T, void, undefined> {
  const joined = await join(timeoutMs);
  if (joined === 'left') return;
  if (joined === null) {
    yield* work(null);
    return;
  }
  let ended = false;
  try {
    await together(
      joined,
      () => Promise.resolve(),
      () => ({ 'version of mnist-ddp': version }),
    );
    yield* work(joined);
    await joined.close();
    ended = true;
  } catch (error) {
    if (!(error instanceof CommonEnd)) throw withName(joined, error);
    await joined.close();
    ended = true;
    if (joined.process === 0) throw error.reason;
  } finally {
    if (!ended) joined.abandon();
  }
}

/** `left` where there is no job to join, and another process of this host says so. */
async function join(timeoutMs: number): Promise<MpiJob | null | 'left'> {
  try {
    return await joinJob({ timeoutMs });
  } catch (error) {
    const quiet = error instanceof OperationalError && error.code === 'MPI_UNAVAILABLE';
    if (quiet && launchedAs(process.env)?.localProcess !== 0) return 'left';
    throw error;
  }
}

function withName(job: MpiJob, error: unknown): unknown {
  if (!(error instanceof OperationalError) || error.code === 'PROCESS_LOST') return error;
  const { code, message, rank } = error;
  const named = `${processName(job, job.process)}: ${message}`;
  return new OperationalError(code, named, { cause: error, ...(rank === undefined ? {} : { rank }) });
}

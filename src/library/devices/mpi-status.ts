/** Which MPI is found here. */
import { launchedAs } from '../../mpi/environment.js';
import type { MpiAnswer } from './mpi-probe.js';
import { probe } from './probe.js';

export interface MpiStatus {
  readonly available: boolean;
  /** The library in its own words; where it is not available, why, and what to do about it. */
  readonly detail: string;
}

/** Loads the library that several processes would train over. */
export async function mpiStatus(timeoutMs = 10_000): Promise<MpiStatus> {
  const preferred = launchedAs(process.env)?.library ?? 'Open MPI';
  const answer = (await probe('./mpi-probe.js', preferred, timeoutMs)) as MpiAnswer;
  if ('error' in answer) return { available: false, detail: answer.error };
  return { available: true, detail: answer.version };
}

/** How a signal ends a run: after its step, all processes of a job together, and where one of them is lost, without it. */
import { OperationalError } from '../../shared/errors.js';
import type { Session } from '../session/session.js';
import type { TrainingRequest } from './training-request.js';

/**
 * How long another process may keep this one waiting once the job is told to end. A launcher that ends a job since a process
 * died says so by a signal, after which there is a second or so.
 */
const stuckMs = 500;

/**
 * What an aborted run throws: the signal's reason where that is an OperationalError, else ABORTED, with the reason as its cause.
 * @param when goes on from "training was aborted"
 */
export function abortOf({ reason }: AbortSignal, when: string): OperationalError {
  if (reason instanceof OperationalError) return reason;
  return new OperationalError('ABORTED', `training was aborted ${when}`, { cause: reason });
}

/**
 * Has the group stop after its step once the signal is aborted, which it may be already.
 * @returns what undoes it
 */
export function stopOnSignal({ signal, job, onNote }: TrainingRequest, session: Session): () => void {
  const endLostJob = (): void => {
    const missing = signal?.aborted === true ? job?.missing(stuckMs) : null;
    if (typeof missing !== 'string') return;
    // The launcher may not leave the time for more than this.
    onNote(missing);
    job?.fail(new OperationalError('PROCESS_LOST', `${missing}, and the job is told to end`));
    clearInterval(watch);
  };
  const watch = job === null ? undefined : setInterval(endLostJob, stuckMs / 5);
  const onAbort = (): void => {
    session.requestStop();
    endLostJob();
  };
  signal?.addEventListener('abort', onAbort);
  if (signal?.aborted === true) onAbort();
  return () => {
    clearInterval(watch);
    signal?.removeEventListener('abort', onAbort);
  };
}

/** New workers for those that failed: training goes on from the last step that was committed, as if nothing had happened. */
import { OperationalError } from '../../shared/errors.js';
import type { Session } from '../session/session.js';

export interface RestartsOptions {
  /** How often workers are started again before a failure ends the run. */
  readonly max: number;
  readonly onNote: (text: string) => void;
}

export class Restarts {
  readonly #session: Session;
  readonly #options: RestartsOptions;
  #count = 0;

  constructor(session: Session, options: RestartsOptions) {
    this.#session = session;
    this.#options = options;
  }

  /** How often workers were started again. */
  get count(): number {
    return this.#count;
  }

  /**
   * Does `work` again on new workers when a rank fails: nothing of a step that was not committed is left.
   * @throws what `work` throws that is no loss of a rank; LostRank where it was started again too often
   */
  async run<T>(work: () => Promise<T>): Promise<T> {
    const { max, onNote } = this.#options;
    for (let lost = false; ; lost = true) {
      try {
        // In here, since the system may not give the threads.
        if (lost) await this.#session.restart();
        return await work();
      } catch (error) {
        if (!isLoss(error)) throw error;
        if (this.#count === max) throw new LostRank(error);
        this.#count++;
        onNote(`${error.message}; starting the workers again (${String(this.#count)} of ${String(max)})`);
      }
    }
  }
}

/** A rank failed, and is not started again. */
export class LostRank extends Error {
  constructor(override readonly cause: OperationalError) {
    super(cause.message);
  }
}

function isLoss(error: unknown): error is OperationalError {
  const losses = ['RANK_FAILED', 'RANK_STALLED', 'THREADS_EXCEEDED', 'PROCESS_LOST'];
  return error instanceof OperationalError && losses.includes(error.code);
}

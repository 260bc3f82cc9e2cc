/**
 * The two kinds of error. An `OperationalError` is something a user or a machine can cause: it has a stable `code`, says
 * what happened where and what to do next, and never shows a stack trace. Everything else is a bug and is an `Error` or a
 * failed `assert`.
 */

/** Stable names of what can go wrong; errors cross threads serialised and are matched by these. */
export type ErrorCode =
  | 'USAGE'
  | 'DATA_MISSING'
  | 'DATA_INVALID'
  | 'CHECKPOINT_MISSING'
  | 'CHECKPOINT_INVALID'
  | 'WEIGHTS_INVALID'
  | 'IMAGE_INVALID'
  | 'RUN_INVALID'
  | 'CONFIGURATION_CHANGED'
  | 'OUT_NOT_WRITABLE'
  | 'OUT_IN_USE'
  | 'MEMORY_EXCEEDED'
  | 'ENGINE_UNAVAILABLE'
  | 'RANK_FAILED'
  | 'RANK_STALLED'
  | 'MPI_UNAVAILABLE'
  | 'PROCESSES_DIFFER'
  | 'PROCESS_LOST'
  | 'NOT_FINITE'
  | 'BITS_DIFFER'
  | 'ABORTED';

export class OperationalError extends Error {
  readonly code: ErrorCode;
  /** The rank it happened on, where it happened on one. */
  readonly rank: number | undefined;

  /** @param message one line: what, where, and the next step to take */
  constructor(code: ErrorCode, message: string, options: { rank?: number; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'OperationalError';
    this.code = code;
    this.rank = options.rank;
  }
}

/** A request that cannot be carried out as written: exit code 2. */
export function usageError(message: string): OperationalError {
  return new OperationalError('USAGE', message);
}

/** What an error becomes in a message between threads. `code` is null for a bug, whose stack is then worth keeping. */
export interface SerialisedError {
  readonly code: ErrorCode | null;
  readonly message: string;
  readonly rank: number | null;
  readonly stack: string | null;
}

export function serialiseError(error: unknown, rank: number | null): SerialisedError {
  if (error instanceof OperationalError) {
    return { code: error.code, message: error.message, rank: error.rank ?? rank, stack: null };
  }
  if (error instanceof Error) {
    return { code: null, message: error.message, rank, stack: error.stack ?? null };
  }
  return { code: null, message: String(error), rank, stack: null };
}

export function deserialiseError(serialised: SerialisedError): Error {
  const { code, message, rank, stack } = serialised;
  if (code !== null) return new OperationalError(code, message, rank === null ? {} : { rank });
  const error = new Error(rank === null ? message : `rank ${String(rank)}: ${message}`);
  if (stack !== null) error.stack = stack;
  return error;
}

/** Throws where the program's own reasoning failed. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${message}`);
}

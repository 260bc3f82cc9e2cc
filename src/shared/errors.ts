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
  | 'THREADS_EXCEEDED'
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

/** What is thrown, in its own words. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
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

/** @param where what a bug's message and its stack, which is that of the other thread, begin with */
export function deserialiseError({ code, message, rank, stack }: SerialisedError, where = ''): Error {
  if (code !== null) return new OperationalError(code, message, rank === null ? {} : { rank });
  const error = new Error(where + message);
  if (stack !== null) error.stack = where + stack;
  return error;
}

/** What a failed `assert` throws. */
export class AssertionError extends Error {}

/** Throws where the program's own reasoning failed. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionError(`assertion failed: ${message}`);
}

/** The element at an index that must be in range. */
export function at<T>(list: ArrayLike<T>, index: number): T {
  const element = list[index];
  assert(element !== undefined, `index ${String(index)} of ${String(list.length)}`);
  return element;
}

/** Whether an error by its kind is a bug, whoever throws it. Any other that is not operational may be a foreign library's. */
export function isBugByKind(error: unknown): boolean {
  const kinds = [AssertionError, TypeError, ReferenceError, RangeError, SyntaxError, WebAssembly.RuntimeError];
  return kinds.some((kind) => error instanceof kind) && !isWantOfMemory(error);
}

/** V8 has no kind of its own for memory that the system does not give. */
export function isWantOfMemory(error: unknown): boolean {
  return error instanceof RangeError && /alloc|out of memory/i.test(error.message);
}

const limits: Readonly<Record<string, string>> = { EMFILE: 'open files (ulimit -n)', ENOMEM: 'memory (ulimit -v)' };

/**
 * A thread that the system does not start, as what a user can do about it; any other error as it is.
 * @param what was to be started, such as `4 worker threads`
 * @param instead what to do rather than raise a limit, such as "use fewer `workers`"; null where there is nothing
 */
export function threadError<E>(error: E, what: string, instead: string | null): E | OperationalError {
  if (!(error instanceof Error) || !('code' in error) || error.code !== 'ERR_WORKER_INIT_FAILED') return error;
  const reason = /\bE[A-Z]{3,}\b/.exec(error.message)?.[0] ?? error.message;
  return threadsExceeded(reason, what, instead, error);
}

/** @param reason such as EAGAIN, a code of the system; the others as in `threadError` */
export function threadsExceeded(
  reason: string,
  what: string,
  instead: string | null,
  cause?: unknown,
): OperationalError {
  const limit = limits[reason] ?? "threads and processes (ulimit -u, or the container's pids limit)";
  const advice = `${instead === null ? '' : `${instead}, or `}raise the limit on ${limit}`;
  const message = `cannot start ${what}: the system gives no more (${reason}); ${advice}`;
  return new OperationalError('THREADS_EXCEEDED', message, { cause });
}

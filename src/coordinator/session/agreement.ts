/** How the processes of a job stay of one mind: each says how it fared and what it found, and all draw the same conclusion. */
import { Packr } from '../../shared/msgpack.js';
import { OperationalError, type ErrorCode } from '../../shared/errors.js';
import { processName, type Job } from '../../shared/group/job.js';

/** Typed arrays come out as they went in. */
const packr = new Packr({ moreTypes: true, structuredClone: true, useRecords: false });

/** All processes end alike: process 0 throws the reason, the others have nothing to add. */
export class CommonEnd extends Error {
  constructor(readonly reason: unknown) {
    super('all processes of the job end');
  }
}

/** What must be the same in all processes, by what it is called in a message. */
export type Facts = Readonly<Record<string, string>>;

interface Outcome {
  readonly error: { readonly code: ErrorCode; readonly message: string } | null;
  readonly facts: Facts;
}

/**
 * Does what every process does for itself. Where one fails, or where `factsOf` the results differ, all end.
 * @param job null for a process on its own
 * @throws CommonEnd with the first failure, or PROCESSES_DIFFER, naming the process; whatever `act` throws that is a bug
 */
export async function together<T>(
  job: Job | null,
  act: () => Promise<T>,
  factsOf: (result: T) => Facts = () => ({}),
): Promise<T> {
  if (job === null) return act();
  let own: Outcome;
  let result: { readonly value: T } | null = null;
  try {
    result = { value: await act() };
    own = { error: null, facts: factsOf(result.value) };
  } catch (error) {
    if (!(error instanceof OperationalError)) throw error;
    own = { error: { code: error.code, message: error.message }, facts: {} };
  }
  const outcomes = await gatherValues(job, own);
  const problem = failureOf(job, outcomes) ?? differenceOf(job, outcomes);
  if (problem !== null || result === null) throw new CommonEnd(problem);
  return result.value;
}

/** What process 0 reads, in all processes; its failure is everybody's. */
export async function fromFirst<T>(job: Job | null, read: () => Promise<T>): Promise<T> {
  if (job === null) return read();
  type Read = { readonly value: T } | { readonly code: ErrorCode; readonly message: string };
  let own: Read | null = null;
  if (job.process === 0) {
    own = await read().then(
      (value) => ({ value }),
      (error: unknown) => {
        if (error instanceof OperationalError) return { code: error.code, message: error.message };
        throw error;
      },
    );
  }
  const [first] = await gatherValues(job, own);
  if (first === undefined || first === null) throw new Error('process 0 gives something');
  if ('value' in first) return first.value;
  throw new OperationalError(first.code, first.message);
}

/** The sum of what each process has. */
export async function sumOver(job: Job | null, value: number): Promise<number> {
  if (job === null) return value;
  return (await gatherValues(job, value)).reduce((sum, one) => sum + one, 0);
}

/** What each process gives, by process. */
export async function gatherValues<T>(job: Job, value: T): Promise<T[]> {
  return (await job.gather(packr.pack(value))).map((bytes) => packr.unpack(bytes) as T);
}

function failureOf(job: Job, outcomes: readonly Outcome[]): OperationalError | null {
  const process = outcomes.findIndex(({ error }) => error !== null);
  const error = outcomes[process]?.error;
  if (error === undefined || error === null) return null;
  // What all say alike is said once, and of nobody.
  const common = outcomes.every((other) => other.error?.message === error.message);
  return new OperationalError(error.code, common ? error.message : `${processName(job, process)}: ${error.message}`);
}

function differenceOf(job: Job, outcomes: readonly Outcome[]): OperationalError | null {
  const [first] = outcomes;
  for (const [process, { facts }] of outcomes.entries()) {
    for (const [name, expected] of Object.entries(first?.facts ?? {})) {
      const found = facts[name];
      if (found === expected) continue;
      const [here, there] = [processName(job, 0), processName(job, process)];
      return new OperationalError(
        'PROCESSES_DIFFER',
        `${there} has another ${name} than ${here}: ${String(found)}, not ${expected}; all need the same`,
      );
    }
  }
  return null;
}

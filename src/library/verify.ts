/** `verify`: whether the number of workers, and stopping and resuming, change a bit. */
import { together } from '../coordinator/session/agreement.js';
import { nodeHost } from '../coordinator/node/node-host.js';
import { resolveGroupSize } from '../coordinator/node/topology.js';
import { checkProcesses, recipeOf, resolveConfig } from '../coordinator/validate.js';
import { runVerification, type Verification } from '../coordinator/verification.js';
import type { Recipe } from '../shared/model/config.js';
import type { Job } from '../shared/group/job.js';
import { OperationalError, usageError } from '../shared/errors.js';
import { selectEngine, type EngineChoice, type SelectedEngine } from './engines/engines.js';
import { inJob } from './job.js';
import { checkOptions, checkWorkerCounts, datasetOf, defaultTimeout, ignore, noteEngine, once } from './options.js';
import { positive } from './options.js';
import type { GroupOptions, OptionKinds } from './options.js';

export interface VerifyOptions extends Pick<GroupOptions, 'data' | 'onNote'> {
  /** One of the exact engines, `wasm` (the default) or `opencl`. */
  readonly engine?: EngineChoice | undefined;
  /** What is trained; default `reference`. */
  readonly recipe?: Recipe | undefined;
  /** Numbers of workers to compare; default 1, 2 and 4. */
  readonly workers?: readonly number[] | undefined;
  /** Steps to train with each; default 20. */
  readonly steps?: number | undefined;
}

/**
 * Trains the same steps of a recipe with several numbers of workers, and once stopped and resumed, and
 * compares the hashes, with the golden ones too where they are known. Where a launcher of MPI started several processes,
 * they train together, and all return the same. Sets V8's flags for a moment, as `train` does. Throws OperationalError.
 */
export async function verify(options: VerifyOptions = {}): Promise<Verification> {
  checkOptions(options, optionKinds);
  const timeoutMs = 1000 * defaultTimeout;
  let verification: Verification | null = null;
  for await (const result of inJob(timeoutMs, (job) => verifyIn(job, timeoutMs, options))) verification = result;
  if (verification !== null) return verification;
  throw new OperationalError('ABORTED', 'there is no verification: process 0 says why');
}

async function* verifyIn(
  job: Job | null,
  timeoutMs: number,
  options: VerifyOptions,
): AsyncGenerator<Verification, void, undefined> {
  const workers = options.workers ?? [1, 2, 4];
  const onNote = once(options.onNote ?? ignore);
  const config = resolveConfig(recipeOf(options.recipe));
  const { dataset, steps, selected } = await together(job, async () => {
    checkWorkerCounts(workers);
    if (job === null && workers.length === 1 && options.steps === 1) {
      throw usageError('`steps` 1 with one number of `workers` leaves nothing to compare: give more of either');
    }
    for (const count of workers) resolveGroupSize(count, null, config);
    if (job !== null) checkProcesses(job.processes, config);
    const steps = positive('steps', options.steps) ?? 20;
    return {
      steps,
      dataset: await datasetOf(options.data),
      selected: await selectExact(options.engine, workers, onNote),
    };
  });
  yield await runVerification({
    host: nodeHost,
    engine: selected.engine,
    libraries: selected.libraries,
    pool: selected.pool,
    config,
    workers,
    steps,
    dataset,
    timeoutMs,
    job,
    onNote,
  });
}

async function selectExact(
  engine: EngineChoice = 'wasm',
  workers: readonly number[],
  onNote: (text: string) => void,
): Promise<SelectedEngine> {
  if (engine !== 'wasm' && engine !== 'opencl') {
    throw usageError(`\`engine\` ${engine} does not promise equal bits: verify takes wasm or opencl`);
  }
  const selected = await selectEngine(engine, { workers: Math.max(...workers), onNote });
  noteEngine(selected, onNote);
  return selected;
}

const optionKinds: OptionKinds<VerifyOptions> = {
  engine: 'other',
  workers: 'other',
  recipe: 'other',
  steps: 'other',
  data: 'text',
  onNote: 'function',
};

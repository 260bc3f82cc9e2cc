/** `train`: a training run, from its options to its metrics. */
import { together } from '../coordinator/session/agreement.js';
import type { TrainMetric } from '../coordinator/metrics/metrics.js';
import { runTraining } from '../coordinator/training/training.js';
import type { Job } from '../shared/group/job.js';
import { inJob } from './job.js';
import { defaultTimeout, positive } from './options.js';
import { prepareTraining, type PreparedTraining } from './training/prepare.js';
import { checkTrainOptions, type TrainOptions } from './training/train-options.js';

/**
 * Trains the network, yielding metrics on the way: `start`, a `step` every `logEvery` steps with means over them, a `batch` every
 * 100 steps with what the reference program prints, an `evaluation` after each epoch, and the `summary` last. Where a launcher of
 * MPI started several processes, they train together, and all but process 0 yield nothing and write nothing. Nothing starts before
 * the first metric is asked for; ending the iteration ends the workers, and what was trained since the last checkpoint is lost:
 * abort by `signal` to keep it.
 *
 * Where V8 and the processor can compute with vectors of 256 bits, four of V8's flags, which are those of the whole process,
 * are set while the kernels are compiled, some 25 ms without a turn of the event loop, and then set back: WebAssembly that
 * another thread compiles just then is compiled likewise. MNIST_DDP_SIMD=128 in the environment forbids it.
 * @throws OperationalError for whatever a user or a machine can cause, with a `code`
 */
export async function* train(options: TrainOptions = {}): AsyncGenerator<TrainMetric, void, undefined> {
  checkTrainOptions(options);
  const timeoutMs = 1000 * (positive('timeout', options.timeout) ?? defaultTimeout);
  yield* inJob(timeoutMs, (job) => trainIn(job, timeoutMs, options));
}

/** @param job the processes that train with this one; null where there are none */
async function* trainIn(
  job: Job | null,
  timeoutMs: number,
  options: TrainOptions,
): AsyncGenerator<TrainMetric, void, undefined> {
  let request: PreparedTraining | null = null;
  const prepare = async (): Promise<PreparedTraining> => (request = await prepareTraining(job, timeoutMs, options));
  try {
    const prepared = await together(job, prepare, ({ maxSteps }) => ({ 'number of steps': String(maxSteps) }));
    for await (const metric of runTraining(prepared)) {
      if (job === null || job.process === 0) yield metric;
    }
  } finally {
    // Where another process failed, this one's is open all the same.
    await (request as PreparedTraining | null)?.folder?.close();
  }
}

/** `benchmark`: training steps a second, by number of workers. */
import { runBenchmark, type BenchmarkRow } from '../coordinator/benchmark.js';
import { nodeHost } from '../coordinator/node/node-host.js';
import { resolveGroupSize } from '../coordinator/node/topology.js';
import { resolveConfig } from '../coordinator/validate.js';
import type { BatchNormMode } from '../shared/model/config.js';
import { selectEngine } from './engines/engines.js';
import { checkWorkerCounts, datasetOf, defaultTimeout, groupOptions, ignore, noteEngine, once } from './options.js';
import { positive, checkOptions, type GroupOptions, type OptionKinds } from './options.js';

export interface BenchmarkOptions extends Omit<GroupOptions, 'workers'> {
  /** Default 1 and the number of physical cores, or of GPUs; 1 alone where all would share one device. */
  readonly workers?: readonly number[] | undefined;
  /** Measured steps for each; default 30. */
  readonly steps?: number | undefined;
  readonly batchNorm?: BatchNormMode | undefined;
  readonly batchSize?: number | undefined;
  readonly microBatch?: number | undefined;
  /** Takes the time of each kernel on the device, which slows the steps down: see `BenchmarkRow.kernels`. Default false. */
  readonly profile?: boolean | undefined;
}

/**
 * Measures training steps for several numbers of workers, in turns. Sets V8's flags for a moment, as `train` does. Throws
 * OperationalError.
 */
export async function benchmark(options: BenchmarkOptions = {}): Promise<BenchmarkRow[]> {
  checkOptions(options, optionKinds);
  const config = resolveConfig({
    batchNorm: options.batchNorm,
    batchSize: options.batchSize,
    microBatch: options.microBatch,
  });
  const asked = options.workers;
  const counts = asked ?? [1, resolveGroupSize('auto', null, config)];
  checkWorkerCounts(counts);
  for (const count of counts) resolveGroupSize(count, null, config);
  const steps = positive('steps', options.steps) ?? 30;
  const onNote = once(options.onNote ?? ignore);
  const most = Math.max(...counts);
  const selected = await selectEngine(options.engine, { workers: most, profile: options.profile === true, onNote });
  noteEngine(selected, onNote);
  if (selected.engine.name === 'tfjs-node' && counts.some((count) => count !== most)) {
    onNote(
      `TensorFlow's threads are set once for a process, here for ${String(most)} workers: measure the others alone`,
    );
  }
  const { engine, libraries, pool, autoWorkers } = selected;
  return runBenchmark({
    host: nodeHost,
    engine,
    libraries,
    pool,
    config,
    workers: asked ?? [...new Set(autoWorkers === null ? counts : [1, autoWorkers])],
    steps,
    dataset: await datasetOf(options.data),
    timeoutMs: 1000 * defaultTimeout,
    onNote,
  });
}

const optionKinds: OptionKinds<BenchmarkOptions> = {
  ...groupOptions,
  steps: 'other',
  batchNorm: 'other',
  batchSize: 'other',
  microBatch: 'other',
  profile: 'other',
};

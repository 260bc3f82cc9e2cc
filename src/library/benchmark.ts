/** `benchmark`: training steps a second, by number of workers. */
import { runBenchmark, type BenchmarkRow } from '../coordinator/benchmark.js';
import { parseWorkers, resolveWorldSize } from '../coordinator/topology.js';
import { resolveConfig } from '../coordinator/validate.js';
import type { BatchNormMode } from '../shared/config.js';
import { usageError } from '../shared/errors.js';
import { datasetOf, defaultTimeout, engineFor, ignore, positive, type GroupOptions } from './options.js';

export interface BenchmarkOptions extends Omit<GroupOptions, 'workers'> {
  /** Default 1 and the number of physical cores. */
  readonly workers?: readonly number[] | undefined;
  /** Measured steps for each; default 30. */
  readonly steps?: number | undefined;
  readonly batchNorm?: BatchNormMode | undefined;
  readonly batchSize?: number | undefined;
  readonly microBatch?: number | undefined;
}

/** Measures training steps for several numbers of workers, in turns. Throws OperationalError. */
export async function benchmark(options: BenchmarkOptions = {}): Promise<BenchmarkRow[]> {
  const config = resolveConfig({
    batchNorm: options.batchNorm,
    batchSize: options.batchSize,
    microBatch: options.microBatch,
  });
  const cores = resolveWorldSize('auto', null, config);
  const workers = options.workers ?? (cores === 1 ? [1] : [1, cores]);
  if (workers.length === 0) throw usageError('--workers needs at least one number, such as 1,2');
  for (const count of workers) resolveWorldSize(parseWorkers(count), null, config);
  return runBenchmark({
    engine: engineFor(options.engine),
    config,
    workers,
    steps: positive('--steps', options.steps) ?? 30,
    dataset: await datasetOf(options.data),
    timeoutMs: 1000 * defaultTimeout,
    onNote: options.onNote ?? ignore,
  });
}

/** `verify`: whether the number of workers, and stopping and resuming, change a bit. */
import { nodeHost } from '../coordinator/node-host.js';
import { parseWorkers, resolveWorldSize } from '../coordinator/topology.js';
import { runVerification, type Verification } from '../coordinator/verification.js';
import { defaultConfig } from '../shared/config.js';
import { engineOf } from '../worker/engines/registry.js';
import { datasetOf, defaultTimeout, ignore, positive, type GroupOptions } from './options.js';

export interface VerifyOptions extends Pick<GroupOptions, 'data' | 'onNote'> {
  /** Numbers of workers to compare; default 1, 2 and 4. */
  readonly workers?: readonly number[] | undefined;
  /** Steps to train with each; default 20. */
  readonly steps?: number | undefined;
}

/**
 * Trains the same steps of the default configuration with several numbers of workers, and once stopped and resumed, and
 * compares the hashes, with the golden ones too where they are known. Throws OperationalError.
 */
export async function verify(options: VerifyOptions = {}): Promise<Verification> {
  const workers = options.workers ?? [1, 2, 4];
  for (const count of workers) resolveWorldSize(parseWorkers(count), null, defaultConfig);
  return runVerification({
    host: nodeHost,
    engine: engineOf('wasm'),
    libraries: [],
    config: defaultConfig,
    workers,
    steps: positive('--steps', options.steps) ?? 20,
    dataset: await datasetOf(options.data),
    timeoutMs: 1000 * defaultTimeout,
    onNote: options.onNote ?? ignore,
  });
}

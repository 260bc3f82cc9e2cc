// What the measurements of this folder share.
import { startBenchmark } from '../dist/coordinator/benchmark.js';
import { locateDataset, openDataset } from '../dist/coordinator/node/dataset-files.js';
import { nodeHost } from '../dist/coordinator/node/node-host.js';
import { defaultConfig } from '../dist/shared/model/config.js';
import { loadEngine } from '../dist/worker/engines/registry.js';

/** A group of the `wasm` engine that trains on demand, after its warm-up; `config` is what differs from the default. */
export async function startOurs(workers, config = {}) {
  const group = await startBenchmark({
    host: nodeHost,
    engine: await loadEngine('wasm'),
    libraries: [],
    config: { ...defaultConfig, ...config },
    workers,
    dataset: await openDataset(await locateDataset(undefined)),
    timeoutMs: 60_000,
    onNote: (text) => console.error(text),
  });
  await group.run(5);
  return group;
}

export function median(list) {
  const sorted = [...list].sort((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)];
  return sorted.length % 2 === 1 ? upper : (upper + sorted[sorted.length / 2 - 1]) / 2;
}

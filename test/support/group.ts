/** A group of worker threads that is driven one step at a time, for tests of what `train` does not show. */
import { parametersSha256 } from '../../dist/coordinator/checkpoint.js';
import { locateDataset, openDataset } from '../../dist/coordinator/dataset.js';
import { launch, type Launched } from '../../dist/coordinator/launch.js';
import { nodeHost } from '../../dist/coordinator/node-host.js';
import { fillPermutation } from '../../dist/coordinator/sampler.js';
import { planBatch } from '../../dist/shared/collectives.js';
import { defaultConfig, type TrainConfig } from '../../dist/shared/config.js';
import type { Engine } from '../../dist/shared/engine.js';
import { parameterCount } from '../../dist/shared/network.js';
import { positionOf } from '../../dist/shared/schedule.js';
import { leafCount } from '../../dist/shared/tree.js';
import { wasmEngine } from '../../dist/worker/engines/wasm/engine.js';

export interface StepResult {
  /** Mean over the batch. */
  readonly loss: number;
  readonly parametersSha256: string;
}

export interface TestGroup {
  readonly launched: Launched;
  readonly config: TrainConfig;
  /** Row numbers of the current epoch; a live view. */
  readonly permutation: Uint32Array;
  /** float32 [parameterCount], of the last step; a live view. */
  readonly gradient: Float32Array;
  /** Trains the next step. */
  step(): Promise<StepResult>;
  close(): Promise<void>;
}

/** Starts `worldSize` workers on fresh parameters. */
export async function startGroup(
  data: string,
  worldSize: number,
  options: Partial<TrainConfig> = {},
  computing: { readonly engine: Engine; readonly libraries: readonly string[] } = { engine: wasmEngine, libraries: [] },
): Promise<TestGroup> {
  const config = { ...defaultConfig, ...options };
  const launched = await launch({
    host: nodeHost,
    ...computing,
    config,
    worldSize,
    devices: null,
    dataset: await openDataset(await locateDataset(data)),
    trains: true,
    timeoutMs: 30_000,
    onNote: () => undefined,
  });
  const { state, group, layout, buffer } = launched;
  const { trainCount } = layout.shape;
  const permutation = new Uint32Array(buffer, layout.permutation, trainCount);
  state.initialise(config.seed);
  await group.run({ name: 'prepare', first: 0, end: 0 });
  let step = 0;
  return {
    launched,
    config,
    permutation,
    gradient: new Float32Array(buffer, layout.gradients, parameterCount),
    async step() {
      const { epoch, start, rows } = positionOf(config, trainCount, step);
      if (start === 0) fillPermutation(permutation, config.seed, epoch);
      const reports = await group.run({ name: 'train', first: step, end: step + 1 });
      step++;
      const sums = reports.flatMap((report) => report.losses);
      for (const { target, source } of planBatch(rows, leafCount(rows, config.microBatch), 0, worldSize).merges) {
        sums[target] = (sums[target] ?? NaN) + (sums[source] ?? NaN);
      }
      return {
        loss: (sums[0] ?? NaN) / rows,
        parametersSha256: await parametersSha256(state.save(step, 1).parameters),
      };
    },
    close: () => group.close(),
  };
}

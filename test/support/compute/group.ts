/** A group of worker threads that is driven one step at a time, for tests of what `train` does not show. */
import { parametersSha256 } from '../../../src/coordinator/node/checkpoint-files.js';
import { locateDataset, openDataset } from '../../../src/coordinator/node/dataset-files.js';
import { nodeHost } from '../../../src/coordinator/node/node-host.js';
import { Session } from '../../../src/coordinator/session/session.js';
import { defaultConfig, type TrainConfig } from '../../../src/shared/model/config.js';
import type { Engine } from '../../../src/shared/engine.js';
import { parameterCount } from '../../../src/shared/model/network.js';
import { wasmEngine } from '../../../src/worker/engines/wasm/wasm-engine.js';

export interface StepResult {
  /** Mean over the batch. */
  readonly loss: number;
  readonly parametersSha256: string;
}

export interface TestGroup {
  readonly session: Session;
  readonly config: TrainConfig;
  /** Row numbers of the current epoch; a live view. */
  readonly permutation: Uint32Array;
  /** float32 [parameterCount], of the last step; a live view. */
  readonly gradient: Float32Array;
  /** Trains the next step. */
  step(): Promise<StepResult>;
  close(): Promise<void>;
}

/** Starts `groupSize` workers on fresh parameters. */
export async function startGroup(
  data: string,
  groupSize: number,
  options: Partial<TrainConfig> = {},
  computing: { readonly engine: Engine; readonly libraries: readonly string[] } = { engine: wasmEngine, libraries: [] },
): Promise<TestGroup> {
  const config = { ...defaultConfig, ...options };
  const session = await Session.open({
    host: nodeHost,
    ...computing,
    config,
    groupSize,
    dataset: await openDataset(await locateDataset(data)),
    trains: true,
    timeoutMs: 30_000,
    onNote: () => undefined,
  });
  await session.initialise(config.seed);
  const { layout, buffer } = session;
  return {
    session,
    config,
    permutation: new Uint32Array(buffer, layout.permutation, layout.shape.trainCount),
    gradient: new Float32Array(buffer, layout.gradients, parameterCount),
    async step() {
      const { loss } = await session.trainTo(session.step + 1);
      return { loss: loss ?? NaN, parametersSha256: await parametersSha256(session.save().parameters) };
    },
    close: () => session.close(),
  };
}

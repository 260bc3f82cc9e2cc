/** What Node is known to give for the same seed and steps. */
import type { Checkpoint } from '../../coordinator/checkpoint/checkpoint.js';
import { goldenHashes } from '../../coordinator/checkpoint/golden-hashes.js';
import { trainAlike } from '../../shared/model/config.js';
import type { DemoNetwork } from '../../shared/demo.js';

export interface NodeHash {
  /** Of the network as it is used, as in Node's summary. */
  readonly parametersSha256: string;
  /** Where it is written down. */
  readonly source: string;
}

/** The hash that the demo's run, or else the golden one, has for a checkpoint of this page; null where neither fits. */
export function nodeHashOf(checkpoint: Checkpoint, network: DemoNetwork | null): NodeHash | null {
  const { dataset, config, step } = checkpoint;
  const training = network?.training ?? null;
  if (
    network !== null &&
    training?.fromSeed === true &&
    training.engine === checkpoint.engine &&
    training.dataset === dataset &&
    training.step === step &&
    trainAlike(training.config, config)
  ) {
    return { parametersSha256: network.parametersSha256, source: network.name };
  }
  const golden = goldenHashes(dataset, config, step);
  return golden && { parametersSha256: golden.parametersSha256, source: 'the golden hash of mnist-ddp verify' };
}

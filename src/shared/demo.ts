/** What the demo's server and its page both know: which files there are, and what the page draws with. */
import type { TrainConfig } from './model/config.js';

/** Paths below the page's address; the data set's files are `data/PART`. */
export const demoPaths = { facts: 'facts.json', network: 'network', kernels: 'kernels/', data: 'data/' } as const;

export interface DemoFacts {
  /** Rows of the data set's training split. */
  readonly trainCount: number;
  /** Whose network `demoPaths.network` is; null where the page begins with an untrained one. */
  readonly network: DemoNetwork | null;
}

export interface DemoNetwork {
  /** The run or file, as the user would name it. */
  readonly name: string;
  readonly parametersSha256: string;
  /** What it came from; null for another program's file. */
  readonly training: DemoTraining | null;
}

/** All that the bits of a trained network depend on, besides the kernels. */
export interface DemoTraining {
  readonly config: TrainConfig;
  readonly dataset: string;
  readonly engine: string;
  readonly step: number;
  /** Whether it drew its first weights from the seed, and was trained as it began. */
  readonly fromSeed: boolean;
}

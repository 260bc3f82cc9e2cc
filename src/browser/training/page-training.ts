/** Training in a page: Node's training run over Web Workers, which pauses into a checkpoint and goes on from it. */
import type { Checkpoint } from '../../coordinator/checkpoint/checkpoint.js';
import type { OpenDataset } from '../../coordinator/dataset/dataset-parts.js';
import type { Progress, StepMetric, Summary } from '../../coordinator/metrics/metrics.js';
import { runTraining } from '../../coordinator/training/training.js';
import type { TrainConfig } from '../../shared/model/config.js';
import { OperationalError } from '../../shared/errors.js';
import { wasmEngine } from '../../worker/engines/wasm/wasm-engine.js';
import { MemoryStore } from './memory-store.js';
import { pageHost } from '../page-host.js';

const timeoutMs = 60_000;
const maxRestarts = 3;

export interface PageTrainingRequest {
  readonly config: TrainConfig;
  /** Steps since training began after which to end. */
  readonly steps: number;
  /** Steps that a mean of the loss is over. */
  readonly logEvery: number;
  /** May differ from those before a pause: no bit depends on it. */
  readonly workers: number;
  readonly dataset: OpenDataset;
  /** Where to go on from, or null. */
  readonly resume: Checkpoint | null;
  /** Ends after the step at hand. */
  readonly signal: AbortSignal;
  readonly onProgress: (progress: Progress) => void;
  /** Told at the end of each interval. */
  readonly onInterval: (metric: StepMetric) => void;
  readonly onNote: (text: string) => void;
}

export interface PageTraining {
  /** null where it was ended before it began. */
  readonly checkpoint: Checkpoint | null;
  /** null where it did not come to its end. */
  readonly summary: Summary | null;
  /** What ended it, unless the signal did. */
  readonly failure: OperationalError | null;
}

/** Trains to the end, or until the signal or a failure; what was committed is in the checkpoint. */
export async function trainInPage(request: PageTrainingRequest): Promise<PageTraining> {
  const { config, steps, logEvery, workers, dataset, resume, signal, onProgress, onInterval, onNote } = request;
  const store = new MemoryStore();
  let summary: Summary | null = null;
  let failure: OperationalError | null = null;
  try {
    const metrics = runTraining({
      host: pageHost,
      engine: wasmEngine,
      libraries: [],
      why: 'WebAssembly SIMD in a browser',
      device: 'cpu',
      config,
      groupSize: workers,
      dataset,
      folder: store,
      job: null,
      version: null,
      node: null,
      hosts: ['a browser'],
      machine: Promise.resolve([]),
      init: null,
      resume,
      override: [],
      maxSteps: steps,
      checkpointEvery: undefined,
      logEvery,
      keepBest: false,
      signal,
      timeoutMs,
      maxRestarts,
      onNote,
      onProgress,
    });
    for await (const metric of metrics) {
      if (metric.kind === 'step') onInterval(metric);
      if (metric.kind === 'summary') summary = metric;
    }
  } catch (error) {
    if (!(error instanceof OperationalError)) throw error;
    if (error.code !== 'ABORTED') failure = error;
  }
  return { checkpoint: store.checkpoint ?? resume, summary, failure };
}

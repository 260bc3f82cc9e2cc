/** `evaluate`: a trained network on the test set. */
import type { Accuracy } from '../coordinator/session/evaluation.js';
import { newestRun } from '../coordinator/node/run-folder.js';
import { infer, noteChance } from './network/inference.js';
import { datasetOf, groupOptions, ignore, checkOptions } from './options.js';
import type { GroupOptions, OptionKinds } from './options.js';
import { openWeights } from './network/weights.js';

export interface EvaluateOptions extends GroupOptions {
  /** A run's folder, a checkpoint, or a PyTorch or safetensors file; default the newest run under `runs/`. */
  readonly checkpoint?: string | undefined;
  /** Whether the run's best network is meant, see `keepBest` of `train`; default false, its newest. */
  readonly best?: boolean | undefined;
}

export interface Evaluation extends Accuracy {
  readonly checkpoint: string;
  readonly dataset: string;
  /** Optimiser steps of the checkpoint; null for another program's file. */
  readonly step: number | null;
  readonly parametersSha256: string;
}

/** Scores a trained network on the test set: the same figures with any number of workers. Throws OperationalError. */
export async function evaluate(options: EvaluateOptions = {}): Promise<Evaluation> {
  checkOptions(options, optionKinds);
  const { path, weights, parametersSha256, checkpoint } = await openWeights(
    options.checkpoint ?? (await newestRun()),
    options,
  );
  const inference = await infer(weights, await datasetOf(options.data), options, checkpoint?.config.loss);
  noteChance(inference, options.onNote ?? ignore);
  const { correct, total, accuracy, loss, dataset } = inference;
  return {
    correct,
    total,
    accuracy,
    loss,
    checkpoint: path,
    dataset,
    step: checkpoint?.step ?? null,
    parametersSha256,
  };
}

const optionKinds: OptionKinds<EvaluateOptions> = { ...groupOptions, checkpoint: 'text', best: 'other' };

/** `evaluate`: a trained network, or several as one, on the test set. */
import { accuracyOf, type Accuracy } from '../coordinator/session/evaluation.js';
import { newestRun } from '../coordinator/node/run-folder.js';
import { assert, at, usageError } from '../shared/errors.js';
import { defaultConfig } from '../shared/model/config.js';
import { averageProbabilities, disagreements } from './network/committee.js';
import { infer, inferEach, noteChance, type Inference } from './network/inference.js';
import { areTexts, datasetOf, groupOptions, ignore, checkOptions } from './options.js';
import type { GroupOptions, OptionKinds } from './options.js';
import { openEach, openWeights, scoredNetwork, type OpenWeights } from './network/weights.js';

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

export interface EvaluateCommitteeOptions extends Omit<EvaluateOptions, 'checkpoint'> {
  /** Two or more, each as in `evaluate`. */
  readonly checkpoints: readonly string[];
}

/** What several networks come to together. The loss is that of the first. */
export interface CommitteeEvaluation extends Accuracy {
  readonly dataset: string;
  /** Each by itself, in the order given. */
  readonly members: readonly Evaluation[];
  /** Images that not all of them read as the same digit. */
  readonly disagreements: number;
}

/** Scores a trained network on the test set: the same figures with any number of workers. Throws OperationalError. */
export async function evaluate(options: EvaluateOptions = {}): Promise<Evaluation> {
  checkOptions(options, optionKinds);
  const opened = await openWeights(options.checkpoint ?? (await newestRun()), options);
  const inference = await infer(scoredNetwork(opened), await datasetOf(options.data), options);
  noteChance(inference, options.onNote ?? ignore);
  return evaluationOf(opened, inference);
}

/** Scores the average of the probabilities of several networks: the same figures in any order of them. Throws OperationalError. */
export async function evaluateCommittee(options: EvaluateCommitteeOptions): Promise<CommitteeEvaluation> {
  checkOptions(options, { ...groupOptions, checkpoints: 'other', best: 'other' });
  const { checkpoints } = options;
  if (!areTexts(checkpoints) || checkpoints.length < 2) {
    throw usageError('the option `checkpoints` is an array of two or more runs or files');
  }
  const opened = await openEach(checkpoints, options);
  const inferences = await inferEach(opened.map(scoredNetwork), await datasetOf(options.data), options);
  const [first] = inferences;
  assert(first !== undefined, 'a committee has members');
  const members = inferences.map(({ test }) => test.probabilities);
  const test = { ...first.test, probabilities: averageProbabilities(members) };
  const accuracy = accuracyOf(test, scoredNetwork(at(opened, 0)).loss ?? defaultConfig.loss);
  noteChance(accuracy, options.onNote ?? ignore);
  return {
    ...accuracy,
    dataset: first.dataset,
    members: opened.map((member, i) => evaluationOf(member, at(inferences, i))),
    disagreements: disagreements(members).length,
  };
}

function evaluationOf(
  { path, parametersSha256, checkpoint }: OpenWeights,
  { correct, total, accuracy, loss, dataset }: Inference,
): Evaluation {
  const step = checkpoint?.step ?? null;
  return { correct, total, accuracy, loss, checkpoint: path, dataset, step, parametersSha256 };
}

const optionKinds: OptionKinds<EvaluateOptions> = { ...groupOptions, checkpoint: 'text', best: 'other' };

/** `evaluate`: a trained network, or several as one, on the test set. */
import type { OpenDataset } from '../coordinator/node/dataset-files.js';
import { accuracyOf, splits, type Accuracy, type Split } from '../coordinator/session/evaluation.js';
import { newestRun } from '../coordinator/node/run-folder.js';
import { assert, at, usageError } from '../shared/errors.js';
import { defaultConfig } from '../shared/model/config.js';
import { averageProbabilities, disagreements } from './network/committee.js';
import { infer, inferEach, inferHeldOut, noteChance, noteOtherData, type Inference } from './network/inference.js';
import { areTexts, datasetOf, groupOptions, ignore, checkOptions } from './options.js';
import type { GroupOptions, OptionKinds } from './options.js';
import { openEach, openWeights, scoredNetwork, type OpenWeights } from './network/weights.js';

export interface EvaluateOptions extends GroupOptions {
  /** A run's folder, a checkpoint, or a PyTorch or safetensors file; default the newest run under `runs/`. */
  readonly checkpoint?: string | undefined;
  /** Whether the run's best network is meant, see `keepBest` of `train`; default false, its newest. */
  readonly best?: boolean | undefined;
  /** Default `test`; `validation`: the rows of the training split that the run held out. */
  readonly split?: Split | undefined;
}

export interface Evaluation extends Accuracy {
  readonly split: Split;
  readonly checkpoint: string;
  readonly dataset: string;
  /** Optimiser steps of the checkpoint; null for another program's file. */
  readonly step: number | null;
  readonly parametersSha256: string;
}

export interface EvaluateCommitteeOptions extends Omit<EvaluateOptions, 'checkpoint' | 'split'> {
  /** Two or more, each as in `evaluate`. */
  readonly checkpoints: readonly string[];
}

/** What several networks come to together. The loss is of the kind that all of them were trained by, else the cross-entropy. */
export interface CommitteeEvaluation extends Accuracy {
  readonly dataset: string;
  /** Each by itself, in the order given. */
  readonly members: readonly Evaluation[];
  /** Images that not all of them read as the same digit. */
  readonly disagreements: number;
}

/** Scores a trained network: the same figures with any number of workers. Throws OperationalError. */
export async function evaluate(options: EvaluateOptions = {}): Promise<Evaluation> {
  checkOptions(options, optionKinds);
  const { split = 'test', onNote = ignore } = options;
  if (!splits.includes(split)) throw usageError(`\`split\` must be ${splits.join(' or ')}, not "${split as string}"`);
  const opened = await openWeights(options.checkpoint ?? (await newestRun()), options);
  const dataset = await datasetOf(options.data);
  const inference =
    split === 'test' ? await infer(scoredNetwork(opened), dataset, options) : await onHeldOut(opened, dataset, options);
  if (split === 'test') noteOtherData(opened, inference.dataset, onNote);
  noteChance(inference, onNote);
  return evaluationOf(opened, inference, split);
}

/** @throws OperationalError USAGE where its run held none out, or not of this data set */
async function onHeldOut(
  { path, weights, checkpoint }: OpenWeights,
  dataset: OpenDataset,
  options: EvaluateOptions,
): Promise<Omit<Inference, 'test'>> {
  if (checkpoint === null || checkpoint.config.validation === 0) {
    throw usageError(`${path} is of no run that held rows out: leave \`split\` out`);
  }
  const inference = await inferHeldOut(weights, checkpoint.config, dataset, options);
  if (inference.dataset === checkpoint.dataset) return inference;
  const other = `the run held rows of the data set ${checkpoint.dataset} out, and this is ${inference.dataset}`;
  throw usageError(`${other}: name its folder with \`data\``);
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
  const kinds = new Set(opened.map((member) => scoredNetwork(member).loss ?? defaultConfig.loss));
  const [kind = defaultConfig.loss] = kinds;
  const accuracy = accuracyOf(test, kinds.size === 1 ? kind : 'cross-entropy');
  const { onNote = ignore } = options;
  for (const member of opened) noteOtherData(member, first.dataset, onNote);
  noteChance(accuracy, onNote);
  return {
    ...accuracy,
    dataset: first.dataset,
    members: opened.map((member, i) => evaluationOf(member, at(inferences, i), 'test')),
    disagreements: disagreements(members).length,
  };
}

function evaluationOf(
  { path, parametersSha256, checkpoint }: OpenWeights,
  { correct, total, accuracy, loss, dataset }: Omit<Inference, 'test'>,
  split: Split,
): Evaluation {
  const step = checkpoint?.step ?? null;
  return { split, correct, total, accuracy, loss, checkpoint: path, dataset, step, parametersSha256 };
}

const optionKinds: OptionKinds<EvaluateOptions> = {
  ...groupOptions,
  checkpoint: 'text',
  best: 'other',
  split: 'other',
};

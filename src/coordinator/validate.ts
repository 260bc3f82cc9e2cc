/** What a user asked for, completed with the defaults and checked before anything starts. */
import {
  batchNormModes,
  defaultConfig,
  inputScales,
  losses,
  recipeNames,
  recipes,
  schedules,
} from '../shared/model/config.js';
import type { Recipe, TrainConfig } from '../shared/model/config.js';
import { usageError } from '../shared/errors.js';
import { counted } from '../shared/text.js';
import { imageSize } from '../shared/model/network.js';
import { trainedRows } from '../shared/model/schedule.js';
import { leafCount, rowsOf, shardOf } from '../shared/sums/tree.js';

/** Options as a caller gives them: any may be missing. */
export type ConfigOptions = { readonly [Key in keyof TrainConfig]?: TrainConfig[Key] | undefined };

const maxUint32 = 0xffffffff;
const maxRows = 0x7fffffff;
const maxEpochs = 1_000_000;

/**
 * Fills in the defaults and checks every value.
 * @throws OperationalError USAGE, naming the option, its range and the value given
 */
export function resolveConfig(options: ConfigOptions): TrainConfig {
  return {
    epochs: integer('epochs', options.epochs ?? defaultConfig.epochs, 1, maxEpochs),
    batchSize: integer('batchSize', options.batchSize ?? defaultConfig.batchSize, 1, maxRows),
    microBatch: integer('microBatch', options.microBatch ?? defaultConfig.microBatch, 1, maxRows),
    learningRate: nonNegative('learningRate', options.learningRate ?? defaultConfig.learningRate),
    lrStep: integer('lrStep', options.lrStep ?? defaultConfig.lrStep, 1, Number.MAX_SAFE_INTEGER),
    lrGamma: nonNegative('lrGamma', options.lrGamma ?? defaultConfig.lrGamma),
    seed: integer('seed', options.seed ?? defaultConfig.seed, 0, maxUint32),
    batchNorm: word('batchNorm', options.batchNorm ?? defaultConfig.batchNorm, batchNormModes),
    validation: integer('validation', options.validation ?? defaultConfig.validation, 0, maxRows),
    patience: integer('patience', options.patience ?? defaultConfig.patience, 0, maxEpochs),
    loss: word('loss', options.loss ?? defaultConfig.loss, losses),
    inputScale: word('inputScale', options.inputScale ?? defaultConfig.inputScale, inputScales),
    schedule: word('schedule', options.schedule ?? defaultConfig.schedule, schedules),
    warmUp: within('warmUp', options.warmUp ?? defaultConfig.warmUp, 0, 1),
    rotation: within('rotation', options.rotation ?? defaultConfig.rotation, 0, 180),
    translation: within('translation', options.translation ?? defaultConfig.translation, 0, imageSize),
    scaling: within('scaling', options.scaling ?? defaultConfig.scaling, 0, 0.9),
    shear: within('shear', options.shear ?? defaultConfig.shear, 0, 60),
    averageDecay: within('averageDecay', options.averageDecay ?? defaultConfig.averageDecay, 0, 0.999_999),
  };
}

/**
 * What a recipe sets, with the defaults of what others set; nothing where none is given.
 * @throws OperationalError USAGE
 */
export function recipeOf(name: Recipe | undefined): Partial<TrainConfig> {
  if (name === undefined) return {};
  const keys = new Set(Object.values(recipes).flatMap((recipe) => Object.keys(recipe) as (keyof TrainConfig)[]));
  const defaults = Object.fromEntries([...keys].map((key) => [key, defaultConfig[key]]));
  return { ...defaults, ...recipes[word('recipe', name, recipeNames)] };
}

/**
 * Refuses what is chosen by the score of held-out rows where there are none.
 * @throws OperationalError USAGE
 */
export function checkSelection({ validation, patience }: TrainConfig, keepBest: boolean): void {
  if (validation > 0 || (patience === 0 && !keepBest)) return;
  const option = keepBest ? 'keepBest' : 'patience';
  throw usageError(`\`${option}\` goes by the score of held-out rows: add \`validation\`, such as 5000`);
}

/**
 * A whole number in [least, most], for options that are no part of a configuration too (`maxSteps`).
 * @param option its name
 * @throws OperationalError USAGE
 */
export function integer(option: string, value: unknown, least: number, most: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return value;
  throw usageError(`\`${option}\` must be a whole number from ${String(least)} to ${String(most)}, not ${show(value)}`);
}

function nonNegative(option: string, value: unknown): number {
  if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return value;
  throw usageError(`\`${option}\` must be a finite number of at least 0, not ${show(value)}`);
}

function within(option: string, value: unknown, least: number, most: number): number {
  if (typeof value === 'number' && value >= least && value <= most) return value;
  throw usageError(`\`${option}\` must be a number from ${String(least)} to ${String(most)}, not ${show(value)}`);
}

function word<Word extends string>(option: string, value: unknown, words: readonly Word[]): Word {
  const found = words.find((candidate) => candidate === value);
  if (found !== undefined) return found;
  throw usageError(`\`${option}\` must be ${words.join(' or ')}, not ${show(value)}`);
}

function show(value: unknown): string {
  if (typeof value === 'string') return `"${value}"`;
  return typeof value === 'object' && value !== null ? 'an object' : String(value);
}

/**
 * Refuses what PyTorch refuses too: a batch norm over one value per channel, whose variance is 0/0. bn5 normalises 1x1
 * pixels, so that is what a group of one row would give; a group is the batch (`sync`) or a rank's shard of it (`local`).
 * A shard without rows normalises nothing and is fine.
 * @throws OperationalError USAGE, saying which batch, how many rows, and which option to change
 */
export function checkBatchNormRows(config: TrainConfig, trainCount: number, groupSize: number): void {
  const trained = trainedRows(config, trainCount);
  if (trained === 0) {
    const held = `${String(config.validation)} rows cannot be held out of ${counted(trainCount, 'training row')}`;
    throw usageError(`${held}: choose a smaller \`validation\``);
  }
  for (const { name, rows } of batchesOf(config.batchSize, trained)) {
    const count = `(${counted(trained, 'training row')} in batches of ${String(config.batchSize)})`;
    if (rows === 1) {
      const what = `${name} has 1 row ${count}, and a batch norm needs at least 2`;
      const held = config.validation === 0 ? '' : ', another `validation`';
      throw usageError(`${what}; choose another batch size${held}, or other data`);
    }
    if (config.batchNorm === 'sync') continue;
    const rank = rankWithOneRow(rows, config.microBatch, groupSize);
    if (rank === null) continue;
    const what = `with \`batchNorm\` local, rank ${String(rank)} of ${String(groupSize)} gets 1 of the ${String(rows)} rows`;
    const why = `of ${name} ${count}, and its batch norm needs at least 2`;
    throw usageError(
      `${what} ${why}; choose another \`workers\`, \`batchSize\` or \`microBatch\`, or \`batchNorm\` sync`,
    );
  }
}

/**
 * Refuses what several processes cannot do together.
 * @throws OperationalError USAGE
 */
export function checkProcesses(processes: number, { batchNorm, batchSize, microBatch }: TrainConfig): void {
  if (batchNorm === 'local') {
    throw usageError(
      '`batchNorm` local keeps statistics for each worker of one process: use sync with several processes',
    );
  }
  const leaves = leafCount(batchSize, microBatch);
  if (processes <= leaves) return;
  throw usageError(
    `${String(processes)} processes, but a batch of ${String(batchSize)} in micro-batches of ${String(microBatch)} has only ` +
      `${String(leaves)}: start at most ${String(leaves)}, or use a larger batch`,
  );
}

/** The sizes of batch that an epoch has: full ones, and a shorter last one. */
function batchesOf(batchSize: number, trainCount: number): { name: string; rows: number }[] {
  const batches: { name: string; rows: number }[] = [];
  if (trainCount >= batchSize) batches.push({ name: 'a full batch', rows: batchSize });
  const rest = trainCount % batchSize;
  if (rest > 0) batches.push({ name: 'the last batch of an epoch', rows: rest });
  return batches;
}

function rankWithOneRow(rows: number, microBatch: number, groupSize: number): number | null {
  const leaves = leafCount(rows, microBatch);
  for (let rank = 0; rank < groupSize; rank++) {
    const { start, end } = rowsOf(shardOf(leaves, rank, groupSize), rows, microBatch);
    if (end - start === 1) return rank;
  }
  return null;
}

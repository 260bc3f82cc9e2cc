/** The optimiser's scalars as functions of the step, by repeated multiplication: exact, and the same everywhere. */
import type { TrainConfig } from './config.js';

export const adamDefaults = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 } as const;

/** StepLR: the rate of optimiser step `step` (counted from 0); PyTorch's `scheduler.step()` after each step gives the same. */
export function learningRateAt(config: TrainConfig, step: number): number {
  let rate = config.learningRate;
  for (let decays = Math.floor(step / config.lrStep); decays > 0; decays--) {
    const next = rate * config.lrGamma;
    // As with 0, a factor of 1 or infinity.
    if (next === rate) break;
    rate = next;
  }
  return rate;
}

export interface StepPosition {
  /** From 0. */
  readonly epoch: number;
  /** Rows [start, start + rows) of the epoch's permutation. */
  readonly start: number;
  readonly rows: number;
}

/** Rows that an epoch trains on: of the training split those that are not held out. */
export function trainedRows({ validation }: Pick<TrainConfig, 'validation'>, trainCount: number): number {
  return Math.max(0, trainCount - validation);
}

/**
 * Steps of one epoch; the last batch may be short.
 * @param trainCount rows of the training split
 */
export function stepsPerEpoch(config: TrainConfig, trainCount: number): number {
  return Math.ceil(trainedRows(config, trainCount) / config.batchSize);
}

/** @param trainCount rows of the training split */
export function positionOf(config: TrainConfig, trainCount: number, step: number): StepPosition {
  const perEpoch = stepsPerEpoch(config, trainCount);
  const epoch = Math.floor(step / perEpoch);
  const start = (step - epoch * perEpoch) * config.batchSize;
  return { epoch, start, rows: Math.min(config.batchSize, trainedRows(config, trainCount) - start) };
}

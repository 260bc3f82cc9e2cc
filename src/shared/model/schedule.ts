/** The optimiser's scalars as functions of the step, the same everywhere: StepLR and the powers by repeated multiplication. */
import type { TrainConfig } from './config.js';
import { cosineOf } from './trigonometry.js';

export const adamDefaults = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 } as const;

/**
 * The rate of optimiser step `step` (counted from 0).
 * @param perEpoch steps of one epoch
 */
export function learningRateAt(config: TrainConfig, perEpoch: number, step: number): number {
  return config.schedule === 'step' ? stepRate(config, step) : oneCycleRate(config, perEpoch * config.epochs, step);
}

/** Up to the learning rate in a straight line and down to 0 along a cosine (Smith and Topin, "Super-convergence", 2018). */
function oneCycleRate({ learningRate, warmUp }: TrainConfig, steps: number, step: number): number {
  const top = warmUp * steps;
  if (step < top) return (learningRate * step) / top;
  const done = step < steps ? (step - top) / (steps - top) : 1;
  return (learningRate * (1 + cosineOf(done))) / 2;
}

/** StepLR; PyTorch's `scheduler.step()` after each step gives the same. */
function stepRate(config: TrainConfig, step: number): number {
  let rate = config.learningRate;
  for (let decays = Math.floor(step / config.lrStep); decays > 0; decays--) {
    const next = rate * config.lrGamma;
    // As with 0, a factor of 1 or infinity.
    if (next === rate) break;
    rate = next;
  }
  return rate;
}

/** Decay of the weights' average after so many steps: less at first, so that it forgets what training began with. */
export function averageDecayAt({ averageDecay }: TrainConfig, steps: number): number {
  return Math.min(averageDecay, (1 + steps) / (10 + steps));
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

/** What a training run is asked to do: with the data set, all that its result depends on. */

export const batchNormModes = ['sync', 'local'] as const;
export type BatchNormMode = (typeof batchNormModes)[number];

/** `double-softmax`: cross-entropy of the softmax as if that were logits, as the reference program has it; or of the logits. */
export const losses = ['double-softmax', 'cross-entropy'] as const;
export type Loss = (typeof losses)[number];

/** What the network's first layer is given of a pixel of 0..255: `raw` that, `unit` 0..1. */
export const inputScales = ['raw', 'unit'] as const;
export type InputScale = (typeof inputScales)[number];

/** `step`: StepLR, by `lrStep` and `lrGamma`; `one-cycle`: up to the learning rate and down to 0, over all epochs. */
export const schedules = ['step', 'one-cycle'] as const;
export type Schedule = (typeof schedules)[number];

export interface TrainConfig {
  readonly epochs: number;
  /** Rows of a global batch. */
  readonly batchSize: number;
  /** Rows of a leaf of the summation tree. */
  readonly microBatch: number;
  readonly learningRate: number;
  /** StepLR: optimiser steps between two decays, and the factor of each. */
  readonly lrStep: number;
  readonly lrGamma: number;
  /** Unsigned 32-bit. */
  readonly seed: number;
  readonly batchNorm: BatchNormMode;
  /** Rows of the training split that are held out, and scored after each epoch; 0 for none. */
  readonly validation: number;
  /** Epochs without a better score of those rows after which training ends; 0 for never. */
  readonly patience: number;
  readonly loss: Loss;
  readonly inputScale: InputScale;
  readonly schedule: Schedule;
  /** Of the schedule `one-cycle`: the share of its steps in which the rate goes up. */
  readonly warmUp: number;
  /** Random affine augmentation, drawn anew for every row of every epoch: at most so many degrees to either side... */
  readonly rotation: number;
  /** ...pixels in each direction... */
  readonly translation: number;
  /** ...of its size, in each direction: 0.1 is 90 to 110 %... */
  readonly scaling: number;
  /** ...and degrees of shear. All of them 0: none. */
  readonly shear: number;
  /** Decay of the exponential moving average of the weights, which is then the network that is scored and used; 0 for none. */
  readonly averageDecay: number;
}

export const defaultConfig: TrainConfig = {
  epochs: 13,
  batchSize: 128,
  microBatch: 8,
  learningRate: 1e-3,
  lrStep: 938,
  lrGamma: 0.1,
  seed: 0,
  batchNorm: 'sync',
  validation: 0,
  patience: 0,
  loss: 'double-softmax',
  inputScale: 'raw',
  schedule: 'step',
  warmUp: 0.2,
  rotation: 0,
  translation: 0,
  scaling: 0,
  shear: 0,
  averageDecay: 0,
};

/** Presets: what they set instead of the defaults. `reference` repeats the PyTorch project; `better` reads digits better. */
export const recipes = {
  reference: {},
  better: {
    epochs: 20,
    learningRate: 3e-3,
    loss: 'cross-entropy',
    inputScale: 'unit',
    schedule: 'one-cycle',
    rotation: 15,
    translation: 3,
    scaling: 0.15,
    shear: 12,
    averageDecay: 0.999,
  },
} as const satisfies Readonly<Record<string, Partial<TrainConfig>>>;

export type Recipe = keyof typeof recipes;
export const recipeNames = Object.keys(recipes) as Recipe[];

/** Whether two configurations train alike, step by step: the number of epochs may differ where the schedule does not go by it. */
export function trainAlike(one: TrainConfig, other: TrainConfig): boolean {
  const keys = Object.keys(defaultConfig) as (keyof TrainConfig)[];
  return keys.every((key) => (key === 'epochs' && one.schedule === 'step') || one[key] === other[key]);
}

/** What pixels are divided by within the network. */
export function inputDivisorOf({ inputScale }: Pick<TrainConfig, 'inputScale'>): number {
  return inputScale === 'unit' ? 255 : 1;
}

export const maxGroupSize = 16;

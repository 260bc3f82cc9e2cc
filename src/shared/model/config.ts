/** What a training run is asked to do: with the data set, all that its result depends on. */

export type BatchNormMode = 'sync' | 'local';

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
};

export const maxGroupSize = 16;

/** What a run goes on from: its training state, with all that it takes to go on from it. */
import { assert } from '../../shared/errors.js';
import type { TrainConfig } from '../../shared/model/config.js';
import { forPlainPixels } from '../../shared/model/input-scale.js';
import { batchNormChannels } from '../../shared/model/network.js';
import { hexSha256 } from '../../shared/sha256.js';

/** All that a run needs to go on, and all that evaluation needs. */
export interface Checkpoint {
  readonly config: TrainConfig;
  /** Name of the data set it was trained on: `mnist`, or a hash. */
  readonly dataset: string;
  readonly engine: string;
  /** The golden hash that names the engine's arithmetic, see golden-hashes.ts; null for an engine that is not exact. */
  readonly arithmetic: string | null;
  /** Optimiser steps taken since training began. */
  readonly step: number;
  readonly worldSize: number;
  /** float32 [parameterCount] each, in PyTorch's order and layout. */
  readonly parameters: Float32Array;
  readonly firstMoments: Float32Array;
  readonly secondMoments: Float32Array;
  /**
   * float32 [2][batchNormChannels] each, running means then running variances: one array for batch norm `sync`, one for
   * each rank for `local`.
   */
  readonly runningStatistics: readonly Float32Array[];
  /** beta1^step and beta2^step, as the optimiser multiplied them. */
  readonly beta1Power: number;
  readonly beta2Power: number;
  /** Averages of parameters and running statistics, laid out as they are; null where none are taken. */
  readonly average: { readonly parameters: Float32Array; readonly runningStatistics: readonly Float32Array[] } | null;
  /** See `networkSha256`. */
  readonly parametersSha256: string;
  /** The weights that training began with, by file name and hash; null where it drew its own from the seed. */
  readonly init: { readonly file: string; readonly parametersSha256: string } | null;
  /** What the run has been allowed to differ in from what it went on from, such as `seed`: no options of one run give its bits then. */
  readonly overridden: readonly string[];
  /** What the means of the loss go on from; null in files up to mnist-ddp 0.3.0. */
  readonly losses: SavedLosses | null;
  /** Whether the run keeps its best network beside the newest. */
  readonly keepBest: boolean;
  /** The best score of the held-out rows, of those before this checkpoint was written; null where there is none. */
  readonly best: ValidationScore | null;
}

/** How the network of a step did on the rows that are held out. */
export interface ValidationScore {
  readonly step: number;
  /** From 1. */
  readonly epoch: number;
  readonly correct: number;
  readonly total: number;
  /** Mean over the rows. */
  readonly loss: number;
}

/** A sum of losses, in the order of their steps. */
export interface LossSum {
  readonly steps: number;
  readonly sum: number;
}

export interface SavedLosses {
  /** Steps of an interval. */
  readonly logEvery: number;
  /** Over the steps since an interval last ended, and over those of the epoch, which may just have ended. */
  readonly interval: LossSum;
  readonly epoch: LossSum;
}

/** Hex SHA-256 over the little-endian float32 bytes of the parameters, in PyTorch's order and layout. */
export function parametersSha256(values: Float32Array): Promise<string> {
  return hexSha256(floatBytes(values));
}

/**
 * The parameters of a checkpoint's network as it is used, float32 [parameterCount]: their average where one was taken, for pixels of
 * 0..255. The run that wrote it was scored with those, to the bit.
 */
export function networkParameters({
  config,
  average,
  parameters,
}: Pick<Checkpoint, 'config' | 'average' | 'parameters'>): Float32Array {
  return forPlainPixels((average ?? { parameters }).parameters, config);
}

/** What names that network: the hash of its parameters, as of any file that they are written to. */
export function networkSha256(checkpoint: Pick<Checkpoint, 'config' | 'average' | 'parameters'>): Promise<string> {
  return parametersSha256(networkParameters(checkpoint));
}

/** The training state of one step: all that the rest of a run depends on besides data and configuration. */
export type TrainingStep = Pick<
  Checkpoint,
  | 'step'
  | 'parameters'
  | 'firstMoments'
  | 'secondMoments'
  | 'runningStatistics'
  | 'beta1Power'
  | 'beta2Power'
  | 'average'
>;

/**
 * Hex SHA-256 over the whole state, little-endian: step, beta1Power and beta2Power as float64, then parameters, first and
 * second moments and each running statistics as float32, then those of the average where there is one. A lost statistic or moment shows here and not in the parameters.
 */
export function stateSha256(state: TrainingStep): Promise<string> {
  const scalars = new DataView(new ArrayBuffer(24));
  [state.step, state.beta1Power, state.beta2Power].forEach((value, i) => {
    scalars.setFloat64(8 * i, value, true);
  });
  const arrays = [state.parameters, state.firstMoments, state.secondMoments, ...state.runningStatistics];
  if (state.average !== null) arrays.push(state.average.parameters, ...state.average.runningStatistics);
  return hexSha256(new Uint8Array(scalars.buffer), ...arrays.map(floatBytes));
}

/**
 * The first field of a state that no training which goes well leaves behind, such as a negative variance; null where all are
 * sound. Readers refuse such a state, so it is not to be written.
 */
export function unsoundField(state: Omit<TrainingStep, 'step'>): keyof TrainingStep | null {
  for (const name of ['parameters', 'firstMoments'] as const) if (!areFinite(state[name])) return name;
  if (!areSquares(state.secondMoments)) return 'secondMoments';
  if (!state.runningStatistics.every(areStatistics)) return 'runningStatistics';
  const { average } = state;
  if (average !== null && !(areFinite(average.parameters) && average.runningStatistics.every(areStatistics)))
    return 'average';
  return (['beta1Power', 'beta2Power'] as const).find((name) => !(state[name] >= 0 && state[name] <= 1)) ?? null;
}

function areStatistics(values: Float32Array): boolean {
  return areFinite(values.subarray(0, batchNormChannels)) && areSquares(values.subarray(batchNormChannels));
}

// Loops by index, of a network's length: a call for each value, or an iterator, takes ten times as long.

function areFinite(values: Float32Array): boolean {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += 0 * (values[i] ?? NaN);
  return sum === 0;
}

/** Whether means of squares can be these. */
function areSquares(values: Float32Array): boolean {
  for (let i = 0; i < values.length; i++) {
    const value = values[i] ?? NaN;
    if (!(value >= 0 && value < Infinity)) return false;
  }
  return true;
}

/** Their little-endian bytes, in the same memory. */
export function floatBytes(values: Float32Array): Uint8Array {
  assertLittleEndian();
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/** WebAssembly's memory is little-endian, and so is every machine that runs Node; this would say if one were not. */
export function assertLittleEndian(): void {
  assert(new Uint8Array(Uint16Array.of(1).buffer)[0] === 1, 'the processor is little-endian');
}

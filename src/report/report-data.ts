/** What a report shows, gathered by the library; the report itself reads no file and computes no network. */
import type { TrainConfig } from '../shared/model/config.js';

/** A line of the metrics; see StepMetric for the meaning of each. */
export interface StepPoint {
  readonly step: number;
  readonly loss: number;
  /** That the loss is the mean of. */
  readonly steps: number;
  readonly learningRate: number;
  readonly imagesPerSecond: number;
}

export interface EvaluationPoint {
  readonly step: number;
  readonly epoch: number;
  /** In percent. */
  readonly accuracy: number;
  /** What was scored, and its mean loss; null where none is known. */
  readonly split: 'test' | 'validation';
  readonly loss: number | null;
  /** Mean loss of the epoch's steps; null where none is known. */
  readonly trainLoss: number | null;
}

export interface ReportData {
  /** The run's folder, as it was named. */
  readonly run: string;
  /** Of mnist-ddp. */
  readonly version: string;
  /** When the report was made. */
  readonly time: Date;
  readonly config: TrainConfig;
  readonly dataset: string;
  readonly engine: string;
  /** Whether that engine promises the same bits on every machine. */
  readonly exact: boolean;
  readonly workers: number;
  /** Optimiser steps of the checkpoint, and steps in an epoch of this data set. */
  readonly step: number;
  readonly stepsPerEpoch: number;
  readonly parametersSha256: string;
  /** The weights that training began with, where it did not draw its own. */
  readonly init: { readonly file: string; readonly parametersSha256: string } | null;
  /** What gives the same parameters again, such as `train({ seed: 1 })`. */
  readonly command: string | null;
  /** What the run went on with otherwise than it began; `command` is null where there is anything. */
  readonly overridden: readonly string[];
  /** Name and value, such as `Processor`, `AMD EPYC, 2 cores`: of the machine that trained; empty where the run did not record it. */
  readonly machine: readonly (readonly [string, string])[];
  readonly steps: readonly StepPoint[];
  readonly evaluations: readonly EvaluationPoint[];
  /** The test set: uint8 [total][784], uint8 [total], and float32 [total][10] from the softmax of the checkpoint. */
  readonly test: {
    readonly images: Uint8Array;
    readonly labels: Uint8Array;
    readonly probabilities: Float32Array;
  };
  /** What several networks, of which the run's is the first, come to; null where there is only that. */
  readonly committee: Committee | null;
}

export interface Committee {
  readonly members: readonly {
    readonly name: string;
    readonly correct: number;
    /** float32 [total][10] */
    readonly probabilities: Float32Array;
  }[];
  /** Of the average of their probabilities. */
  readonly correct: number;
  readonly average: Float32Array;
}

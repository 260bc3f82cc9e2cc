/** What a training run tells on its way: the lines of `metrics.jsonl`, the summary, and its progress. */
import type { TrainConfig } from '../../shared/model/config.js';
import type { SimdBits } from '../../shared/engine.js';
import type { Traffic } from '../../shared/group/job.js';
import type { Accuracy } from '../session/evaluation.js';
import type { Simd } from '../session/host.js';

/** Weights from a file, by name and by the hash of their parameters. */
export interface InitialWeights {
  readonly file: string;
  readonly parametersSha256: string;
}

/** The run starts: what it runs on, and where it stands. */
export interface StartMetric {
  readonly kind: 'start';
  readonly device: string;
  /** Of all processes. */
  readonly workers: number;
  /** Host name of each process; one without a launcher. */
  readonly hosts: readonly string[];
  readonly engine: string;
  /** Why that engine: a few words. */
  readonly why: string;
  /** How wide the kernels' vectors are, of this process; null for an engine without kernels. */
  readonly simd: Simd | null;
  readonly dataset: string;
  readonly out: string;
  readonly step: number;
  /** ISO 8601. */
  readonly time: string;
  /** Name and value of what is worth knowing of the machine, such as `Processor`. */
  readonly machine: readonly (readonly [string, string])[];
  /** The weights that training began with, where it did not draw its own. */
  readonly init: InitialWeights | null;
}

/** Every 100 steps of an epoch. */
export interface StepMetric {
  readonly kind: 'step';
  /** Steps since training began. */
  readonly step: number;
  /** From 1. */
  readonly epoch: number;
  readonly epochs: number;
  readonly stepInEpoch: number;
  readonly stepsPerEpoch: number;
  /** Mean loss of this step's global batch. */
  readonly loss: number;
  /** The rate after the scheduler's step. */
  readonly learningRate: number;
  /** Since the last logged step. */
  readonly imagesPerSecond: number;
}

export interface EvaluationMetric extends Accuracy {
  readonly kind: 'evaluation';
  readonly step: number;
  readonly epoch: number;
}

/** What a run came to; `summary.json` holds the same. */
export interface Summary extends Accuracy {
  readonly kind: 'summary';
  readonly dataset: string;
  readonly step: number;
  readonly steps: number;
  readonly epochs: number;
  /** Of all processes. */
  readonly workers: number;
  readonly processes: number;
  readonly engine: string;
  /** Bits of the kernels' vectors, of this process; null for an engine without kernels. No bit of the result depends on them. */
  readonly simdBits: SimdBits | null;
  readonly batchNorm: TrainConfig['batchNorm'];
  readonly batchSize: number;
  readonly microBatch: number;
  readonly learningRate: number;
  readonly seed: number;
  /** Over the steps of this process alone, evaluation and checkpoints excluded. */
  readonly imagesPerSecond: number;
  readonly trainSeconds: number;
  /** What process 0 sent to the others in this run's steps; null where there are none. */
  readonly traffic: Traffic | null;
  readonly finalLoss: number | null;
  readonly parametersSha256: string;
  /** Over parameters, moments, running statistics, counters and step. */
  readonly stateSha256: string;
  readonly out: string;
}

export type TrainMetric = StartMetric | StepMetric | EvaluationMetric | Summary;

/** Where training stands, a few times a second. */
export interface Progress {
  readonly phase: 'training' | 'evaluation';
  /** Steps since training began, and at which this run ends. */
  readonly step: number;
  readonly lastStep: number;
  /** From 1. */
  readonly epoch: number;
  readonly epochs: number;
  /** Steps of this epoch that are done. */
  readonly stepInEpoch: number;
  readonly stepsPerEpoch: number;
  /** Mean loss of the last step's global batch; null before the first. */
  readonly loss: number | null;
  readonly learningRate: number;
  /** Of the last few steps. */
  readonly imagesPerSecond: number;
}

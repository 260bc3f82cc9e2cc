/** What a training run tells on its way: the lines of `metrics.jsonl`, the summary, and its progress. */
import type { TrainConfig } from '../../shared/model/config.js';
import type { SimdBits } from '../../shared/engine.js';
import type { Traffic } from '../../shared/group/job.js';
import type { ValidationScore } from '../checkpoint/checkpoint.js';
import type { Accuracy, Split } from '../session/evaluation.js';
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

/** Where a step stands. */
export interface StepPlace {
  /** Steps since training began. */
  readonly step: number;
  /** From 1. */
  readonly epoch: number;
  readonly epochs: number;
  readonly stepInEpoch: number;
  readonly stepsPerEpoch: number;
  /** The rate after the scheduler's step. */
  readonly learningRate: number;
}

/** Every 100 steps of an epoch, what the reference program prints. It is no line of `metrics.jsonl`. */
export interface BatchMetric extends StepPlace {
  readonly kind: 'batch';
  /** Mean loss of this step's global batch. */
  readonly loss: number;
}

/** Every `logEvery` steps of an epoch, at its end, and at that of the run. */
export interface StepMetric extends StepPlace {
  readonly kind: 'step';
  /** Mean loss of the steps since the last of these metrics. */
  readonly loss: number;
  /** How many steps that are. */
  readonly steps: number;
  /** Of those steps, as far as this process has trained them. */
  readonly imagesPerSecond: number;
}

/** Of the test set after each epoch; where rows are held out, of those, and of the test set at the end of the run alone. */
export interface EvaluationMetric extends Accuracy {
  readonly kind: 'evaluation';
  readonly split: Split;
  readonly step: number;
  readonly epoch: number;
  /** Mean loss of the epoch's steps so far, which are all where it ends here; null where none is known. */
  readonly trainLoss: number | null;
}

/** What a run came to; `summary.json` holds the same. */
export interface Summary extends Omit<Accuracy, 'loss'> {
  readonly kind: 'summary';
  /** Mean loss of the test set. */
  readonly testLoss: number;
  /** How the held-out rows were scored at the end, and the best score of an epoch; null where none are held out. */
  readonly validation: Accuracy | null;
  readonly best: (ValidationScore & Pick<Accuracy, 'accuracy'>) | null;
  readonly dataset: string;
  readonly step: number;
  readonly steps: number;
  readonly config: TrainConfig;
  /** The weights that training began with, where it did not draw its own. */
  readonly init: InitialWeights | null;
  /** Options that the run has been allowed to change when it was resumed, see `Checkpoint`. */
  readonly overridden: readonly string[];
  /** Of all processes. */
  readonly workers: number;
  readonly processes: number;
  readonly engine: string;
  /** Bits of the kernels' vectors, of this process; null for an engine without kernels. No bit of the result depends on them. */
  readonly simdBits: SimdBits | null;
  /** Of mnist-ddp, and of Node; null in a page. */
  readonly version: string | null;
  readonly node: string | null;
  /** When this process started training and when it ended, ISO 8601; the run may have begun before, and been resumed. */
  readonly startedAt: string;
  readonly endedAt: string;
  /** Over the steps of this process alone, evaluation and checkpoints excluded. */
  readonly imagesPerSecond: number;
  readonly trainSeconds: number;
  readonly evaluationSeconds: number;
  /** What process 0 sent to the others in this run's steps; null where there are none. */
  readonly traffic: Traffic | null;
  /** Mean loss of the last epoch's steps; null where none is known. */
  readonly trainLoss: number | null;
  /** Of the network as it is used, see `networkSha256`. */
  readonly parametersSha256: string;
  /** Over parameters, moments, running statistics, counters and step. */
  readonly stateSha256: string;
  readonly out: string;
}

export type TrainMetric = StartMetric | BatchMetric | StepMetric | EvaluationMetric | Summary;

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
  /** Mean loss of the epoch's steps so far, and of the last few steps; null before the first. */
  readonly loss: number | null;
  readonly recentLoss: number | null;
  readonly learningRate: number;
  /** Of the last few steps. */
  readonly imagesPerSecond: number;
}

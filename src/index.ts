/**
 * mnist-ddp as a library; the commands use nothing else.
 *
 * V8's flags are those of the process, and so of the program that uses this library. What computes with the `wasm` engine sets
 * four of them while it compiles its kernels to vectors of 256 bits, and back before anything else of this thread runs; see
 * `train`.
 */
import './shared/web-assembly.js';

export { benchmark, type BenchmarkOptions } from './library/benchmark.js';
export { demo, type Demo, type DemoOptions } from './library/demo/demo.js';
export { devices, type DevicesReport } from './library/devices.js';
export { engineChoices, type EngineChoice } from './library/engines/engines.js';
export type { OpenClDevice } from './library/devices/opencl-device.js';
export type { MpiStatus } from './library/devices/mpi-status.js';
export type { EngineStatus } from './library/devices/engine-status.js';
export { evaluate, evaluateCommittee } from './library/evaluate.js';
export type { CommitteeEvaluation, EvaluateCommitteeOptions, EvaluateOptions, Evaluation } from './library/evaluate.js';
export { exportWeights, type Exported, type ExportOptions } from './library/export.js';
export type { GroupOptions } from './library/options.js';
export { predict, type DigitPrediction, type Prediction, type PredictOptions } from './library/predict.js';
export { report, type Report, type ReportOptions } from './library/report.js';
export { compareRuns, listRuns, type ListRunsOptions } from './library/runs.js';
export type { RunComparison, RunDifference, RunEntry } from './library/runs.js';
export { train } from './library/train.js';
export { overridable, type Overridable, type TrainOptions } from './library/training/train-options.js';
export { verify, type VerifyOptions } from './library/verify.js';
export { version } from './library/version.js';
export { loadCheckpoint } from './library/network/weights.js';

export type { BenchmarkRow, KernelTime, Profile } from './coordinator/benchmark.js';
export type { Checkpoint } from './coordinator/node/checkpoint-files.js';
export type { LossSum, SavedLosses, ValidationScore } from './coordinator/checkpoint/checkpoint.js';
export type { Hashes } from './coordinator/checkpoint/golden-hashes.js';
export { splits, type Accuracy, type Split } from './coordinator/session/evaluation.js';
export type { Simd } from './coordinator/session/host.js';
export type { Gpu, Machine, Processor } from './coordinator/node/machine.js';
export type {
  BatchMetric,
  EvaluationMetric,
  InitialWeights,
  Progress,
  StartMetric,
  StepMetric,
  StepPlace,
  Summary,
  TrainMetric,
} from './coordinator/metrics/metrics.js';
export type { Reproduction } from './coordinator/training/reproduction.js';
export type { Verification, VerificationRow } from './coordinator/verification.js';
export { weightFormats, type WeightFormat } from './interchange/formats.js';
export { defaultConfig, recipes, type BatchNormMode, type TrainConfig } from './shared/model/config.js';
export type { InputScale, Loss, Recipe, Schedule } from './shared/model/config.js';
export type { DevicePeaks } from './shared/compute-device.js';
export type { EngineName, SimdBits } from './shared/engine.js';
export { OperationalError, type ErrorCode } from './shared/errors.js';
export type { ExchangeTraffic, Traffic } from './shared/group/job.js';
export type { StepTimes } from './shared/group/protocol.js';
export { parameters, type LayerName, type Parameter } from './shared/model/network.js';

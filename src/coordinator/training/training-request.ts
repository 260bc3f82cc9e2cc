/** What a training run is asked to do, and with what. */
import type { Job } from '../../shared/group/job.js';
import type { Checkpoint } from '../checkpoint/checkpoint.js';
import type { InitialWeights, Progress, StartMetric } from '../metrics/metrics.js';
import type { RunStore } from './run-recorder.js';
import type { SessionRequest } from '../session/session.js';
import type { NetworkState } from '../checkpoint/trained-network.js';

export interface TrainingRequest extends Omit<SessionRequest, 'trains'> {
  /** For the record: why that engine, and what it computes on. */
  readonly why: string;
  readonly device: string;
  /** For the record: versions of mnist-ddp and of Node; null in a page. */
  readonly version: string | null;
  readonly node: string | null;
  /** Null for a process of a job whose process 0 writes. */
  readonly folder: RunStore | null;
  /** The other processes that train with this one; null where there are none. */
  readonly job: Job | null;
  /** Name of each process's machine, for the record. */
  readonly hosts: readonly string[];
  /** What is worth knowing of the machine, for the record. */
  readonly machine: Promise<StartMetric['machine']>;
  /** Weights to start from instead of those of the seed; they belong to no run yet. */
  readonly init: (InitialWeights & NetworkState) | null;
  /** The state to go on from, or null for a fresh start. */
  readonly resume: Checkpoint | null;
  /** What may differ from that state on purpose, see `refuseOtherBits`. */
  readonly override: readonly string[];
  /** Steps since training began after which to end, resumed or not. */
  readonly maxSteps: number | undefined;
  readonly checkpointEvery: number | undefined;
  /** Steps that a line of the metrics is the mean over; an epoch begins a new one. */
  readonly logEvery: number;
  /** Whether the network of the epoch that does best on the held-out rows is kept. */
  readonly keepBest: boolean;
  readonly signal: AbortSignal | undefined;
  /** How often failed workers are started again before the run ends with the failure. */
  readonly maxRestarts: number;
  /** Asked between stretches of steps, a few times a second: whether to write a checkpoint. */
  readonly wantsCheckpoint?: (() => boolean) | undefined;
  readonly onProgress: ((progress: Progress) => void) | undefined;
}

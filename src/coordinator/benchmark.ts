/** Throughput of training steps by number of workers, measured in turns so that a drifting machine favours none. */
import type { TrainConfig } from '../shared/config.js';
import type { Engine, SimdBits } from '../shared/engine.js';
import type { RankReport, StepTimes } from '../shared/protocol.js';
import { positionOf } from '../shared/schedule.js';
import type { OpenDataset } from './dataset.js';
import type { Host } from './host.js';
import { launch } from './launch.js';

export interface BenchmarkRequest {
  readonly host: Host;
  readonly engine: Engine;
  /** What the engine imports on each thread, see `ReplicaBinding`. */
  readonly libraries: readonly string[];
  readonly config: TrainConfig;
  readonly workers: readonly number[];
  /** Measured steps for each number of workers. */
  readonly steps: number;
  readonly dataset: OpenDataset;
  readonly timeoutMs: number;
  readonly onNote: (text: string) => void;
}

export interface BenchmarkRow {
  readonly workers: number;
  /** Bits of the kernels' vectors; null for an engine without kernels. */
  readonly simdBits: SimdBits | null;
  /** Of the median step. */
  readonly imagesPerSecond: number;
  readonly stepMsP50: number;
  /** Images per second against as many times the first row's for one worker; null without such a row. */
  readonly efficiency: number | null;
  /** Share of the step, mean over ranks and steps. */
  readonly share: StepTimes;
}

const warmUpSteps = 5;
const roundSteps = 5;
const parts = ['data', 'compute', 'allReduce', 'optimiser', 'waiting'] as const;

export type ContenderRequest = Omit<BenchmarkRequest, 'workers' | 'steps'> & { readonly workers: number };

/** A group that trains full batches on demand and waits in between. */
export interface Contender {
  readonly workers: number;
  readonly simdBits: SimdBits | null;
  /** Trains that many steps and returns their images. */
  run(steps: number, onStep?: (reports: readonly RankReport[]) => void): Promise<number>;
  close(): Promise<void>;
}

interface Measured {
  readonly contender: Contender;
  readonly stepMs: number[];
  readonly times: Record<keyof StepTimes, number>;
}

/** Trains `steps` steps with each number of workers, a few at a time in turn. */
export async function runBenchmark(request: BenchmarkRequest): Promise<BenchmarkRow[]> {
  const measured: Measured[] = [];
  try {
    for (const workers of request.workers) {
      const contender = await startBenchmark({ ...request, workers });
      measured.push({ contender, stepMs: [], times: { data: 0, compute: 0, allReduce: 0, optimiser: 0, waiting: 0 } });
    }
    for (const { contender } of measured) await contender.run(warmUpSteps);
    for (let done = 0; done < request.steps; done += roundSteps) {
      const steps = Math.min(roundSteps, request.steps - done);
      for (const one of measured) {
        await one.contender.run(steps, (reports) => {
          record(one, reports);
        });
      }
    }
  } finally {
    await Promise.all(measured.map(({ contender }) => contender.close()));
  }
  const rows = measured.map((one) => rowOf(one, request.config.batchSize));
  const single = rows.find((row) => row.workers === 1);
  if (single === undefined) return rows;
  return rows.map((row) => ({ ...row, efficiency: row.imagesPerSecond / (row.workers * single.imagesPerSecond) }));
}

/** Starts a group on fresh parameters. A short last batch is passed over: it would be no step like the others. */
export async function startBenchmark(request: ContenderRequest): Promise<Contender> {
  const { config, workers } = request;
  const launched = await launch({ ...request, worldSize: workers, devices: null, trains: true });
  const { state, group, simd } = launched;
  const { trainCount } = launched.layout.shape;
  if (typeof simd?.advice === 'string') request.onNote(simd.advice);
  state.initialise(config.seed);
  launched.shuffle(0);
  group.control.startFrom(0);
  await group.run({ name: 'prepare', first: 0, end: 0 });
  let step = 0;
  return {
    workers,
    simdBits: simd?.bits ?? null,
    async run(steps, onStep = () => undefined) {
      for (let left = steps; left > 0; left--) {
        // Back to the start, in a step of the same parity: it names the state set.
        if (positionOf(config, trainCount, step).rows < config.batchSize) step &= 1;
        group.control.startFrom(step);
        onStep(await group.run({ name: 'train', first: step, end: step + 1 }));
        step++;
      }
      return steps * config.batchSize;
    },
    close: () => group.close(),
  };
}

function record({ stepMs, times }: Measured, reports: readonly RankReport[]): void {
  stepMs.push(Math.max(...reports.map((report) => report.stepMs[0] ?? 0)));
  for (const report of reports) for (const part of parts) times[part] += report.times[part];
}

function rowOf({ contender: { workers, simdBits }, stepMs, times }: Measured, batchSize: number): BenchmarkRow {
  const stepMsP50 = median(stepMs);
  const total = parts.reduce((sum, part) => sum + times[part], 0);
  const share = (part: keyof StepTimes): number => times[part] / total;
  return {
    workers,
    simdBits,
    imagesPerSecond: (1000 * batchSize) / stepMsP50,
    stepMsP50,
    efficiency: null,
    share: {
      data: share('data'),
      compute: share('compute'),
      allReduce: share('allReduce'),
      optimiser: share('optimiser'),
      waiting: share('waiting'),
    },
  };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? 0;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? 0)) / 2;
}

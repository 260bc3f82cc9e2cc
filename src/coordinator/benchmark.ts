/** Throughput of training steps by number of workers, measured in turns so that a drifting machine favours none. */
import type { TrainConfig } from '../shared/config.js';
import type { Engine } from '../shared/engine.js';
import type { RankReport, StepTimes } from '../shared/protocol.js';
import { positionOf } from '../shared/schedule.js';
import { launch, type Launched } from './launch.js';
import { fillPermutation } from './sampler.js';

export interface BenchmarkRequest {
  readonly engine: Engine;
  readonly config: TrainConfig;
  readonly workers: readonly number[];
  /** Measured steps for each number of workers. */
  readonly steps: number;
  readonly data: string | undefined;
  readonly timeoutMs: number;
  readonly onNote: (text: string) => void;
}

export interface BenchmarkRow {
  readonly workers: number;
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

interface Contender {
  readonly workers: number;
  readonly launched: Launched;
  step: number;
  readonly stepMs: number[];
  readonly times: Record<keyof StepTimes, number>;
}

/** Trains `steps` steps with each number of workers, a few at a time in turn; full batches only. */
export async function runBenchmark(request: BenchmarkRequest): Promise<BenchmarkRow[]> {
  const contenders: Contender[] = [];
  try {
    for (const workers of request.workers) contenders.push(await startContender(request, workers));
    for (const contender of contenders) await advance(contender, request.config, warmUpSteps, false);
    while (contenders.some((contender) => contender.stepMs.length < request.steps)) {
      for (const contender of contenders) {
        const steps = Math.min(roundSteps, request.steps - contender.stepMs.length);
        await advance(contender, request.config, steps, true);
      }
    }
  } finally {
    await Promise.all(contenders.map((contender) => contender.launched.group.close()));
  }
  const rows = contenders.map((contender) => rowOf(contender, request.config.batchSize));
  const single = rows.find((row) => row.workers === 1);
  if (single === undefined) return rows;
  return rows.map((row) => ({ ...row, efficiency: row.imagesPerSecond / (row.workers * single.imagesPerSecond) }));
}

async function startContender(request: BenchmarkRequest, workers: number): Promise<Contender> {
  const launched = await launch({ ...request, worldSize: workers, devices: null, trains: true });
  const { state, group, layout, buffer } = launched;
  state.initialise(request.config.seed);
  fillPermutation(new Uint32Array(buffer, layout.permutation, layout.shape.trainCount), request.config.seed, 0);
  group.control.startFrom(0);
  await group.run({ name: 'prepare', first: 0, end: 0 });
  const times = { data: 0, compute: 0, allReduce: 0, optimiser: 0, waiting: 0 };
  return { workers, launched, step: 0, stepMs: [], times };
}

async function advance(contender: Contender, config: TrainConfig, steps: number, measured: boolean): Promise<void> {
  const { group, layout } = contender.launched;
  for (let left = steps; left > 0; ) {
    // A short batch would be no step like the others, so the next epoch's first follows; its order does not matter here.
    const { rows } = positionOf(config, layout.shape.trainCount, contender.step);
    if (rows < config.batchSize) {
      contender.step = 0;
      group.control.startFrom(0);
    }
    const reports = await group.run({ name: 'train', first: contender.step, end: contender.step + 1 });
    contender.step++;
    left--;
    if (measured) record(contender, reports);
  }
}

function record(contender: Contender, reports: readonly RankReport[]): void {
  contender.stepMs.push(Math.max(...reports.map((report) => report.stepMs[0] ?? 0)));
  for (const { times } of reports) for (const part of parts) contender.times[part] += times[part];
}

function rowOf({ workers, stepMs, times }: Contender, batchSize: number): BenchmarkRow {
  const stepMsP50 = median(stepMs);
  const total = parts.reduce((sum, part) => sum + times[part], 0);
  const share = (part: keyof StepTimes): number => times[part] / total;
  return {
    workers,
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

/** Throughput of training steps by number of workers, measured in turns so that a drifting machine favours none. */
import { at } from '../shared/errors.js';
import type { SimdBits } from '../shared/engine.js';
import type { RankReport, StepTimes } from '../shared/group/protocol.js';
import { positionOf } from '../shared/model/schedule.js';
import { Session, type SessionOptions } from './session/session.js';

export interface BenchmarkRequest extends SessionOptions {
  readonly workers: readonly number[];
  /** Measured steps for each number of workers. */
  readonly steps: number;
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

export type ContenderRequest = SessionOptions & { readonly workers: number };

/** A group that trains full batches on demand and waits in between. */
export interface Contender {
  readonly workers: number;
  readonly simdBits: SimdBits | null;
  /** Images of a step: a full batch, or the whole training set where that is smaller. */
  readonly rows: number;
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
  const rows = measured.map((one) => rowOf(one));
  const single = rows.find((row) => row.workers === 1);
  if (single === undefined) return rows;
  return rows.map((row) => ({ ...row, efficiency: row.imagesPerSecond / (row.workers * single.imagesPerSecond) }));
}

/** Starts a group on fresh parameters. A short last batch is trained and not counted: it is no step like the others. */
export async function startBenchmark(request: ContenderRequest): Promise<Contender> {
  const { config, workers } = request;
  const session = await Session.open({ ...request, groupSize: workers, trains: true });
  if (typeof session.simd?.advice === 'string') request.onNote(session.simd.advice);
  await session.initialise(config.seed);
  const { trainCount } = session.layout.shape;
  const rows = Math.min(config.batchSize, trainCount);
  const isShort = (step: number): boolean => positionOf(config, trainCount, step).rows < rows;
  return {
    workers,
    simdBits: session.simd?.bits ?? null,
    rows,
    async run(steps, onStep = () => undefined) {
      for (let left = steps; left > 0; left--) {
        if (isShort(session.step)) await session.trainTo(session.step + 1);
        onStep((await session.trainTo(session.step + 1)).reports);
      }
      return steps * rows;
    },
    close: () => session.close(),
  };
}

function record({ stepMs, times }: Measured, reports: readonly RankReport[]): void {
  stepMs.push(Math.max(...reports.map((report) => at(report.stepMs, 0))));
  for (const report of reports) for (const part of parts) times[part] += report.times[part];
}

function rowOf({ contender: { workers, simdBits, rows }, stepMs, times }: Measured): BenchmarkRow {
  const stepMsP50 = median(stepMs);
  const total = parts.reduce((sum, part) => sum + times[part], 0);
  const share = (part: keyof StepTimes): number => times[part] / total;
  return {
    workers,
    simdBits,
    imagesPerSecond: (1000 * rows) / stepMsP50,
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
  const upper = at(sorted, middle);
  return sorted.length % 2 === 1 ? upper : (upper + at(sorted, middle - 1)) / 2;
}

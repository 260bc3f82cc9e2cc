/** Throughput of training steps by number of workers, measured in turns so that a drifting machine favours none. */
import type { DevicePeaks, DeviceTime } from '../shared/compute-device.js';
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
  /** What the devices ran; null where no times were taken. */
  readonly profile: Profile | null;
}

/** Of the kernels of a step, by the devices' own clocks. */
export interface Profile {
  readonly peaks: readonly DevicePeaks[];
  readonly kernels: readonly KernelTime[];
}

/** All launches of one label, mean over steps and workers. */
export interface KernelTime {
  readonly label: string;
  readonly launches: number;
  readonly ms: number;
  /** Operations, and bytes of the device's memory, in 10^9 a second; null where the kernel does not say how many. */
  readonly gflops: number | null;
  readonly gigabytes: number | null;
}

const warmUpSteps = 5;
const roundSteps = 5;
const deviceRoundSteps = 50;
const parts = ['data', 'compute', 'allReduce', 'optimiser', 'waiting'] as const;

export type ContenderRequest = SessionOptions & { readonly workers: number };

/** Steps that one command covered: one on processors, where each is measured, and more on devices. */
export interface Stretch {
  readonly reports: readonly RankReport[];
  readonly steps: number;
  readonly ms: number;
}

/** A group that trains full batches on demand and waits in between. */
export interface Contender {
  readonly workers: number;
  readonly simdBits: SimdBits | null;
  /** Images of a step: a full batch, or the whole training set where that is smaller. */
  readonly rows: number;
  /** Trains that many steps and returns their images. */
  run(steps: number, onStretch?: (stretch: Stretch) => void): Promise<number>;
  close(): Promise<void>;
}

interface Measured {
  readonly contender: Contender;
  /** Of each stretch of steps, a step's mean. */
  readonly stepMs: number[];
  steps: number;
  readonly times: Record<keyof StepTimes, number>;
  readonly deviceTimes: DeviceTime[];
}

/** Trains `steps` steps with each number of workers, a few at a time in turn. */
export async function runBenchmark(request: BenchmarkRequest): Promise<BenchmarkRow[]> {
  const measured: Measured[] = [];
  try {
    for (const workers of request.workers) {
      const contender = await startBenchmark({ ...request, workers });
      const times = { data: 0, compute: 0, allReduce: 0, optimiser: 0, waiting: 0 };
      measured.push({ contender, stepMs: [], steps: 0, times, deviceTimes: [] });
    }
    for (const { contender } of measured) await contender.run(warmUpSteps);
    const inTurn = (request.pool ?? null) === null ? roundSteps : deviceRoundSteps;
    for (let done = 0; done < request.steps; done += inTurn) {
      const steps = Math.min(inTurn, request.steps - done);
      for (const one of measured) {
        await one.contender.run(steps, (stretch) => {
          record(one, stretch);
        });
      }
    }
  } finally {
    await Promise.all(measured.map(({ contender }) => contender.close()));
  }
  const peaks = measured.some(({ deviceTimes }) => deviceTimes.length > 0) ? (request.pool?.measurePeaks() ?? []) : [];
  const rows = measured.map((one) => rowOf(one, peaks));
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
  // Devices run behind their ranks, and bring their state back when a stretch of steps ends.
  const stretchSteps = (request.pool ?? null) === null ? 1 : deviceRoundSteps;
  const isShort = (step: number): boolean => positionOf(config, trainCount, step).rows < rows;
  return {
    workers,
    simdBits: session.simd?.bits ?? null,
    rows,
    async run(steps, onStretch = () => undefined) {
      for (let left = steps; left > 0;) {
        if (isShort(session.step)) await session.trainTo(session.step + 1);
        const first = session.step;
        let end = first + 1;
        while (end - first < Math.min(left, stretchSteps) && end % session.perEpoch !== 0 && !isShort(end)) end++;
        const start = performance.now();
        const { reports } = await session.trainTo(end);
        onStretch({ reports, steps: end - first, ms: performance.now() - start });
        left -= end - first;
      }
      return steps * rows;
    },
    close: () => session.close(),
  };
}

function record(measured: Measured, { reports, steps, ms }: Stretch): void {
  const { stepMs, times, deviceTimes } = measured;
  stepMs.push(steps === 1 ? Math.max(...reports.map((report) => at(report.stepMs, 0))) : ms / steps);
  measured.steps += steps;
  for (const report of reports) {
    for (const part of parts) times[part] += report.times[part];
    deviceTimes.push(...(report.deviceTimes ?? []));
  }
}

function rowOf(
  { contender, stepMs, steps, times, deviceTimes }: Measured,
  peaks: readonly DevicePeaks[],
): BenchmarkRow {
  const { workers, simdBits, rows } = contender;
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
    profile: deviceTimes.length === 0 ? null : { peaks, kernels: kernelTimes(deviceTimes, steps * workers) },
  };
}

/** @param count of steps and workers that the times are of */
function kernelTimes(times: readonly DeviceTime[], count: number): KernelTime[] {
  return [...new Set(times.map(({ label }) => label))].map((label) => {
    const own = times.filter((time) => time.label === label);
    const sum = (valueOf: (time: DeviceTime) => number): number =>
      own.reduce((total, time) => total + valueOf(time), 0);
    const ms = sum((time) => time.ms);
    const rate = (valueOf: (time: DeviceTime) => number | undefined): number | null =>
      own.some(({ work }) => work === null) || ms === 0 ? null : sum((time) => valueOf(time) ?? 0) / ms / 1e6;
    return {
      label,
      launches: sum(({ launches }) => launches) / count,
      ms: ms / count,
      gflops: rate(({ work }) => work?.operations),
      gigabytes: rate(({ work }) => work?.bytes),
    };
  });
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = at(sorted, middle);
  return sorted.length % 2 === 1 ? upper : (upper + at(sorted, middle - 1)) / 2;
}

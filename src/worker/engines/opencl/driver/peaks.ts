/** What a device comes to at most, by trial: rates that those of kernels are held against. */
import { Context } from './context.js';
import type { DeviceFacts } from './facts.js';
import type { OpenCl } from './library.js';
import type { Queue } from './queue.js';

/** Chains that do not wait for each other, of additions and multiplications that are not fused, as exact kernels have them. */
const source = `
#pragma OPENCL FP_CONTRACT OFF
kernel void chains(global float *result, float factor, float term, int rounds) {
  float8 sums = (float8)(0.0f, 1.0f, 2.0f, 3.0f, 4.0f, 5.0f, 6.0f, 7.0f) + (float)get_global_id(0);
  for (int round = 0; round < rounds; round++) {
    sums = sums * factor + term;
    sums = sums * factor + term;
  }
  result[get_global_id(0)] = sums.s0 + sums.s1 + sums.s2 + sums.s3 + sums.s4 + sums.s5 + sums.s6 + sums.s7;
}
`;

const operationsOfRound = 8 * 4;
const groupSize = 64;
const groupsOfUnit = 64;
const mostCopiedBytes = 0x1000_0000;
const trials = 5;
/** Long enough for what a launch costs not to matter. */
const leastMs = 10;

export interface Peaks {
  /** Additions and multiplications in float32, in 10^9 a second. */
  readonly gflops: number;
  /** Bytes read and written, in 10^9 a second. */
  readonly gigabytes: number;
}

/** Takes some tenths of a second. Throws OpenClError. */
export function measurePeaks(cl: OpenCl, device: DeviceFacts): Peaks {
  const context = new Context(cl, device, { profiling: true });
  try {
    return { gflops: peakOfChains(context), gigabytes: peakOfCopies(context) };
  } finally {
    context.release();
  }
}

function peakOfChains(context: Context): number {
  const { queue, device } = context;
  const items = device.computeUnits * groupsOfUnit * groupSize;
  const local = device.maxWorkGroupSize < groupSize ? null : [groupSize];
  const result = context.buffer(4 * items);
  const arguments_ = [result, { float32: 0.999 }, { float32: 0.001 }, { int32: 0 }];
  const kernel = context.program(source, '-cl-std=CL1.2').kernel('chains', arguments_).setSize([items], local);
  for (let rounds = 16; ; rounds *= 4) {
    kernel.setInt(3, rounds);
    const ms = bestOf(queue, () => {
      queue.launch(kernel);
    });
    if (ms >= leastMs || rounds > 1e7) return (rounds * operationsOfRound * items) / ms / 1e6;
  }
}

function peakOfCopies(context: Context): number {
  const { queue, device } = context;
  const bytes = Math.min(mostCopiedBytes, 4096 * Math.floor(device.maxAllocationBytes / 4 / 4096));
  const [source, target] = [context.buffer(bytes), context.buffer(bytes)];
  queue.clear(source, 0, bytes);
  const ms = bestOf(queue, () => {
    queue.copy(source, 0, target, 0, bytes);
  });
  return (2 * bytes) / ms / 1e6;
}

/** Milliseconds by the device's clock. */
function bestOf(queue: Queue, act: () => void): number {
  let best = Infinity;
  for (let trial = 0; trial < trials; trial++) {
    queue.finish();
    queue.takeTimes();
    act();
    queue.finish();
    best = Math.min(best, ...queue.takeTimes().map(({ ms }) => ms));
  }
  return best;
}

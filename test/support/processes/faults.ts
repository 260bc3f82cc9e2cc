/** Faults on purpose: every way to fail in every phase of a step. */
import { setEnvironmentData } from 'node:worker_threads';
import { expect } from 'vitest';
import type { Summary, TrainOptions } from '../../../src/index.js';
import { trainRun } from './runs.js';

/** What has a process of Node fail as MNIST_DDP_FAULT says. */
export const faultImport = `--import=${new URL('./fault.mjs', import.meta.url).href}`;

/** Has the fault of MNIST_DDP_FAULT happen again as often as it says, in threads that are started from now on. */
export function rearmFault(): void {
  setEnvironmentData('faults on purpose', new SharedArrayBuffer(4));
}

export interface FaultCase {
  readonly kind: 'throw' | 'exit' | 'stall';
  readonly phase: string;
  readonly rank: number;
  /** Counted from 1; an evaluation's is the step that it comes after. */
  readonly step: number;
}

const phases = ['data', 'forward and backward', 'exchange', 'reduce', 'optimiser', 'commit', 'evaluation'] as const;
const kinds = ['throw', 'exit', 'stall'] as const;

/** Of 3 ranks the first and the last; of two epochs of 3 steps the first and the last step, and those in between. */
export const everyFault: readonly FaultCase[] = phases.flatMap((phase) =>
  kinds.flatMap((kind) =>
    [0, 2].flatMap((rank) =>
      (phase === 'evaluation' ? [3, 6] : [1, 3, 4, 6]).map((step) => ({ kind, phase, rank, step })),
    ),
  ),
);

/** One of each kind, in phases in which ranks wait for each other in different ways; test/long has them all. */
export const faultCases: readonly FaultCase[] = [
  { kind: 'exit', phase: 'forward and backward', rank: 0, step: 3 },
  { kind: 'stall', phase: 'exchange', rank: 2, step: 4 },
  { kind: 'throw', phase: 'optimiser', rank: 2, step: 2 },
  { kind: 'throw', phase: 'evaluation', rank: 0, step: 3 },
];

/** A stall's timeout of 1 s and a second look, 1 s for the others to leave, new threads, and the whole small run. */
const boundMs = 15_000;

/** A run of 3 ranks in which that fault happens once. Checks that it is named, costs one restart, and ends in time. */
export async function survive(
  { kind, phase, rank, step }: FaultCase,
  options: TrainOptions,
  withinMs = boundMs,
): Promise<Summary> {
  const notes: string[] = [];
  const start = performance.now();
  rearmFault();
  process.env['MNIST_DDP_FAULT'] = [kind, phase, rank, step].join(':');
  try {
    const { summary } = await trainRun({ ...options, onNote: (text) => notes.push(text) });
    expect(performance.now() - start).toBeLessThan(withinMs);
    expect(notes).toEqual([expect.stringMatching(/starting the workers again \(1 of 3\)$/)]);
    expect(notes[0]).toMatch(new RegExp(`rank ${String(rank)} .*in ${phase} of step ${String(step)}\\b`));
    return summary;
  } finally {
    delete process.env['MNIST_DDP_FAULT'];
  }
}

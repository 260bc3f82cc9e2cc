/** Memory stays flat, over many steps and over many restarts. */
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { rearmFault } from '../support/processes/faults.js';
import { temporaryRuns, trainRun } from '../support/processes/runs.js';

const { directory, data } = await temporaryRuns(4000, 20);

/** Growth of the resident set from a warm state to the end. Garbage comes and goes; a leak of one checkpoint would be 8 MB. */
const boundMiB = 64;
const residentMiB = (): number => process.memoryUsage().rss / 2 ** 20;

function growthOf(name: string, samples: readonly number[]): number {
  const [first = 0, last = 0] = [samples[0], samples.at(-1)];
  console.log(
    `${name}: ${first.toFixed(0)} MiB warm, ${Math.max(...samples).toFixed(0)} at most, ${last.toFixed(0)} at the end`,
  );
  return last - first;
}

it(`2,000 steps with 40 checkpoints grow it by less than ${String(boundMiB)} MiB`, async () => {
  const samples: number[] = [];
  const options = { batchSize: 8, microBatch: 4, epochs: 4, workers: 2, checkpointEvery: 50, data };
  const { summary } = await trainRun({ ...options, out: join(directory, 'steps') }, (metric) => {
    if (metric.kind === 'step' && metric.step >= 300) samples.push(residentMiB());
  });
  expect(summary.steps).toBe(2000);
  expect(growthOf('2,000 steps', samples)).toBeLessThan(boundMiB);
});

it(`20 restarts grow it by less than ${String(boundMiB)} MiB`, async () => {
  const samples: number[] = [];
  rearmFault();
  process.env['MNIST_DDP_FAULT'] = 'throw:reduce:1:4:20';
  try {
    const options = { batchSize: 8, microBatch: 4, epochs: 1, maxSteps: 6, workers: 2, maxRestarts: 20, data };
    const onNote = (text: string): void => {
      if (/starting the workers again/.test(text)) samples.push(residentMiB());
    };
    const { summary } = await trainRun({ ...options, out: join(directory, 'restarts'), onNote });
    expect(summary.steps).toBe(6);
  } finally {
    delete process.env['MNIST_DDP_FAULT'];
  }
  expect(samples).toHaveLength(20);
  expect(growthOf('20 restarts', samples.slice(3))).toBeLessThan(boundMiB);
});

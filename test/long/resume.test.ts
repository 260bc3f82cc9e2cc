/** Stopping after any step, and going on with any number of workers; test/built/training/training.test.ts has some of each. */
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Summary } from '../../src/index.js';
import { metricsOf, temporaryRuns, trainRun } from '../support/processes/runs.js';

const { directory, data } = await temporaryRuns(38, 20);

/** Two epochs of 3 steps: 16, 16 and 6 rows. */
const config = { batchSize: 16, microBatch: 2, epochs: 2, seed: 9, workers: 2 };
const stops = [1, 2, 3, 4, 5];

describe.each([
  { batchNorm: 'sync', others: [1, 2, 3, 4, 5] },
  { batchNorm: 'local', others: [2] },
] as const)('batch norm $batchNorm', ({ batchNorm, others }) => {
  let whole: Summary;
  beforeAll(async () => {
    ({ summary: whole } = await trainRun({ ...config, batchNorm, data, out: join(directory, batchNorm) }));
  });

  it('goes on after every single step in turn', async () => {
    const out = join(directory, `${batchNorm}-in-turn`);
    let { summary } = await trainRun({ ...config, batchNorm, data, out, maxSteps: 1 });
    for (let stop = 2; stop <= stops.length + 1; stop++) {
      ({ summary } = await trainRun({ resume: out, data, workers: config.workers, maxSteps: stop }));
    }
    expect(summary.stateSha256).toBe(whole.stateSha256);
    expect(await metricsOf(out)).toEqual(await metricsOf(whole.out));
  });

  it.each(stops.flatMap((stop) => others.map((workers) => ({ stop, workers }))))(
    'goes on after step $stop with $workers workers to the state and the metrics of the run that was never stopped',
    async ({ stop, workers }) => {
      const folder = join(directory, `${batchNorm}-${String(stop)}-${String(workers)}`);
      await trainRun({ ...config, batchNorm, data, out: folder, maxSteps: stop });
      const { summary } = await trainRun({ resume: folder, data, workers });
      expect(summary.stateSha256).toBe(whole.stateSha256);
      expect(await metricsOf(folder)).toEqual(await metricsOf(whole.out));
    },
  );
});

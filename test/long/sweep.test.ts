/** The whole sweep of faults, and many kills; test/built/training/survival.test.ts has some of each. */
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import type { Summary } from '../../src/index.js';
import { everyFault, survive } from '../support/processes/faults.js';
import { writeIdxSet } from '../support/inputs/idx-files.js';
import { liveAndDie } from '../support/processes/kills.js';
import { temporaryRuns, trainRun } from '../support/processes/runs.js';

const { directory, data } = await temporaryRuns(74, 37);

const config = { batchSize: 32, microBatch: 2, epochs: 2, seed: 9, workers: 3, timeout: 1 };
let whole: Summary;

beforeAll(async () => {
  ({ summary: whole } = await trainRun({ ...config, workers: 1, data, out: join(directory, 'whole') }));
});

it.each(everyFault)('$kind in $phase of step $step on rank $rank', async (fault) => {
  const out = join(directory, Object.values(fault).join('-'));
  const { parametersSha256, stateSha256 } = await survive(fault, { ...config, data, out });
  expect([parametersSha256, stateSha256]).toEqual([whole.parametersSha256, whole.stateSha256]);
});

it('a process that is killed 20 times at random moments ends with the undisturbed hash', async () => {
  const folder = join(directory, 'killed');
  const longData = await writeIdxSet(join(directory, 'long'), 1600, 20);
  const flags = '--batch-size 8 --micro-batch 2 --epochs 1 --seed 5'.split(' ');
  expect(await liveAndDie(20, longData, folder, flags)).toBeLessThan(200);
  const killed = await trainRun({ resume: folder, data: longData, workers: 3 });
  const options = { batchSize: 8, microBatch: 2, epochs: 1, seed: 5, workers: 2, data: longData };
  const undisturbed = await trainRun({ ...options, out: join(directory, 'undisturbed') });
  expect(killed.summary.stateSha256).toBe(undisturbed.summary.stateSha256);
});

/** The whole sweep of faults; test/survival.test.ts has a part of it. */
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Summary } from '../../dist/index.js';
import { everyFault, survive } from '../support/faults.js';
import { temporaryDataset } from '../support/idx-files.js';
import { trainRun } from '../support/runs.js';

const config = { batchSize: 32, microBatch: 2, epochs: 2, seed: 9, workers: 3, timeout: 1 };
let directory: string;
let remove: () => Promise<void>;
let data: string;
let whole: Summary;

beforeAll(async () => {
  ({ directory, data, remove } = await temporaryDataset(74, 37));
  ({ summary: whole } = await trainRun({ ...config, workers: 1, data, out: join(directory, 'whole') }));
});
afterAll(async () => {
  await remove();
});

it.each(everyFault)('$kind in $phase of step $step on rank $rank', async (fault) => {
  const out = join(directory, Object.values(fault).join('-'));
  const { parametersSha256, stateSha256 } = await survive(fault, { ...config, data, out });
  expect([parametersSha256, stateSha256]).toEqual([whole.parametersSha256, whole.stateSha256]);
});

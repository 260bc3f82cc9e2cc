// A run that stops half-way, and goes on with another number of workers to the hash of the one that never stopped.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { train } from 'mnist-ddp';

/** The summary of a run. */
async function summaryOf(options) {
  let summary;
  for await (const metric of train({ seed: 1, ...options })) if (metric.kind === 'summary') summary = metric;
  return summary;
}

const folder = await mkdtemp(join(tmpdir(), 'mnist-ddp-'));
try {
  const whole = await summaryOf({ workers: 1, maxSteps: 10, out: join(folder, 'whole') });
  const out = join(folder, 'stopped');
  await summaryOf({ workers: 2, maxSteps: 5, out });
  // The configuration is the checkpoint's; it goes on in its own folder.
  const resumed = await summaryOf({ workers: 1, maxSteps: 10, resume: out });
  console.log(`one after the other  ${whole.parametersSha256}`);
  console.log(`stopped and resumed  ${resumed.parametersSha256}`);
} finally {
  await rm(folder, { recursive: true });
}

// From the start of the process to the first step that is committed, and the most memory that 20 steps and an evaluation take.
//
//   node bench/startup.mjs [--workers 2]
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { train } from '../dist/index.js';

const { values } = parseArgs({ options: { workers: { type: 'string', default: '2' } } });
const folder = await mkdtemp(join(tmpdir(), 'mnist-ddp-startup-'));
let first;
try {
  const options = { workers: Number(values.workers), seed: 1, maxSteps: 20, out: join(folder, 'run') };
  // performance.now() counts from the start of the process.
  const onProgress = ({ step }) => (first ??= { step, ms: performance.now() });
  for await (const metric of train({ ...options, onProgress })) void metric;
} finally {
  await rm(folder, { recursive: true });
}
const peak = process.resourceUsage().maxRSS / 1024;
console.log(`${first.ms.toFixed(0)} ms until step ${first.step} was committed, ${peak.toFixed(0)} MiB at most`);

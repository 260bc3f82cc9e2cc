// What a user would pick instead, measured against ours on this machine: blocks of training steps in turns with each rival.
//
//   npm run bench:compare -- [--workers 2] [--rounds 9] [--steps 4] [--python python3] [--rival PART ...] [--json FILE]
//
// Each rival of bench/rivals.mjs is started, warmed up, and trains a block of steps after each of ours; the ratio is the
// median over these pairs, so that a drifting machine favours none. One that cannot be had here is listed with the reason.
// Prints a table in Markdown; `--json` also writes all figures to a file, which scripts/plot-benchmark.mjs draws.
import { writeFile } from 'node:fs/promises';
import { cpus, loadavg } from 'node:os';
import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { defaultConfig } from '../dist/shared/model/config.js';
import { median, startOurs } from './figures.mjs';
import { RivalError, rivalsFor, startRival } from './rivals.mjs';

const { values } = parseArgs({
  options: {
    workers: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '9' },
    steps: { type: 'string', default: '4' },
    python: { type: 'string', default: process.env.MNIST_DDP_PYTHON ?? 'python3' },
    rival: { type: 'string', multiple: true, default: [''] },
    json: { type: 'string' },
  },
});
const [workers, rounds, steps] = [values.workers, values.rounds, values.steps].map(Number);

/** images/s of a block of ours. */
async function runOurs(ours) {
  const start = performance.now();
  const images = await ours.run(steps);
  return (1000 * images) / (performance.now() - start);
}

/** images/s of a block of theirs. */
async function runTheirs(running, count) {
  const { imagesPerSecond, loss } = await running.run(count);
  if (!Number.isFinite(loss)) throw new RivalError(`its loss is ${loss}`);
  return imagesPerSecond;
}

async function measure(ours, rival) {
  const plan = { rounds, steps, batchSize: defaultConfig.batchSize, ...rival };
  const running = await startRival(rival);
  try {
    const pairs = [];
    for (let round = 0; round < plan.rounds; round++) {
      pairs.push({ ours: await runOurs(ours), theirs: await runTheirs(running, plan.steps) });
    }
    const ratios = pairs.map((pair) => pair.ours / pair.theirs);
    return {
      version: running.about.version,
      threads: running.about.threads * (running.about.ddp ?? 1),
      batchSize: plan.batchSize,
      rounds: plan.rounds,
      steps: plan.steps,
      imagesPerSecond: median(pairs.map((pair) => pair.theirs)),
      oursImagesPerSecond: median(pairs.map((pair) => pair.ours)),
      ratio: { median: median(ratios), least: Math.min(...ratios), most: Math.max(...ratios) },
    };
  } finally {
    await running.close();
  }
}

/** The rival's figures, or why there are none. */
async function measureIfAvailable(ours, rival) {
  const { library, name } = rival;
  try {
    return { library, name, ...(await measure(ours, rival)) };
  } catch (error) {
    if (!(error instanceof RivalError)) throw error;
    return { library, name, unavailable: error.message };
  }
}

const three = (value) => String(value >= 100 ? Math.round(value) : Number(value.toPrecision(3)));

function rowOf({ library, name, unavailable, ...figures }) {
  if (unavailable !== undefined) return `| ${library}, ${name} | | | not available: ${unavailable} | | |`;
  const { threads, batchSize, imagesPerSecond, oursImagesPerSecond, ratio } = figures;
  const spread = figures.rounds > 1 ? ` (${three(ratio.least)}..${three(ratio.most)})` : '';
  const speeds = `${three(imagesPerSecond)} | ${three(oursImagesPerSecond)}`;
  return `| ${library}, ${name} | ${threads} | ${batchSize} | ${speeds} | ${three(ratio.median)}${spread} |`;
}

const rivals = rivalsFor(workers, values.python).filter(({ library, name }) =>
  values.rival.some((part) => `${library}, ${name}`.includes(part)),
);
const load = loadavg()[0];
if (load > 0.5)
  console.error(`other work on this machine (load ${load.toFixed(1)}): take no figure of this run for a result`);
const cpu = cpus()[0]?.model;
const ours = await startOurs(workers);
const { simdBits } = ours;
const vectors = `${simdBits}-bit vectors`;
console.log(`${cpu}, Node ${process.version}, ${vectors}, ${workers} workers, ${rounds} rounds of ${steps} steps\n`);
console.log(
  '| rival | threads | batch | images/s | mnist-ddp images/s | ratio |\n| --- | --- | --- | --- | --- | --- |',
);
const measured = [];
try {
  for (const rival of rivals) {
    const figures = await measureIfAvailable(ours, rival);
    console.log(rowOf(figures));
    measured.push(figures);
  }
} finally {
  await ours.close();
}
if (values.json !== undefined) {
  const blocks = measured
    .filter(({ unavailable }) => unavailable === undefined)
    .map((rival) => rival.oursImagesPerSecond);
  const run = {
    cpu,
    node: process.version,
    simdBits,
    load,
    workers,
    batchSize: defaultConfig.batchSize,
    rounds,
    steps,
  };
  const result = { ...run, imagesPerSecond: median(blocks), rivals: measured };
  await writeFile(values.json, `${JSON.stringify(result, null, 2)}\n`);
}

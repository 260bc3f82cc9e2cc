// The price of exactness: the default configuration against the fastest one, which gives up equal bits.
//
//   npm run bench:exactness -- [--workers 2] [--pairs 9] [--steps 4] [--json]
//
// The fastest takes each worker's shard as one micro-batch and normalises by it (`--batch-norm local --micro-batch
// 128/workers`): no tree and no exchange of statistics. Both train blocks of steps in turn, and which of them goes first
// alternates, so that a drifting machine favours none; the price is the median over the pairs of the ratio of their times.
// The fastest single step of each is shown beside it: other work on the machine only ever adds time, so on a busy one, where
// the pairs scatter, these two say more. They are no substitute for a run on an idle machine.
import { cpus } from 'node:os';
import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { defaultConfig } from '../dist/shared/model/config.js';
import { median, startOurs } from './figures.mjs';

const { values } = parseArgs({
  options: {
    workers: { type: 'string', default: '2' },
    pairs: { type: 'string', default: '9' },
    steps: { type: 'string', default: '4' },
    json: { type: 'boolean', default: false },
  },
});
const [workers, pairs, steps] = [values.workers, values.pairs, values.steps].map(Number);
const microBatch = Math.ceil(defaultConfig.batchSize / workers);

async function start(name, config) {
  return { name, group: await startOurs(workers, config), stepMs: [], fastestMs: Infinity };
}

async function measure(contender) {
  const from = performance.now();
  await contender.group.run(steps, ({ reports }) => {
    const slowestRank = Math.max(...reports.map((report) => report.stepMs[0]));
    contender.fastestMs = Math.min(contender.fastestMs, slowestRank);
  });
  contender.stepMs.push((performance.now() - from) / steps);
}

const contenders = [];
try {
  contenders.push(await start('exact (default)', {}));
  contenders.push(await start(`local, micro-batch ${microBatch}`, { batchNorm: 'local', microBatch }));
  for (let pair = 0; pair < pairs; pair++) {
    for (const contender of pair % 2 === 0 ? contenders : [...contenders].reverse()) await measure(contender);
  }
} finally {
  for (const { group } of contenders) await group.close();
}
const [exact, fastest] = contenders;
const ratios = exact.stepMs.map((ms, pair) => ms / fastest.stepMs[pair]);
const result = {
  cpu: cpus()[0]?.model,
  workers,
  pairs,
  steps,
  stepMs: Object.fromEntries(contenders.map(({ name, stepMs }) => [name, median(stepMs)])),
  fastestStepMs: Object.fromEntries(contenders.map(({ name, fastestMs }) => [name, fastestMs])),
  fastestStepRatio: exact.fastestMs / fastest.fastestMs,
  ratio: median(ratios),
  smallest: Math.min(...ratios),
  largest: Math.max(...ratios),
};
if (values.json) console.log(JSON.stringify(result));
else {
  console.log(
    `${result.cpu}, ${workers} workers, ${pairs} pairs of ${steps} steps of ${defaultConfig.batchSize} images`,
  );
  for (const { name, stepMs, fastestMs } of contenders) {
    console.log(`${name}: ${median(stepMs).toFixed(1)} ms a step (median), ${fastestMs.toFixed(1)} ms the fastest`);
  }
  const spread = `${result.smallest.toFixed(3)}..${result.largest.toFixed(3)}`;
  console.log(`time of exact over fastest, pair by pair: median ${result.ratio.toFixed(3)} (${spread})`);
  console.log(`of the fastest step of each: ${result.fastestStepRatio.toFixed(3)}`);
}

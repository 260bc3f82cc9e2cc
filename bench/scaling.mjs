// Where training would stop scaling: a model of the step for 1 to 16 workers, from what one and two workers measure.
//
//   node dist/cli.js bench --workers 1,2 --steps 40 --json | node bench/scaling.mjs
//
// docs/performance.md explains it. A step takes as long as its slowest rank:
//
//   compute    C * ceil(leaves / W) / leaves     whole micro-batches; C: compute of one worker
//   optimiser  O * work                          work: share of the rank with the most of it; O: of one worker
//   all-reduce R * (subtrees - 1) * share        share: of the accumulators, the most that a rank owns; R: adding one
//                                                accumulator to another, from two workers
//   waiting    8 * w * log2(W)                   6 exchanges of statistics and 2 barriers; w: one wait of two workers
//
// Every core is taken to be as fast as one alone. How far that is from the truth with two is in the last line.
import { text } from 'node:stream/consumers';
import { ownedUnits, planBatch, workOf } from '../dist/shared/sums/batch-plan.js';
import { defaultConfig } from '../dist/shared/model/config.js';
import { leafCount } from '../dist/shared/sums/tree.js';
import { loadEngine } from '../dist/worker/engines/registry.js';

const workerCounts = [1, 2, 3, 4, 6, 8, 12, 16];
const waits = 8;
const { batchSize, microBatch } = defaultConfig;
const leaves = leafCount(batchSize, microBatch);
const { units } = await loadEngine('wasm');

/** The largest part that a rank has in its units of the sum of `size` over all units. */
function largestShare(size, workers) {
  const sum = (owned) => owned.reduce((total, unit) => total + size(units[unit]), 0);
  const ranks = Array.from({ length: workers }, (_, rank) => sum(ownedUnits(units, rank, workers)));
  return Math.max(...ranks) / sum(ownedUnits(units, 0, 1));
}

/** Additions of two accumulators that are left once each rank has summed its own subtrees. */
function additions(workers) {
  return planBatch(batchSize, leaves, 0, workers).merges.length;
}

/** ms of each constant, from the rows of `bench --json`. */
function fit(rows) {
  const [one, two] = [1, 2].map((workers) => rows.find((row) => row.workers === workers));
  if (one === undefined || two === undefined) throw new Error('it needs the rows of --workers 1,2');
  const ms = ({ stepMsP50, share }, part) => stepMsP50 * share[part];
  return {
    compute: ms(one, 'compute'),
    optimiser: ms(one, 'optimiser'),
    // The mean over ranks, which own a half each on average.
    addition: ms(two, 'allReduce') / (additions(2) / 2),
    wait: ms(two, 'waiting') / waits,
    measured: { one: one.stepMsP50, two: two.stepMsP50, computeOfTwo: ms(two, 'compute') },
  };
}

function predict(workers, { compute, optimiser, addition, wait }) {
  const parts = {
    compute: (compute * Math.ceil(leaves / workers)) / leaves,
    optimiser: optimiser * largestShare(workOf, workers),
    allReduce: addition * additions(workers) * largestShare(({ accumulator }) => accumulator.length, workers),
    waiting: waits * wait * Math.log2(workers),
  };
  return { workers, ...parts, step: Object.values(parts).reduce((sum, part) => sum + part) };
}

function show(constants) {
  const predictions = workerCounts.map((workers) => predict(workers, constants));
  const [{ step: single }, { step: double }] = predictions;
  const ms = (value) => value.toFixed(1);
  const { compute, optimiser, addition, wait, measured } = constants;
  console.log(
    `C ${ms(compute)} ms, O ${optimiser.toFixed(2)} ms, R ${addition.toFixed(2)} ms, w ${wait.toFixed(3)} ms\n`,
  );
  console.log('| workers | compute, ms | optimiser | all-reduce | waiting | step | speed-up | efficiency |');
  console.log('| --- | --- | --- | --- | --- | --- | --- | --- |');
  for (const { workers, step, ...parts } of predictions) {
    const cells = [parts.compute, parts.optimiser, parts.allReduce, parts.waiting, step].map(ms);
    const speedUp = single / step;
    const efficiency = `${((100 * speedUp) / workers).toFixed(0)} %`;
    console.log(`| ${[workers, ...cells, speedUp.toFixed(2), efficiency].join(' | ')} |`);
  }
  const slowdown = 100 * (measured.computeOfTwo / (compute / 2) - 1);
  console.log(
    `\ntwo workers: predicted ${ms(double)} ms a step, measured ${ms(measured.two)} (speed-up ` +
      `${(measured.one / measured.two).toFixed(2)}); half of the compute takes ${slowdown.toFixed(1)} % more than half of C`,
  );
}

try {
  show(fit(JSON.parse(await text(process.stdin))));
} catch (error) {
  console.error(`scaling: ${error.message}; pipe mnist-ddp bench --workers 1,2 --json into this`);
  process.exitCode = 1;
}

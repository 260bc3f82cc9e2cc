// What the rivals in JavaScript share: options, batches, and the protocol of bench/compare.mjs, which bench/pytorch.py keeps too.
//
//   node bench/RIVAL.mjs [--steps 20] [--warmup 3] [--batch-size 128]    prints one line of JSON and ends
//   node bench/RIVAL.mjs --serve [--warmup 3] [--batch-size 128]         runs as many steps as each line on stdin says
//
// A line holds images, seconds (of the measured steps), imagesPerSecond and loss (of the last step); with --serve the first
// line, after the warm-up, is {"ready": true, ...}. In between a rival computes nothing. What it lacks to run is one line on
// stderr and exit code 1.
import { performance } from 'node:perf_hooks';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { locateDataset, openDataset } from '../../dist/coordinator/node/dataset-files.js';
import { imagePixels } from '../../dist/shared/model/network.js';

/** Batches that are prepared beforehand, and then used again and again. */
const batchCount = 16;

/**
 * Runs a rival as the command line says.
 * @param start (values of the options) -> { about, step }: `about` is what was run, and
 *   `step(images float32 [batchSize * 784], labels int32 [batchSize], batchSize)` trains a batch, which is then its own, and
 *   resolves with the loss once all results are there
 */
export async function runRival(options, start) {
  try {
    const { values } = parseArgs({
      options: {
        steps: { type: 'string', default: '20' },
        warmup: { type: 'string', default: '3' },
        'batch-size': { type: 'string', default: '128' },
        serve: { type: 'boolean', default: false },
        ...options,
      },
    });
    const [steps, warmup, batchSize] = [values.steps, values.warmup, values['batch-size']].map(atLeastOne);
    const { about, step } = await start(values);
    const train = await trainer(step, batchSize);
    await train(warmup);
    if (values.serve) await serve(about, train);
    else print({ ...about, batchSize, ...(await train(steps)) });
  } catch (error) {
    console.error(error.message);
    process.exitCode = 1;
  }
}

async function serve(about, train) {
  print({ ready: true, ...about });
  for await (const line of createInterface({ input: process.stdin })) print(await train(atLeastOne(line)));
}

async function trainer(step, batchSize) {
  const { images, labels } = await loadRows(batchCount * batchSize);
  let batch = 0;
  return async (steps) => {
    let loss = NaN;
    const start = performance.now();
    for (let done = 0; done < steps; done++, batch = (batch + 1) % batchCount) {
      const [from, end] = [batch * batchSize, (batch + 1) * batchSize];
      loss = await step(images.slice(from * imagePixels, end * imagePixels), labels.slice(from, end), batchSize);
    }
    const seconds = (performance.now() - start) / 1000;
    return { images: steps * batchSize, seconds, imagesPerSecond: (steps * batchSize) / seconds, loss };
  };
}

/** The first rows of MNIST's training split. */
async function loadRows(count) {
  const dataset = await openDataset(await locateDataset(undefined));
  const { trainCount, testCount } = dataset;
  const offsets = { trainImages: 0, trainLabels: trainCount * imagePixels };
  offsets.testImages = offsets.trainLabels + trainCount;
  offsets.testLabels = offsets.testImages + testCount * imagePixels;
  const bytes = new SharedArrayBuffer(offsets.testLabels + testCount);
  await dataset.load(bytes, offsets);
  return {
    images: Float32Array.from(new Uint8Array(bytes, 0, count * imagePixels)),
    labels: Int32Array.from(new Uint8Array(bytes, offsets.trainLabels, count)),
  };
}

function atLeastOne(text) {
  if (/^[1-9]\d*$/.test(text)) return Number(text);
  throw new Error(`expected a number of at least 1, got ${JSON.stringify(text)}`);
}

function print(report) {
  console.log(JSON.stringify(report));
}

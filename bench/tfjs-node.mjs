// A plain TensorFlow.js training loop of the same network, as one would write it for @tensorflow/tfjs-node: one process, layers,
// the built-in batch normalisation and Adam, batches of 128. TensorFlow spreads each operation over all cores by itself.
//
//   node bench/tfjs-node.mjs [--steps 20] [--batch-size 128] [--json]
//
// Prints images/s of the median step; `bench --engine tfjs-node` gives the engine's. TensorFlow is looked for where the engine
// looks: MNIST_DDP_TFJS_NODE, the project's node_modules, .tfjs-node.
import { cpus } from 'node:os';
import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { locateDataset, openDataset } from '../dist/coordinator/dataset.js';
import { findLibraries } from '../dist/library/tensorflow-packages.js';
import { loadTensorFlow } from '../dist/worker/engines/registry.js';

const { values } = parseArgs({
  options: {
    steps: { type: 'string', default: '20' },
    'batch-size': { type: 'string', default: '128' },
    json: { type: 'boolean', default: false },
  },
});
const [steps, batchSize] = [values.steps, values['batch-size']].map(Number);
const warmUpSteps = 3;

/** The network of src/shared/network.ts. */
function buildModel(tf) {
  const { conv2d, maxPooling2d, batchNormalization, flatten, dense } = tf.layers;
  const convolution = (filters, options) => conv2d({ filters, kernelSize: 3, activation: 'relu', ...options });
  const pool = () => maxPooling2d({ poolSize: 2 });
  const norm = () => batchNormalization({ momentum: 0.9, epsilon: 1e-5 });
  const layers = [
    ...[convolution(64, { inputShape: [28, 28, 1] }), convolution(64), pool(), norm()],
    ...[convolution(128), convolution(128), pool(), norm()],
    ...[convolution(256), pool(), norm()],
    ...[flatten(), dense({ units: 512, activation: 'relu' }), dense({ units: 10, activation: 'softmax' })],
  ];
  const model = tf.sequential({ layers });
  // The workload's loss: cross-entropy of softmax outputs taken as logits.
  const loss = (labels, outputs) => tf.losses.softmaxCrossEntropy(labels, outputs);
  model.compile({ optimizer: tf.train.adam(1e-3, 0.9, 0.999, 1e-8), loss });
  return model;
}

async function loadRows(count) {
  const dataset = await openDataset(await locateDataset(undefined));
  const { trainCount, testCount } = dataset;
  const offsets = { trainImages: 0, trainLabels: trainCount * 784 };
  offsets.testImages = offsets.trainLabels + trainCount;
  offsets.testLabels = offsets.testImages + testCount * 784;
  const bytes = new SharedArrayBuffer(offsets.testLabels + testCount);
  await dataset.load(bytes, offsets);
  return {
    images: Float32Array.from(new Uint8Array(bytes, 0, count * 784)),
    labels: Int32Array.from(new Uint8Array(bytes, offsets.trainLabels, count)),
  };
}

const median = (list) => {
  const sorted = [...list].sort((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)];
  return sorted.length % 2 === 1 ? upper : (upper + sorted[sorted.length / 2 - 1]) / 2;
};

process.env.TF_CPP_MIN_LOG_LEVEL ??= '2';
const search = findLibraries('tfjs-node');
if (!search.found) {
  console.error(search.why);
  process.exit(1);
}
const { tf, version, libtensorflow } = await loadTensorFlow('tfjs-node', search.libraries);
const model = buildModel(tf);
const { images, labels } = await loadRows((warmUpSteps + steps) * batchSize);
const stepMs = [];
let loss = NaN;
for (let step = 0; step < warmUpSteps + steps; step++) {
  const start = performance.now();
  const rows = images.subarray(step * batchSize * 784, (step + 1) * batchSize * 784);
  const x = tf.tensor4d(rows, [batchSize, 28, 28, 1]);
  const y = tf.tidy(() => tf.oneHot(labels.subarray(step * batchSize, (step + 1) * batchSize), 10));
  loss = await model.trainOnBatch(x, y);
  tf.dispose([x, y]);
  if (step >= warmUpSteps) stepMs.push(performance.now() - start);
}
const imagesPerSecond = (1000 * batchSize) / median(stepMs);
const result = { cpu: cpus()[0]?.model, tfjs: version, libtensorflow, batchSize, steps, imagesPerSecond, loss };
if (values.json) console.log(JSON.stringify(result));
else {
  console.log(
    `${result.cpu}, TensorFlow.js ${version} on libtensorflow ${libtensorflow}, ${steps} steps of ${batchSize} images`,
  );
  console.log(
    `${imagesPerSecond.toFixed(0)} images/s, median step ${median(stepMs).toFixed(0)} ms, loss ${loss.toFixed(4)}`,
  );
}

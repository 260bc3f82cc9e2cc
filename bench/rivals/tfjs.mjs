// A plain TensorFlow.js training loop of the same network, to compare with: layers, the built-in batch normalisation and Adam.
//
//   node bench/rivals/tfjs.mjs --backend node|wasm|cpu    and the options of bench/rivals/rival.mjs
//
// node is libtensorflow, looked for where the engine looks: MNIST_DDP_TFJS_NODE, the project's node_modules, .tfjs-node. It
// spreads each operation over TF_NUM_INTRAOP_THREADS threads, by default all cores. wasm and cpu have one thread in Node.
import { availableParallelism } from 'node:os';
import { initialiseParameters } from '../../dist/coordinator/session/initialisation.js';
import { findLibraries } from '../../dist/library/engines/packages.js';
import {
  batchNormEpsilon,
  batchNormMomentum,
  batchNorms,
  classes,
  imageSize,
  parameterCount,
  parameters,
} from '../../dist/shared/model/network.js';
import { adamDefaults } from '../../dist/shared/model/schedule.js';
import { loadTensorFlow } from '../../dist/worker/engines/registry.js';
import { runRival } from './rival.mjs';

const learningRate = 1e-3;

const backends = {
  node: async () => {
    process.env.TF_CPP_MIN_LOG_LEVEL ??= '2';
    const search = findLibraries('tfjs-node');
    if (!search.found) throw new Error(search.why);
    const { tf, version, libtensorflow } = await loadTensorFlow('tfjs-node', search.libraries);
    return {
      tf,
      about: { version, libtensorflow, threads: Number(process.env.TF_NUM_INTRAOP_THREADS ?? availableParallelism()) },
    };
  },
  wasm: async () => {
    const tf = await import('@tensorflow/tfjs');
    const { getThreadsCount } = await import('@tensorflow/tfjs-backend-wasm');
    await activate(tf, 'wasm');
    completeWasm(tf);
    const simd = await tf.env().getAsync('WASM_HAS_SIMD_SUPPORT');
    return { tf, about: { version: tf.version_core, simd, threads: getThreadsCount() } };
  },
  cpu: async () => {
    const tf = await import('@tensorflow/tfjs');
    await activate(tf, 'cpu');
    return { tf, about: { version: tf.version_core, threads: 1 } };
  },
};

async function activate(tf, backend) {
  if (!(await tf.setBackend(backend))) throw new Error(`TensorFlow.js cannot start its ${backend} backend`);
}

/**
 * The wasm backend has no kernel for the gradient of a convolution's filter, so nothing with one trains on it. This makes one
 * of kernels that it has: the filter's gradient is the convolution of the input with that of the output, rows as channels.
 */
function completeWasm(tf) {
  if (tf.getKernel('Conv2DBackpropFilter', 'wasm') !== undefined) return;
  const kernelFunc = ({ inputs: { x, dy }, attrs: { strides, pad } }) => {
    if ([strides].flat().some((stride) => stride !== 1) || pad !== 'valid') throw new Error('for stride 1, unpadded');
    return tf.tidy(() => {
      const [image, window] = [tf.transpose(x, [3, 1, 2, 0]), tf.transpose(dy, [1, 2, 0, 3])];
      return tf.transpose(tf.conv2d(image, window, 1, 'valid'), [1, 2, 0, 3]);
    });
  };
  tf.registerKernel({ kernelName: 'Conv2DBackpropFilter', backendName: 'wasm', kernelFunc });
}

/** The network of src/shared/network.ts. */
function buildModel(tf) {
  const { conv2d, maxPooling2d, batchNormalization, flatten, dense } = tf.layers;
  const convolution = (filters, options) => conv2d({ filters, kernelSize: 3, activation: 'relu', ...options });
  const pool = () => maxPooling2d({ poolSize: 2 });
  const norm = () => batchNormalization({ momentum: 1 - batchNormMomentum, epsilon: batchNormEpsilon });
  const layers = [
    ...[convolution(64, { inputShape: [imageSize, imageSize, 1] }), convolution(64), pool(), norm()],
    ...[convolution(128), convolution(128), pool(), norm()],
    ...[convolution(256), pool(), norm()],
    ...[flatten(), dense({ units: 512, activation: 'relu' }), dense({ units: classes, activation: 'softmax' })],
  ];
  const model = tf.sequential({ layers });
  // The workload's loss: cross-entropy of softmax outputs taken as logits.
  const loss = (labels, outputs) => tf.losses.softmaxCrossEntropy(labels, outputs);
  const { beta1, beta2, epsilon } = adamDefaults;
  model.setWeights(initialWeights(tf));
  model.compile({ optimizer: tf.train.adam(learningRate, beta1, beta2, epsilon), loss });
  return model;
}

/** In the order and the layouts of the model: trainable weights layer by layer, then running statistics. */
function initialWeights(tf) {
  const values = new Float32Array(parameterCount);
  initialiseParameters(values, 0);
  const trainable = parameters.map(({ offset, length, shape }) => {
    const tensor = tf.tensor(values.subarray(offset, offset + length), shape);
    return tf.transpose(tensor, { 1: [0], 2: [1, 0], 4: [2, 3, 1, 0] }[shape.length]);
  });
  const running = batchNorms.flatMap(({ channels }) => [tf.zeros([channels]), tf.ones([channels])]);
  return [...trainable, ...running];
}

await runRival({ backend: { type: 'string' } }, async ({ backend }) => {
  const open = backends[backend];
  if (open === undefined) throw new Error(`--backend must be one of ${Object.keys(backends).join(', ')}`);
  const { tf, about } = await open();
  const model = buildModel(tf);
  return {
    about: { backend, ...about },
    step: async (images, labels, rows) => {
      const x = tf.tensor4d(images, [rows, imageSize, imageSize, 1]);
      const y = tf.tidy(() => tf.oneHot(labels, classes));
      const loss = await model.trainOnBatch(x, y);
      tf.dispose([x, y]);
      return loss;
    },
  };
});

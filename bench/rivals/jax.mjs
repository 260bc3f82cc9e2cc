// The same training in jax-js, to compare with: the whole step is one compiled function. bench/rivals/rival.mjs has the options.
//
// In Node jax-js has its `wasm` device, with one thread: its own threads are browsers' Workers.
import { readFile } from 'node:fs/promises';
import { initialiseParameters } from '../../dist/coordinator/session/initialisation.js';
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
import { runRival } from './rival.mjs';

const learningRate = 1e-3;
const { beta1, beta2, epsilon } = adamDefaults;

// jax-js counts references: each use of an array but its last takes a `ref`.

/** The network of src/shared/network.ts with the loss of a batch: (weights, pixels, labels) -> [loss, statistics]. */
function lossOf({ numpy: np, lax, nn }) {
  const channelwise = (vector) => vector.reshape([1, -1, 1, 1]);
  const convolve = (x, weights, name) => {
    const products = lax.conv(x, weights[`${name}.weight`].ref, [1, 1], 'VALID');
    return nn.relu(products.add(channelwise(weights[`${name}.bias`].ref)));
  };
  const pool = (x) => {
    const [rows, channels, height, width] = x.shape;
    return np.max(x.reshape([rows, channels, height / 2, 2, width / 2, 2]), [3, 5]);
  };
  const normalise = (x, weights, name, statistics) => {
    const mean = x.ref.mean([0, 2, 3], { keepdims: true });
    const centred = x.sub(mean.ref);
    const variance = np.square(centred.ref).mean([0, 2, 3], { keepdims: true });
    statistics[name] = { mean, variance: variance.ref };
    const scale = channelwise(weights[`${name}.weight`].ref).div(np.sqrt(variance.add(batchNormEpsilon)));
    return centred.mul(scale).add(channelwise(weights[`${name}.bias`].ref));
  };
  const linear = (x, weights, name) => {
    return np.matmul(x, weights[`${name}.weight`].ref.transpose()).add(weights[`${name}.bias`].ref);
  };
  return (weights, pixels, labels) => {
    const statistics = {};
    let x = convolve(pixels, weights, 'conv1');
    x = normalise(pool(convolve(x, weights, 'conv2')), weights, 'bn2', statistics);
    x = convolve(x, weights, 'conv3');
    x = normalise(pool(convolve(x, weights, 'conv4')), weights, 'bn4', statistics);
    x = normalise(pool(convolve(x, weights, 'conv5')), weights, 'bn5', statistics);
    x = nn.relu(linear(x.reshape([x.shape[0], -1]), weights, 'linear1'));
    const outputs = nn.softmax(linear(x, weights, 'linear2'), -1);
    const logProbabilities = nn.logSoftmax(outputs, -1);
    const loss = logProbabilities.mul(nn.oneHot(labels, classes)).sum(-1).mean().neg();
    for (const array of Object.values(weights)) array.dispose();
    return [loss, statistics];
  };
}

/**
 * (state, pixels, labels, adam) -> [loss, next state], with Adam and the running statistics. adam.rate is the learning rate
 * over 1 - beta1^t, adam.scale is 1 / sqrt(1 - beta2^t).
 */
function stepOf(jax) {
  const { numpy: np, tree } = jax;
  const gradientOf = jax.valueAndGrad(lossOf(jax), { hasAux: true });
  const blend = (old, fresh, share) => old.mul(1 - share).add(fresh.mul(share));
  return ({ weights, first, second, running }, pixels, labels, adam) => {
    const [[loss, statistics], gradients] = gradientOf(tree.ref(weights), pixels, labels);
    const nextFirst = tree.map((m, g) => blend(m, g.ref, 1 - beta1), first, gradients);
    const nextSecond = tree.map((v, g) => blend(v, np.square(g), 1 - beta2), second, gradients);
    const update = (w, m, v) => {
      const root = np.sqrt(v.ref).mul(adam.scale.ref);
      return w.sub(m.ref.mul(adam.rate.ref).div(root.add(epsilon)));
    };
    const nextWeights = tree.map(update, weights, nextFirst, nextSecond);
    tree.dispose(adam);
    const nextRunning = tree.map((old, fresh) => blend(old, fresh, batchNormMomentum), running, statistics);
    return [loss, { weights: nextWeights, first: nextFirst, second: nextSecond, running: nextRunning }];
  };
}

function initialState(np) {
  const values = new Float32Array(parameterCount);
  initialiseParameters(values, 0);
  const tensors = (arrayOf) => Object.fromEntries(parameters.map((parameter) => [parameter.name, arrayOf(parameter)]));
  const zeros = () => tensors(({ shape }) => np.zeros([...shape]));
  const running = ({ name, channels }) => {
    return [name, { mean: np.zeros([1, channels, 1, 1]), variance: np.ones([1, channels, 1, 1]) }];
  };
  return {
    weights: tensors(({ offset, length, shape }) =>
      np.array(values.slice(offset, offset + length)).reshape([...shape]),
    ),
    first: zeros(),
    second: zeros(),
    running: Object.fromEntries(batchNorms.map(running)),
  };
}

await runRival({}, async () => {
  const jax = await import('@jax-js/jax');
  const manifest = new URL('../package.json', import.meta.resolve('@jax-js/jax'));
  // Without a name it also tries WebGPU, and throws where there is no `navigator`, as in Node 20.
  await jax.init('wasm');
  const trainStep = jax.jit(stepOf(jax));
  let state = initialState(jax.numpy);
  let steps = 0;
  return {
    about: { version: JSON.parse(await readFile(manifest, 'utf8')).version, threads: 1 },
    step: async (images, labels, rows) => {
      steps++;
      const { numpy: np } = jax;
      const adam = {
        rate: np.array(learningRate / (1 - beta1 ** steps)),
        scale: np.array(1 / Math.sqrt(1 - beta2 ** steps)),
      };
      const pixels = np.array(images).reshape([rows, 1, imageSize, imageSize]);
      let loss;
      [loss, state] = trainStep(state, pixels, np.array(labels), adam);
      await jax.blockUntilReady(state);
      return (await loss.data())[0];
    },
  };
});

/** What the parameters start from: a function of the seed alone. */
import { batchNormChannels, parameters } from '../../shared/model/network.js';
import { Philox } from '../../shared/model/philox.js';

/**
 * PyTorch's default initialisation: weights and biases of convolutions and linear layers uniform in +-1/sqrt(fanIn), batch
 * norms 1 and 0. `target` is the flat float32 array of all parameters.
 */
export function initialiseParameters(target: Float32Array, seed: number): void {
  parameters.forEach((parameter, index) => {
    const values = target.subarray(parameter.offset, parameter.offset + parameter.length);
    if (parameter.fanIn === 0) {
      values.fill(parameter.kind === 'weight' ? 1 : 0);
      return;
    }
    const random = new Philox(seed, 'initialisation', index);
    const bound = bounds[parameter.fanIn];
    if (bound === undefined) throw new Error(`no bound for a fan-in of ${String(parameter.fanIn)}`);
    for (let i = 0; i < values.length; i++) values[i] = (2 * random.uniform() - 1) * bound;
  });
}

/** 1/sqrt(fanIn), written out: Math.sqrt need not be the same on every machine. */
const bounds: Readonly<Record<number, number>> = {
  9: 1 / 3,
  256: 1 / 16,
  512: 0.044194173824159216,
  576: 1 / 24,
  1152: 0.029462782549439483,
};

/** Running mean 0 and variance 1, as one float32 array [2 * batchNormChannels]. */
export function initialiseRunningStatistics(target: Float32Array): void {
  target.fill(0, 0, batchNormChannels);
  target.fill(1, batchNormChannels);
}

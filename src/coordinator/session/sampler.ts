/** Which rows each batch takes, and what the parameters start from: both functions of the seed alone. */
import { batchNormChannels, parameters } from '../../shared/model/network.js';
import { Philox } from '../../shared/model/philox.js';

/** Rows of the training split, each list in order. */
export interface HeldOut {
  readonly trained: Uint32Array;
  readonly heldOut: Uint32Array;
}

/** Which `count` rows of `total` are held out: drawn by Fisher-Yates from the end, as functions of the seed and both numbers. */
export function holdOut(total: number, count: number, seed: number): HeldOut {
  const random = new Philox(seed, 'validation', 0);
  const rows = Uint32Array.from({ length: total }, (_, row) => row);
  for (let i = total - 1; i >= total - count; i--) swap(rows, i, random.below(i + 1));
  return { trained: rows.slice(0, total - count).sort(), heldOut: rows.slice(total - count).sort() };
}

/**
 * The order of an epoch's rows: Fisher-Yates from the end, into `target` (uint32, one value a row). Every row exactly once.
 * @param trained the rows, in order
 */
export function fillPermutation(target: Uint32Array, trained: Uint32Array, seed: number, epoch: number): void {
  const random = new Philox(seed, 'permutation', epoch);
  target.set(trained);
  for (let i = target.length - 1; i > 0; i--) {
    swap(target, i, random.below(i + 1));
  }
}

function swap(values: Uint32Array, i: number, j: number): void {
  const held = values[i]!;
  values[i] = values[j]!;
  values[j] = held;
}

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

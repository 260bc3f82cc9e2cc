/**
 * The network's layers on whatever backend TensorFlow.js has, forward and as vector-Jacobian products. Each product is made of
 * the kernels that `tf.grads` itself would call.
 *
 * Activations are NHWC, [rows][height][width][channels], as some backends pool no other layout; filters are HWIO. What a
 * function makes on the way is freed in it; what it returns belongs to the scope of its caller.
 */
import type { Rank, Tensor, Tensor1D, Tensor2D, Tensor4D } from '@tensorflow/tfjs';
import type { BatchNormStatistics } from '../host/batch-norm.js';
import type { TensorFlowModule } from './load.js';

const unpadded = { strides: [1, 1], pad: 'valid', dataFormat: 'NHWC' };
const halving = { filterSize: [2, 2], strides: [2, 2], pad: 'valid' };

export class Layers {
  readonly #tf: TensorFlowModule;

  constructor(tf: TensorFlowModule) {
    this.#tf = tf;
  }

  /** float32 on the device; the values are copied. */
  tensor<R extends Rank>(values: ArrayLike<number>, shape: number[]): Tensor<R> {
    return this.#tf.tensor<R>(Float32Array.from(values), shape as never, 'float32');
  }

  /** relu(x * filter + bias) */
  convolution(x: Tensor4D, filter: Tensor4D, bias: Tensor1D): Tensor4D {
    return this.#tf.fused.conv2d({ x, filter, strides: 1, pad: 'valid', bias, activation: 'relu' });
  }

  convolutionFilterGradient(x: Tensor4D, outputGradient: Tensor4D, filterShape: number[]): Tensor4D {
    return this.#kernel('Conv2DBackpropFilter', { x, dy: outputGradient }, { ...unpadded, filterShape });
  }

  convolutionInputGradient(outputGradient: Tensor4D, filter: Tensor4D, inputShape: number[]): Tensor4D {
    return this.#kernel('Conv2DBackpropInput', { dy: outputGradient, filter }, { ...unpadded, inputShape });
  }

  /** The largest of each 2x2 values. */
  pool(x: Tensor4D): Tensor4D {
    return this.#tf.maxPool(x, 2, 2, 'valid');
  }

  poolGradient(input: Tensor4D, output: Tensor4D, outputGradient: Tensor4D): Tensor4D {
    return this.#kernel('MaxPoolGrad', { dy: outputGradient, input, output }, halving);
  }

  /** x * transposed weight + bias; the weight is PyTorch's, [outputs][inputs]. */
  linear(x: Tensor2D, weight: Tensor2D, bias: Tensor1D, activation: 'relu' | 'linear'): Tensor2D {
    return this.#tf.fused.matMul({ a: x, b: weight, transposeB: true, bias, activation }) as Tensor2D;
  }

  linearWeightGradient(x: Tensor2D, outputGradient: Tensor2D): Tensor2D {
    return this.#tf.matMul(outputGradient, x, true, false);
  }

  linearInputGradient(outputGradient: Tensor2D, weight: Tensor2D): Tensor2D {
    return this.#tf.matMul(outputGradient, weight);
  }

  /** Over all but the last dimension. */
  biasGradient(outputGradient: Tensor): Tensor1D {
    return this.#tf.sum(
      outputGradient,
      outputGradient.shape.slice(1).map((_, axis) => axis),
    );
  }

  /** 0 wherever relu's output is not positive. */
  reluGradient<T extends Tensor>(output: Tensor, outputGradient: T): T {
    // Not a product with tf.step: the Node backend takes fourteen times as long for it.
    return this.#tf.tidy(() =>
      this.#tf.where(this.#tf.greater(output, 0), outputGradient, this.#tf.zerosLike(outputGradient)),
    );
  }

  /** (x - mean) / deviation */
  normalise(x: Tensor4D, { mean, inverseDeviation }: BatchNormStatistics): Tensor4D {
    const tf = this.#tf;
    return tf.tidy(() => tf.mul(tf.sub(x, this.#vector(mean)), this.#vector(inverseDeviation)));
  }

  scaleAndShift(normalised: Tensor4D, weight: Tensor1D, bias: Tensor1D): Tensor4D {
    return this.#tf.tidy(() => this.#tf.add(this.#tf.mul(normalised, weight), bias));
  }

  /**
   * Mean and deviation depend on every value of the channel, hence the two means.
   * @param means of dY and dY*xHat over all that was normalised together, [2][channels]
   */
  normaliseGradient(
    normalised: Tensor4D,
    outputGradient: Tensor4D,
    weight: Tensor1D,
    { inverseDeviation }: BatchNormStatistics,
    means: Float64Array,
  ): Tensor4D {
    const tf = this.#tf;
    const channels = inverseDeviation.length;
    return tf.tidy(() => {
      const meanGradient = this.#vector(means.subarray(0, channels));
      const meanProduct = this.#vector(means.subarray(channels));
      const centred = tf.sub(tf.sub(outputGradient, meanGradient), tf.mul(normalised, meanProduct));
      return tf.mul(centred, tf.mul(weight, this.#vector(inverseDeviation)));
    });
  }

  /** Sums over each row's pixels of `values` and of `values * factors`, [rows][2 channels]. */
  channelSums(values: Tensor4D, factors: Tensor4D): Tensor2D {
    const tf = this.#tf;
    return tf.tidy(() => tf.concat2d([tf.sum(values, [1, 2]), tf.sum(tf.mul(values, factors), [1, 2])], 1));
  }

  #vector(values: Float64Array): Tensor1D {
    return this.tensor(values, [values.length]);
  }

  #kernel(name: string, inputs: Record<string, Tensor>, attributes: Record<string, string | number[]>): Tensor4D {
    return this.#tf.engine().runKernel(name, inputs, attributes);
  }
}

/**
 * The layers without state, forward and backward, in float64 and plain loops: what each faster kernel is tested against.
 *
 * Tensors are flat, row-major, in PyTorch's layout (N,C,H,W). A function takes a block of rows; gradients with respect to
 * parameters are sums over those rows and are *added* to the arrays given. Outputs are fresh arrays that the caller owns.
 */
import type { Convolution } from '../../../shared/model/network.js';

export type Conv2dShape = Pick<Convolution, 'inputs' | 'outputs' | 'inputSize' | 'outputSize'>;

export interface LinearShape {
  readonly inputs: number;
  readonly outputs: number;
}

/**
 * 3x3 convolution, stride 1, unpadded.
 * @param input [rows][inputs][inputSize][inputSize]
 * @param weight [outputs][inputs][3][3]
 * @param bias [outputs]
 * @returns [rows][outputs][outputSize][outputSize]
 */
export function conv2dForward(
  shape: Conv2dShape,
  rows: number,
  input: Float64Array,
  weight: Float64Array,
  bias: Float64Array,
): Float64Array {
  const { inputs, outputs, inputSize, outputSize } = shape;
  const inputPlane = inputSize * inputSize;
  const outputPlane = outputSize * outputSize;
  const output = new Float64Array(rows * outputs * outputPlane);
  for (let n = 0; n < rows; n++) {
    for (let o = 0; o < outputs; o++) {
      const outputAt = (n * outputs + o) * outputPlane;
      output.fill(bias[o]!, outputAt, outputAt + outputPlane);
      for (let i = 0; i < inputs; i++) {
        const inputAt = (n * inputs + i) * inputPlane;
        correlatePlane(input, inputAt, inputSize, weight, (o * inputs + i) * 9, output, outputAt);
      }
    }
  }
  return output;
}

/**
 * The gradient with respect to the input: the output gradient, padded by two zeros all round, correlated with the filters
 * turned by half a turn.
 * @param outputGradient [rows][outputs][outputSize][outputSize]
 * @returns [rows][inputs][inputSize][inputSize]
 */
export function conv2dBackwardInput(
  shape: Conv2dShape,
  rows: number,
  weight: Float64Array,
  outputGradient: Float64Array,
): Float64Array {
  const { inputs, outputs, inputSize, outputSize } = shape;
  const inputPlane = inputSize * inputSize;
  const paddedSize = outputSize + 4;
  const padded = new Float64Array(paddedSize * paddedSize);
  const turned = turnFilters(weight);
  const inputGradient = new Float64Array(rows * inputs * inputPlane);
  for (let n = 0; n < rows; n++) {
    for (let o = 0; o < outputs; o++) {
      const outputAt = (n * outputs + o) * outputSize * outputSize;
      for (let y = 0; y < outputSize; y++) {
        const line = outputAt + y * outputSize;
        padded.set(outputGradient.subarray(line, line + outputSize), (y + 2) * paddedSize + 2);
      }
      for (let i = 0; i < inputs; i++) {
        const inputAt = (n * inputs + i) * inputPlane;
        correlatePlane(padded, 0, paddedSize, turned, (o * inputs + i) * 9, inputGradient, inputAt);
      }
    }
  }
  return inputGradient;
}

/**
 * Adds the gradients with respect to weight and bias.
 * @param weightGradient [outputs][inputs][3][3], added to
 * @param biasGradient [outputs], added to
 */
export function conv2dBackwardParameters(
  shape: Conv2dShape,
  rows: number,
  input: Float64Array,
  outputGradient: Float64Array,
  weightGradient: Float64Array,
  biasGradient: Float64Array,
): void {
  const { inputs, outputs, inputSize, outputSize } = shape;
  const inputPlane = inputSize * inputSize;
  const outputPlane = outputSize * outputSize;
  for (let n = 0; n < rows; n++) {
    for (let o = 0; o < outputs; o++) {
      const outputAt = (n * outputs + o) * outputPlane;
      let sum = 0;
      for (let p = outputAt; p < outputAt + outputPlane; p++) sum += outputGradient[p]!;
      biasGradient[o]! += sum;
      for (let i = 0; i < inputs; i++) {
        const inputAt = (n * inputs + i) * inputPlane;
        addTapGradients(input, inputAt, inputSize, outputGradient, outputAt, weightGradient, (o * inputs + i) * 9);
      }
    }
  }
}

/** Sets negative values to 0, in place, and returns the same array. NaN stays NaN, as in PyTorch. */
export function reluForward(values: Float64Array): Float64Array {
  for (let p = 0; p < values.length; p++) if (values[p]! < 0) values[p] = 0;
  return values;
}

/**
 * Gradient of relu, in place: 0 wherever the output is not positive, at 0 too.
 * @param activated relu's output, same shape as the gradient
 */
export function reluBackward(activated: Float64Array, gradient: Float64Array): Float64Array {
  for (let p = 0; p < gradient.length; p++) if (activated[p]! <= 0) gradient[p] = 0;
  return gradient;
}

export interface Pooled {
  /** [planes][size / 2][size / 2] */
  readonly output: Float64Array;
  /** Position in the whole input of each output's maximum: the first in row-major order. */
  readonly argmax: Int32Array;
}

/**
 * 2x2 max pool, stride 2.
 * @param size height and width of an input plane, even
 * @param input [planes][size][size]
 */
export function maxPool2Forward(size: number, input: Float64Array): Pooled {
  const half = size / 2;
  const output = new Float64Array(input.length / 4);
  const argmax = new Int32Array(output.length);
  for (let q = 0; q < output.length; q++) {
    // Planes have an even height, so pairs of lines can be counted through all planes at once.
    const corner = 2 * size * Math.floor(q / half) + 2 * (q % half);
    let best = corner;
    for (const p of [corner + 1, corner + size, corner + size + 1]) {
      if (input[p]! > input[best]! || Number.isNaN(input[p]!)) best = p;
    }
    argmax[q] = best;
    output[q] = input[best]!;
  }
  return { output, argmax };
}

/** The gradient with respect to the input (of that length): each output's gradient goes to its maximum. */
export function maxPool2Backward(inputLength: number, argmax: Int32Array, outputGradient: Float64Array): Float64Array {
  const inputGradient = new Float64Array(inputLength);
  for (let q = 0; q < argmax.length; q++) inputGradient[argmax[q]!] = outputGradient[q]!;
  return inputGradient;
}

/**
 * @param input [rows][inputs]
 * @param weight [outputs][inputs]
 * @returns [rows][outputs]: input times weight transposed, plus bias
 */
export function linearForward(
  { inputs, outputs }: LinearShape,
  rows: number,
  input: Float64Array,
  weight: Float64Array,
  bias: Float64Array,
): Float64Array {
  const output = new Float64Array(rows * outputs);
  for (let n = 0; n < rows; n++) {
    for (let o = 0; o < outputs; o++) {
      let sum = bias[o]!;
      for (let i = 0; i < inputs; i++) sum += input[n * inputs + i]! * weight[o * inputs + i]!;
      output[n * outputs + o] = sum;
    }
  }
  return output;
}

/**
 * Adds the gradients with respect to weight and bias and returns the one with respect to the input, [rows][inputs].
 * @param outputGradient [rows][outputs]
 * @param weightGradient [outputs][inputs], added to
 * @param biasGradient [outputs], added to
 */
export function linearBackward(
  { inputs, outputs }: LinearShape,
  rows: number,
  input: Float64Array,
  weight: Float64Array,
  outputGradient: Float64Array,
  weightGradient: Float64Array,
  biasGradient: Float64Array,
): Float64Array {
  const inputGradient = new Float64Array(rows * inputs);
  for (let n = 0; n < rows; n++) {
    for (let o = 0; o < outputs; o++) {
      const gradient = outputGradient[n * outputs + o]!;
      biasGradient[o]! += gradient;
      for (let i = 0; i < inputs; i++) {
        weightGradient[o * inputs + i]! += gradient * input[n * inputs + i]!;
        inputGradient[n * inputs + i]! += gradient * weight[o * inputs + i]!;
      }
    }
  }
  return inputGradient;
}

/** output [size-2][size-2] at `outputAt` += 3x3 correlation of the plane [size][size] at `inputAt` with 9 taps. */
function correlatePlane(
  input: Float64Array,
  inputAt: number,
  size: number,
  taps: Float64Array,
  tapsAt: number,
  output: Float64Array,
  outputAt: number,
): void {
  const [w0, w1, w2] = [taps[tapsAt]!, taps[tapsAt + 1]!, taps[tapsAt + 2]!];
  const [w3, w4, w5] = [taps[tapsAt + 3]!, taps[tapsAt + 4]!, taps[tapsAt + 5]!];
  const [w6, w7, w8] = [taps[tapsAt + 6]!, taps[tapsAt + 7]!, taps[tapsAt + 8]!];
  for (let y = 0; y < size - 2; y++) {
    const above = inputAt + y * size;
    const middle = above + size;
    const below = middle + size;
    const line = outputAt + y * (size - 2);
    for (let x = 0; x < size - 2; x++) {
      output[line + x]! +=
        w0 * input[above + x]! +
        w1 * input[above + x + 1]! +
        w2 * input[above + x + 2]! +
        w3 * input[middle + x]! +
        w4 * input[middle + x + 1]! +
        w5 * input[middle + x + 2]! +
        w6 * input[below + x]! +
        w7 * input[below + x + 1]! +
        w8 * input[below + x + 2]!;
    }
  }
}

/** taps [3][3] at `tapsAt` += correlation of the input plane [size][size] with the gradient plane [size-2][size-2]. */
function addTapGradients(
  input: Float64Array,
  inputAt: number,
  size: number,
  gradient: Float64Array,
  gradientAt: number,
  taps: Float64Array,
  tapsAt: number,
): void {
  for (let tap = 0; tap < 9; tap += 3) {
    let [left, centre, right] = [0, 0, 0];
    for (let y = 0; y < size - 2; y++) {
      const line = gradientAt + y * (size - 2);
      const inputLine = inputAt + (y + tap / 3) * size;
      for (let x = 0; x < size - 2; x++) {
        const value = gradient[line + x]!;
        left += value * input[inputLine + x]!;
        centre += value * input[inputLine + x + 1]!;
        right += value * input[inputLine + x + 2]!;
      }
    }
    taps[tapsAt + tap]! += left;
    taps[tapsAt + tap + 1]! += centre;
    taps[tapsAt + tap + 2]! += right;
  }
}

/** Every 3x3 filter turned by half a turn: its nine taps in reverse. */
function turnFilters(weight: Float64Array): Float64Array {
  const turned = new Float64Array(weight.length);
  for (let p = 0; p < weight.length; p++) {
    const tap = p % 9;
    turned[p - tap + 8 - tap] = weight[p]!;
  }
  return turned;
}

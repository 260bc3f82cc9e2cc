/** The reference engine's arithmetic: each layer against its definition, the whole network against PyTorch in float64. */
import { describe, expect, it } from 'vitest';
import { batchNorms, parameterCount, parameterOf } from '../../src/shared/model/network.js';
import type { LayerName } from '../../src/shared/model/network.js';
import { batchNormStatistics, type BatchNormStatistics } from '../../src/worker/engines/host/batch-norm.js';
import { doubleSoftmaxCrossEntropy, softmax } from '../../src/worker/engines/host/loss.js';
import * as norms from '../../src/worker/engines/reference/batch-norm.js';
import { forwardBackward } from '../../src/worker/engines/reference/forward-backward.js';
import * as layers from '../../src/worker/engines/reference/layers.js';
import { figures, golden, initialParameters, norm, relativeL2, worstGradientError } from '../support/compute/golden.js';
import { pickMnistRows } from '../support/inputs/mnist.js';

/** Deterministic values in [-1, 1), none of them special. */
function noise(length: number, seed: number): Float64Array {
  let state = seed;
  return Float64Array.from({ length }, () => {
    state = (Math.imul(1664525, state) + 1013904223) >>> 0;
    return (state >>> 8) / 2 ** 23 - 1;
  });
}

const dot = (a: Float64Array, b: Float64Array): number => a.reduce((sum, value, i) => sum + value * (b[i] ?? NaN), 0);

/** Central difference of f in the direction of `direction`, at x. */
function slope(f: (x: Float64Array) => number, x: Float64Array, direction: Float64Array): number {
  const step = 1e-6;
  const at = (t: number): number => f(x.map((value, i) => value + t * (direction[i] ?? NaN)));
  return (at(step) - at(-step)) / (2 * step);
}

describe('conv2d', () => {
  const shape = { inputs: 2, outputs: 3, inputSize: 5, outputSize: 3 };
  const rows = 2;
  const input = noise(rows * 2 * 25, 1);
  const weight = noise(3 * 2 * 9, 2);
  const bias = noise(3, 3);
  const outputGradient = noise(rows * 3 * 9, 4);

  it('is the sum over channels and taps', () => {
    const output = layers.conv2dForward(shape, rows, input, weight, bias);
    const [n, o, y, x] = [1, 2, 0, 2];
    let sum = bias[o] ?? NaN;
    for (let i = 0; i < 2; i++) {
      for (let ky = 0; ky < 3; ky++) {
        for (let kx = 0; kx < 3; kx++) {
          const pixel = input[((n * 2 + i) * 5 + y + ky) * 5 + x + kx] ?? NaN;
          sum += pixel * (weight[((o * 2 + i) * 3 + ky) * 3 + kx] ?? NaN);
        }
      }
    }
    expect(output[((n * 3 + o) * 3 + y) * 3 + x]).toBeCloseTo(sum, 12);
  });

  it('has gradients that are its exact adjoints', () => {
    // <dY, conv(x)> is linear in x, in w and in b: each gradient's product with its argument gives it back.
    const weightGradient = new Float64Array(weight.length);
    const biasGradient = new Float64Array(bias.length);
    layers.conv2dBackwardParameters(shape, rows, input, outputGradient, weightGradient, biasGradient);
    const inputGradient = layers.conv2dBackwardInput(shape, rows, weight, outputGradient);
    const linear = dot(outputGradient, layers.conv2dForward(shape, rows, input, weight, new Float64Array(3)));
    const constant = dot(outputGradient, layers.conv2dForward(shape, rows, input, new Float64Array(54), bias));
    expect(dot(inputGradient, input)).toBeCloseTo(linear, 12);
    expect(dot(weightGradient, weight)).toBeCloseTo(linear, 12);
    expect(dot(biasGradient, bias)).toBeCloseTo(constant, 12);
  });
});

describe('relu and max pool', () => {
  it('passes no gradient at 0', () => {
    const activated = layers.reluForward(Float64Array.of(-1, 0, 2));
    expect([...activated]).toEqual([0, 0, 2]);
    expect([...layers.reluBackward(activated, Float64Array.of(5, 6, 7))]).toEqual([0, 0, 7]);
  });

  it('takes the first maximum in row-major order', () => {
    // Two planes of 4x4, the second the negative of the first. Windows of the first: a tie of all four, a tie of two.
    const plane = [3, 3, 0, 7, 3, 3, 7, 1, 1, 9, 0, 0, 2, 3, 0, 4];
    const input = Float64Array.from([...plane, ...plane.map((value) => -value)]);
    const { output, argmax } = layers.maxPool2Forward(4, input);
    expect([...output]).toEqual([3, 7, 9, 4, -3, -0, -1, -0]);
    expect([...argmax]).toEqual([0, 3, 9, 15, 16, 18, 24, 26]);
    const gradient = layers.maxPool2Backward(input.length, argmax, Float64Array.of(1, 2, 3, 4, 5, 6, 7, 8));
    expect([...argmax].map((p) => gradient[p])).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(norm(gradient)).toBeCloseTo(Math.sqrt(204), 12);
  });
});

describe('linear', () => {
  it('has gradients that are its exact adjoints', () => {
    const shape = { inputs: 4, outputs: 3 };
    const [input, weight, outputGradient] = [noise(8, 1), noise(12, 2), noise(6, 3)];
    const [weightGradient, biasGradient] = [new Float64Array(12), new Float64Array(3)];
    const inputGradient = layers.linearBackward(shape, 2, input, weight, outputGradient, weightGradient, biasGradient);
    const linear = dot(outputGradient, layers.linearForward(shape, 2, input, weight, new Float64Array(3)));
    expect(dot(inputGradient, input)).toBeCloseTo(linear, 12);
    expect(dot(weightGradient, weight)).toBeCloseTo(linear, 12);
    expect(biasGradient[1]).toBeCloseTo((outputGradient[1] ?? NaN) + (outputGradient[4] ?? NaN), 12);
  });
});

describe('batch norm', () => {
  const shape = { channels: 2, pixels: 3 };
  const [rows, count] = [4, 12];
  const weight = Float64Array.of(1.5, -0.5);
  const bias = Float64Array.of(0.25, 2);
  const input = noise(24, 5);
  const statisticsOf = (x: Float64Array): BatchNormStatistics =>
    batchNormStatistics(2, norms.batchNormForwardSums(shape, rows, x), count);
  const forward = (x: Float64Array) => norms.batchNormForward(shape, rows, x, statisticsOf(x), weight, bias);

  it('gives each channel mean 0 and variance 1 before weight and bias', () => {
    const { normalised } = forward(input);
    const [sum = NaN, , squares = NaN] = norms.batchNormForwardSums(shape, rows, normalised);
    expect(sum).toBeCloseTo(0, 12);
    const [variance = NaN] = statisticsOf(input).variance;
    expect(squares / count).toBeCloseTo(variance / (variance + 1e-5), 12);
  });

  it('has the gradient that finite differences show', () => {
    const [outputGradient, direction] = [noise(24, 6), noise(24, 7)];
    const { normalised } = forward(input);
    const sums = norms.batchNormBackwardSums(shape, rows, outputGradient, normalised);
    const statistics = statisticsOf(input);
    const gradient = norms.batchNormBackward(shape, rows, outputGradient, normalised, statistics, weight, sums, count);
    const expected = slope((x) => dot(outputGradient, forward(x).output), input, direction);
    expect(dot(gradient, direction)).toBeCloseTo(expected, 7);
  });
});

describe('double softmax cross-entropy', () => {
  it('has the floor -ln(e / (e + 9))', () => {
    const logits = Float64Array.from({ length: 10 }, (_, j) => (j === 4 ? 1000 : 0));
    const { loss } = doubleSoftmaxCrossEntropy(1, softmax(1, logits), Uint8Array.of(4));
    expect(loss).toBeCloseTo(-Math.log(Math.E / (Math.E + 9)), 14);
  });

  it('has the gradient that finite differences show', () => {
    const [logits, direction, labels] = [noise(20, 8), noise(20, 9), Uint8Array.of(3, 7)];
    const { logitsGradient } = doubleSoftmaxCrossEntropy(2, softmax(2, logits), labels);
    const expected = slope((x) => doubleSoftmaxCrossEntropy(2, softmax(2, x), labels).loss, logits, direction);
    expect(dot(logitsGradient, direction)).toBeCloseTo(expected, 8);
  });
});

describe('the whole network', () => {
  const { images, labels } = pickMnistRows('train', figures.batches.steps[0] ?? []);
  const parameters = initialParameters();

  it('is PyTorch in float64: loss, every gradient, batch statistics', () => {
    const report = forwardBackward(parameters, images, labels, { microBatch: 4 });
    expect(Math.abs(report.loss / (figures.losses[0] ?? NaN) - 1)).toBeLessThan(1e-13);
    expect(report.gradient).toHaveLength(parameterCount);
    expect(worstGradientError(report.gradient, '').error).toBeLessThan(1e-10);
    const running = golden('running/1');
    batchNorms.forEach(({ offset, channels }, k) => {
      const expected = running.subarray(offset, offset + channels).map((value) => value / 0.1);
      expect(relativeL2(report.statistics[k]?.mean ?? new Float64Array(), expected)).toBeLessThan(1e-11);
    });
    expect(report.activations.get('conv2')?.map((values) => values.length)).toEqual([4 * 64 * 576, 4 * 64 * 576]);
  });

  it('does not depend on the micro-batch beyond rounding', () => {
    const [few, fewLabels] = [images.subarray(0, 5 * 784), labels.subarray(0, 5)];
    const whole = forwardBackward(parameters, few, fewLabels);
    const cut = forwardBackward(parameters, few, fewLabels, { microBatch: 2 });
    expect(cut.loss).toBeCloseTo(whole.loss, 13);
    expect(relativeL2(cut.gradient, whole.gradient)).toBeLessThan(1e-11);
  });

  const entries: [LayerName, 'weight' | 'bias', number][] = [
    ['conv1', 'weight', 130],
    ['bn4', 'bias', 17],
    ['linear2', 'weight', 2222],
  ];
  it.each(entries)('has the slope that finite differences show in %s.%s[%i]', (layer, kind, index) => {
    const [few, fewLabels] = [images.subarray(0, 3 * 784), labels.subarray(0, 3)];
    const position = parameterOf(layer, kind).offset + index;
    const { gradient } = forwardBackward(parameters, few, fewLabels);
    const direction = new Float64Array(parameterCount);
    direction[position] = 1;
    const expected = slope((x) => forwardBackward(x, few, fewLabels).loss, parameters, direction);
    expect(Math.abs((gradient[position] ?? NaN) / expected - 1)).toBeLessThan(1e-4);
  });
});

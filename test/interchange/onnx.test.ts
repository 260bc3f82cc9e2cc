import { InferenceSession, Tensor } from 'onnxruntime-node';
import { beforeAll, describe, expect, it } from 'vitest';
import { writeWeights } from '../../src/interchange/formats.js';
import type { Weights } from '../../src/interchange/weights.js';
import { batchNormChannels, classes, imagePixels, imageSize, parameterOf } from '../../src/shared/model/network.js';
import { referenceEngine } from '../../src/worker/engines/reference/reference-engine.js';
import { golden, initialParameters } from '../support/compute/golden.js';
import { mnistRows } from '../support/inputs/mnist.js';
import { makeReplica } from '../support/compute/replica.js';

const rows = mnistRows('t10k', 0, 12);
/** As the tests of the engines: random parameters, and the running statistics of three steps of training. */
const weights: Weights = {
  parameters: Float32Array.from(initialParameters()),
  runningStatistics: Float32Array.from(golden('running/3')),
  batchesTracked: 3,
};
weakenFirstChannel();

/** A variance in which the epsilon shows, and weights that keep what it divides in bounds. */
function weakenFirstChannel(): void {
  weights.runningStatistics[batchNormChannels] = 1e-5;
  weights.parameters[parameterOf('bn2', 'weight').offset] = 1e-3;
}

let session: InferenceSession;
let expected: Float32Array;

beforeAll(async () => {
  session = await InferenceSession.create(await writeWeights('onnx', weights, '1.2.3'));
  const replica = await makeReplica(referenceEngine, {
    rows: 8,
    microBatch: 8,
    train: mnistRows('train', 0, 1),
    test: rows,
    parameters: weights.parameters,
  });
  replica.evaluationStatistics.set(weights.runningStatistics);
  await replica.replica.evaluate(0, rows.labels.length, 0);
  expected = replica.probabilities.slice();
});

async function run(first: number, count: number): Promise<Float32Array> {
  const pixels = Float32Array.from(rows.images.subarray(first * imagePixels, (first + count) * imagePixels));
  const { probabilities } = await session.run({
    pixels: new Tensor('float32', pixels, [count, 1, imageSize, imageSize]),
  });
  expect(probabilities?.dims).toEqual([count, classes]);
  return probabilities?.data ?? new Float32Array();
}

/** The largest difference of two probabilities. */
function difference(actual: Float32Array, of: Float32Array): number {
  expect(actual).toHaveLength(of.length);
  return Math.max(...actual.map((value, i) => Math.abs(value - (of[i] ?? NaN))));
}

describe("ONNX Runtime's probabilities are those of the reference engine", () => {
  it.each([
    [0, 12],
    [3, 1],
    [5, 7],
  ])('from row %i on, in a batch of %i', async (first, count) => {
    const probabilities = await run(first, count);
    expect(difference(probabilities, expected.subarray(first * classes, (first + count) * classes))).toBeLessThan(1e-6);
  });

  it('and they differ from row to row, so that this can fail', async () => {
    const [one, other] = [await run(0, 1), await run(1, 1)];
    expect(difference(one, other)).toBeGreaterThan(1e-3);
  });
});

it('names its input, its output and its producer', async () => {
  expect(session.inputNames).toEqual(['pixels']);
  expect(session.outputNames).toEqual(['probabilities']);
  const text = Buffer.from(await writeWeights('onnx', weights, '1.2.3')).toString('latin1');
  expect(text.slice(0, 64)).toMatch(/mnist-ddp.*1\.2\.3/s);
});

it('gives the same bytes for the same weights', async () => {
  const [one, other] = [await writeWeights('onnx', weights), await writeWeights('onnx', weights)];
  expect(Buffer.compare(one, other)).toBe(0);
});

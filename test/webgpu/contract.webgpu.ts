/**
 * The engine contract on WebGPU, in few rows: a software adapter takes some seconds for each. Training is compared with the
 * reference engine, which test/worker/reference.test.ts compares with PyTorch, and evaluation with PyTorch.
 */
import { beforeAll, describe, expect, it } from 'vitest';
import { OperationalError } from '../../src/shared/errors.js';
import type { ShardReport } from '../../src/shared/engine.js';
import { batchNorms, parameters } from '../../src/shared/model/network.js';
import { tensorFlowEngines } from '../../src/worker/engines/tfjs/tfjs-engines.js';
import { loadTensorFlow, type TensorFlowModule } from '../../src/worker/engines/tfjs/load.js';
import { forwardBackward } from '../../src/worker/engines/reference/forward-backward.js';
import { recordingExchange } from '../support/compute/exchange.js';
import { golden, initialParameters, relativeL2 } from '../support/compute/golden.js';
import { mnistRows } from '../support/inputs/mnist.js';
import { adamScalars, makeReplica, type TestReplica } from '../support/compute/replica.js';
import { findTensorFlow } from '../support/compute/tensorflow.js';

const engine = tensorFlowEngines['tfjs-webgpu'];
const { libraries } = findTensorFlow('tfjs-webgpu');
/** Seen on SwiftShader: gradient 1e-5, forward 8e-8. */
const tolerance = { gradient: 1e-4, forward: 2e-6 };
const train = mnistRows('train', 0, 4);
const test = mnistRows('t10k', 0, 2);
const start = initialParameters();
const expected = forwardBackward(start, train.images, train.labels);

let tf: TensorFlowModule;
let replica: TestReplica;
let tensorsBefore: number;
beforeAll(async () => {
  ({ tf } = await loadTensorFlow('tfjs-webgpu', libraries));
  replica = await makeReplica(engine, {
    rows: 4,
    microBatch: 2,
    train,
    test,
    parameters: start,
    libraries,
  });
  tensorsBefore = tf.memory().numTensors;
});

describe('a batch of 4 rows', () => {
  const exchange = recordingExchange(4);
  let report: ShardReport;
  beforeAll(async () => {
    report = await replica.run({ rowNumbers: [0, 1, 2, 3], exchange });
  });

  it('gives the loss and every gradient', () => {
    const [loss = NaN, ...others] = report.losses;
    expect(Math.abs(loss / 4 / expected.loss - 1)).toBeLessThan(tolerance.forward);
    expect(others).toEqual([]);
    expect(replica.finish(4)).toBe(true);
    for (const { name, offset, length } of parameters) {
      const gradient = replica.gradient.subarray(offset, offset + length);
      const error = relativeL2(gradient, expected.gradient.subarray(offset, offset + length));
      expect(error, name).toBeLessThan(tolerance.gradient);
    }
  });

  it('leaves updated running statistics in the other set', () => {
    const running = replica.runningStatistics(1);
    batchNorms.forEach(({ offset, channels }, k) => {
      const mean = Float64Array.from(running.subarray(offset, offset + channels), (value) => value / 0.1);
      expect(relativeL2(mean, expected.statistics[k]?.mean ?? mean.fill(NaN))).toBeLessThan(tolerance.forward);
    });
  });

  it("hands over each micro-batch's sums, in the network's order", () => {
    expect(exchange.calls.map((call) => call.length)).toEqual([128, 256, 512, 512, 256, 128]);
    expect(exchange.calls.map((call) => call.leaves.length)).toEqual([256, 512, 1024, 1024, 512, 256]);
  });

  it('is a step that the optimiser takes', () => {
    expect(replica.update(0, adamScalars(1))).toBe(true);
    expect(replica.parameters(1)).not.toEqual(replica.parameters(0));
  });

  it('leaves no tensor behind', () => {
    expect(tf.memory().numTensors).toBe(tensorsBefore);
  });
});

it('evaluates by the evaluation statistics, and leaves no tensor behind', async () => {
  replica.parameters(1).set(replica.parameters(0));
  replica.evaluationStatistics.set(golden('running/3'));
  await replica.replica.evaluate(0, 2, 1);
  expect(relativeL2(replica.probabilities, golden('evaluation').subarray(0, 20))).toBeLessThan(tolerance.forward);
  expect(tf.memory().numTensors).toBe(tensorsBefore);
});

it.each([0, 3])('leaves no tensor behind where exchange %d is aborted', async (fatal) => {
  const exchange = recordingExchange(1);
  const aborting = {
    rows: 1,
    withinShard: false,
    reduce: (leaves: Float64Array, length: number, total: Float64Array): void => {
      if (exchange.calls.length === fatal) throw new OperationalError('ABORTED', 'the group ends');
      exchange.reduce(leaves, length, total);
    },
  };
  await expect(replica.run({ rowNumbers: [0], exchange: aborting })).rejects.toThrow('the group ends');
  expect(exchange.calls).toHaveLength(fatal);
  expect(tf.memory().numTensors).toBe(tensorsBefore);
});

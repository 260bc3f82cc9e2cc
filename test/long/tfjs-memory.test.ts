/** Training on TensorFlow.js needs as much memory in the end as at the start. */
import { expect, it } from 'vitest';
import { holdTensorFlow } from '../../src/library/engines/tensorflow.js';
import { tensorFlowEngines } from '../../src/worker/engines/tfjs/tfjs-engines.js';
import { recordingExchange } from '../support/compute/exchange.js';
import { initialParameters } from '../support/compute/golden.js';
import { mnistRows } from '../support/inputs/mnist.js';
import { adamScalars, makeReplica } from '../support/compute/replica.js';
import { findTensorFlow } from '../support/compute/tensorflow.js';

const engine = tensorFlowEngines['tfjs-node'];
const { libraries, missing } = findTensorFlow('tfjs-node');
const boundMiB = 30;
const residentMiB = (): number => process.memoryUsage.rss() / 2 ** 20;

it.skipIf(missing !== null)(`500 steps on tfjs-node${missing === null ? '' : `, NOT TESTED: ${missing}`}`, async () => {
  const { tf } = await holdTensorFlow(engine, 'tfjs-node', libraries, 1);
  const train = mnistRows('train', 0, 64);
  const parameters = initialParameters();
  const replica = await makeReplica(engine, { rows: 8, microBatch: 4, train, parameters, libraries });
  const { numTensors, numBytes } = tf.memory();
  const samples: number[] = [];
  for (let step = 0; step < 500; step++) {
    const from = step & 1 ? 1 : 0;
    const first = (8 * step) % 64;
    const rowNumbers = Array.from({ length: 8 }, (_, i) => first + i);
    await replica.run({ rowNumbers, from, exchange: recordingExchange(8) });
    expect(replica.finish(8)).toBe(true);
    expect(replica.update(from, adamScalars(step + 1))).toBe(true);
    expect(tf.memory()).toMatchObject({ numTensors, numBytes });
    if (step % 50 === 49) samples.push(residentMiB());
  }
  console.log(`after every 50 steps: ${samples.map((sample) => sample.toFixed(0)).join(', ')} MiB`);
  // The first samples are of a heap that still warms up.
  expect(Math.max(...samples.slice(-3)) - Math.max(...samples.slice(1, 4))).toBeLessThan(boundMiB);
});

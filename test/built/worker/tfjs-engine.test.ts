/**
 * What the engines on TensorFlow.js owe beside the engine contract: nothing is left on the device, nothing old is used, and
 * whatever is missing is named.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { holdTensorFlow } from '../../../src/library/engines/tensorflow.js';
import { OperationalError } from '../../../src/shared/errors.js';
import { batchNormChannels } from '../../../src/shared/model/network.js';
import { tensorFlowEngines } from '../../../src/worker/engines/tfjs/tfjs-engines.js';
import { loadTensorFlow, type TensorFlowModule } from '../../../src/worker/engines/tfjs/load.js';
import { wasmEngine } from '../../../src/worker/engines/wasm/wasm-engine.js';
import { recordingExchange } from '../../support/compute/exchange.js';
import { initialParameters, movementError, relativeL2 } from '../../support/compute/golden.js';
import { startGroup } from '../../support/compute/group.js';
import { temporaryDirectory, writeIdxSet } from '../../support/inputs/idx-files.js';
import { mnistRows } from '../../support/inputs/mnist.js';
import { adamScalars, makeReplica, type TestReplica } from '../../support/compute/replica.js';
import { findTensorFlow } from '../../support/compute/tensorflow.js';

const run = promisify(execFile);
const { libraries, missing } = findTensorFlow('tfjs-node');
const engine = tensorFlowEngines['tfjs-node'];
const microBatch = 4;
const start = initialParameters();
const train = mnistRows('train', 0, 24);
const test = mnistRows('t10k', 0, 5);
const sequence = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

/** Two workers; `gradient` is the first step's. */
async function trainThreeSteps(data: string, computing: Parameters<typeof startGroup>[3]) {
  const group = await startGroup(data, 2, { batchSize: 32, microBatch: 4, seed: 1, learningRate: 1e-4 }, computing);
  try {
    const { session } = group;
    const { parameters: initial } = session.save();
    const losses = [(await group.step()).loss];
    const gradient = group.gradient.slice();
    while (losses.length < 3) losses.push((await group.step()).loss);
    return { start: initial, gradient, losses, parameters: session.save().parameters };
  } finally {
    await group.close();
  }
}

describe.skipIf(missing !== null)(`engine tfjs-node${missing === null ? '' : `, NOT TESTED: ${missing}`}`, () => {
  let tf: TensorFlowModule;
  let replica: TestReplica;
  beforeAll(async () => {
    ({ tf } = await holdTensorFlow(engine, 'tfjs-node', libraries, 2));
    replica = await makeReplica(engine, { rows: 20, microBatch, train, test, parameters: start, libraries });
  });
  const live = (): object => {
    const { numTensors, numDataBuffers, numBytes } = tf.memory();
    return { numTensors, numDataBuffers, numBytes };
  };

  it('leaves no tensor behind: not after a step, nor an evaluation', async () => {
    const before = live();
    for (const t of [1, 2, 3]) {
      const from = t % 2 === 1 ? 0 : 1;
      await replica.run({ rowNumbers: sequence(0, 8 + 4 * t), from, exchange: recordingExchange(8 + 4 * t) });
      expect(live()).toEqual(before);
      replica.mergeSubtrees(2 + t);
      expect(replica.finish(8 + 4 * t)).toBe(true);
      expect(replica.update(from, adamScalars(t))).toBe(true);
    }
    replica.evaluationStatistics.fill(1);
    await replica.replica.evaluate(0, 5, 1);
    expect(live()).toEqual(before);
  });

  it.each([0, 1, 2, 3, 4, 5])('leaves no tensor behind where exchange %d is aborted', async (fatal) => {
    const before = live();
    const exchange = recordingExchange(8);
    const aborting = {
      rows: 8,
      withinShard: false,
      reduce: (leaves: Float64Array, length: number, total: Float64Array): void => {
        if (exchange.calls.length === fatal) throw new OperationalError('ABORTED', 'the group ends');
        exchange.reduce(leaves, length, total);
      },
    };
    await expect(replica.run({ rowNumbers: sequence(0, 8), exchange: aborting })).rejects.toThrow('the group ends');
    expect(exchange.calls).toHaveLength(fatal);
    expect(live()).toEqual(before);
  });

  it("puts the shard's sums in the first subtree and zeros in the others, whatever was there", async () => {
    const rowNumbers = sequence(0, 20);
    replica.accumulator(0).fill(NaN);
    replica.accumulator(1).fill(NaN);
    const report = await replica.run({ rowNumbers, exchange: recordingExchange(20) });
    expect(report.losses).toHaveLength(2);
    expect(report.losses[0]).toBeGreaterThan(20 * 1.46);
    expect(report.losses[1]).toBe(0);
    expect(replica.accumulator(0).every(Number.isFinite)).toBe(true);
    expect(replica.accumulator(0).some((value) => value !== 0)).toBe(true);
    expect(replica.accumulator(1).every((value) => value === 0)).toBe(true);
  });

  it('uses the parameters that are there now, not those that it saw before', async () => {
    const probabilities = async (): Promise<Float32Array> => {
      replica.evaluationStatistics.fill(0).fill(1, batchNormChannels);
      await replica.replica.evaluate(0, 5, 0);
      return replica.probabilities.slice();
    };
    const gradient = async (): Promise<Float32Array> => {
      await replica.run({ rowNumbers: sequence(0, 8), exchange: recordingExchange(8) });
      return replica.accumulator(0).slice();
    };
    const [gradientBefore, before] = [await gradient(), await probabilities()];
    const parameters = replica.parameters(0);
    const kept = parameters.slice();
    try {
      parameters.fill(0.01);
      expect(relativeL2(await gradient(), gradientBefore)).toBeGreaterThan(0.1);
      expect(relativeL2(await probabilities(), before)).toBeGreaterThan(0.1);
    } finally {
      parameters.set(kept);
    }
    expect([await gradient(), await probabilities()]).toEqual([gradientBefore, before]);
  });

  it('trains as wasm does, on two worker threads', async () => {
    const { directory, remove } = await temporaryDirectory();
    try {
      const data = await writeIdxSet(directory, 74, 21);
      const exact = await trainThreeSteps(data, { engine: wasmEngine, libraries: [] });
      const ours = await trainThreeSteps(data, { engine, libraries });
      expect(ours.start).toEqual(exact.start);
      expect(relativeL2(ours.gradient, exact.gradient)).toBeLessThan(1e-4);
      ours.losses.forEach((loss, step) => {
        const expected = exact.losses[step] ?? NaN;
        expect(Math.abs(loss / expected - 1), `loss of step ${String(step)}`).toBeLessThan(1e-5);
      });
      // Seen: gradient 1e-5, losses 1e-7, parameters 1.6e-3: Adam's first steps make much of gradients close to 0.
      expect(movementError(ours.parameters, exact.parameters, exact.start)).toBeLessThan(2e-2);
    } finally {
      await remove();
    }
  });

  it('refuses to be tfjs-node-gpu where TensorFlow finds no GPU', async () => {
    await expect(loadTensorFlow('tfjs-node-gpu', libraries)).rejects.toMatchObject({
      code: 'ENGINE_UNAVAILABLE',
      message: expect.stringMatching(
        /^`engine` tfjs-node-gpu: TensorFlow finds no CUDA GPU: .*`engine` tfjs-node$/,
      ) as string,
    });
  });

  it('writes nothing to stdout when it is loaded and used', async () => {
    const module = new URL('../../../dist/worker/engines/tfjs/load.js', import.meta.url).href;
    const program = `
      const { loadTensorFlow } = await import(${JSON.stringify(module)});
      const { tf } = await loadTensorFlow('tfjs-node', ${JSON.stringify(libraries)});
      const sum = tf.add(tf.ones([3]), 1);
      process.exitCode = (await sum.data())[2] === 2 ? 7 : 1;`;
    const ended = await run(process.execPath, ['--input-type=module', '-e', program]).catch((error: unknown) => error);
    expect(ended).toMatchObject({ code: 7, stdout: '', stderr: '' });
  });
});

/** A module whose code is its URL. */
const moduleOf = (code: string): string => `data:text/javascript,${encodeURIComponent(code)}`;

describe('a library that is missing or does not do', () => {
  afterEach(() => {
    const { navigator } = globalThis as { navigator?: object };
    if (navigator !== undefined) Reflect.deleteProperty(navigator, 'gpu');
    if (process.version.startsWith('v20.')) Reflect.deleteProperty(globalThis, 'navigator');
  });

  const cpu = moduleOf("export default { getBackend: () => 'cpu', backend: () => ({}), version: { tfjs: '4' } }");
  const broken = moduleOf(
    "throw new Error('The Node.js native addon module (tfjs_binding.node) can not be found at path: x. \\nPlease run')",
  );
  const adapter =
    'export const globals = {}; export const create = () => ({ requestAdapter: async () => ({ info: {} }) })';
  const noAdapter = moduleOf(
    'export const globals = {}; export const create = () => ({ requestAdapter: async () => null })',
  );
  /** As TensorFlow.js does where the backend fails: it names the backend all the same. */
  const failing = moduleOf("export default { setBackend: async () => false, getBackend: () => 'webgpu' }");
  const other = moduleOf("export default { setBackend: async () => true, getBackend: () => 'cpu' }");
  const empty = moduleOf('export default {}');

  it.each([
    [
      'tfjs-node',
      [],
      '@tensorflow/tfjs-node is not installed: npm install @tensorflow/tfjs-node, or in a checkout npm run setup:tfjs-node',
    ],
    [
      'tfjs-node',
      [broken],
      '@tensorflow/tfjs-node cannot be loaded (The Node.js native addon module (tfjs_binding.node) can',
    ],
    ['tfjs-node', [cpu], '@tensorflow/tfjs-node computes on the backend "cpu", not on TensorFlow: npm install'],
    [
      'tfjs-node-gpu',
      [],
      '@tensorflow/tfjs-node-gpu is not installed: npm install @tensorflow/tfjs-node-gpu, with CUDA',
    ],
    ['tfjs-webgpu', [], 'webgpu is not installed: npm install webgpu @tensorflow/tfjs @tensorflow/tfjs-backend-webgpu'],
    [
      'tfjs-webgpu',
      [noAdapter, empty, empty],
      'no WebGPU adapter: a GPU with a driver for Vulkan, Metal or Direct3D 12',
    ],
    ['tfjs-webgpu', [moduleOf(adapter), failing, empty], 'the WebGPU backend does not start on this adapter: use'],
    ['tfjs-webgpu', [moduleOf(adapter), other, empty], 'the WebGPU backend does not start on this adapter: use'],
    ['tfjs-webgpu', [moduleOf(adapter)], '@tensorflow/tfjs is not installed: npm install webgpu @tensorflow/tfjs'],
  ] as const)('%s: $2', async (name, modules, said) => {
    const error: unknown = await loadTensorFlow(name, modules).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(OperationalError);
    const { code, message } = error as OperationalError;
    expect(code).toBe('ENGINE_UNAVAILABLE');
    expect(message.startsWith(`\`engine\` ${name}: ${said}`), message).toBe(true);
    expect(message).not.toContain('\n');
  });
});

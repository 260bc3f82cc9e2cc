/**
 * What every engine owes its callers, the same body for each. The figures are PyTorch's in float64; how far off an engine
 * may be is said beside it.
 */
import { beforeAll, describe, expect, it } from 'vitest';
import type { ComputeDevice } from '../../../src/shared/compute-device.js';
import type { Engine, ShardReport } from '../../../src/shared/engine.js';
import { at } from '../../../src/shared/errors.js';
import { drawTransform, transformLength } from '../../../src/shared/model/augmentation.js';
import { forPlainPixels } from '../../../src/shared/model/input-scale.js';
import { batchNormChannels, parameterCount, parameters } from '../../../src/shared/model/network.js';
import { wasmEngine } from '../../../src/worker/engines/wasm/wasm-engine.js';
import { openclEngine } from '../../../src/worker/engines/opencl/opencl-engine.js';
import { tensorFlowEngines } from '../../../src/worker/engines/tfjs/tfjs-engines.js';
import { referenceEngine } from '../../../src/worker/engines/reference/reference-engine.js';
import { forwardBackward } from '../../../src/worker/engines/reference/forward-backward.js';
import { recordingExchange, replayingExchange } from '../../support/compute/exchange.js';
import type { ExchangeCall } from '../../support/compute/exchange.js';
import {
  figures,
  golden,
  initialParameters,
  movementError,
  relativeL2,
  sample,
  worstGradientError,
} from '../../support/compute/golden.js';
import { compileKernels } from '../../support/compute/kernels.js';
import { computeDevice, findOpenCl } from '../../support/compute/opencl.js';
import { mnistRows, pickMnistRows } from '../../support/inputs/mnist.js';
import { adamScalars, makeReplica } from '../../support/compute/replica.js';
import type { ReplicaOptions, TestReplica } from '../../support/compute/replica.js';
import { findTensorFlow } from '../../support/compute/tensorflow.js';

interface Candidate {
  readonly engine: Engine;
  /** Compiles the engine's kernels, where it has some. */
  readonly compile?: () => Promise<WebAssembly.Module>;
  /** What the engine imports. */
  readonly libraries?: readonly string[];
  /** Makes what an engine computes on, for a replica. */
  readonly device?: () => ComputeDevice;
  readonly tolerance: Tolerance;
}

/** Relative errors in L2. */
interface Tolerance {
  /** Of each gradient tensor. */
  readonly gradient: number;
  /** Of loss, running statistics and probabilities. */
  readonly forward: number;
  /** Of parameters and running statistics after three steps, relative to how far they moved. */
  readonly movement: number;
  /** Of the sums that a micro-batch hands over beside other micro-batches than before; 0 asks for equal bits. */
  readonly leaves: number;
  /** Of the sum of two shards' gradients against that of one shard; 0 asks for equal bits. */
  readonly sharded: number;
}

const tfjsNode = findTensorFlow('tfjs-node');
const found = await findOpenCl();
const openCl =
  typeof found === 'string'
    ? { missing: found }
    : { libraries: found.libraries, device: () => computeDevice(at(found.devices, 0)) };
const everyone: readonly (Candidate & { readonly missing?: string | null })[] = [
  // float64 arithmetic, float32 storage.
  { engine: referenceEngine, tolerance: { gradient: 5e-7, forward: 5e-7, movement: 1e-3, leaves: 0, sharded: 1e-6 } },
  // float32 through Winograd's transforms.
  {
    engine: wasmEngine,
    compile: compileKernels,
    tolerance: { gradient: 5e-5, forward: 1e-5, movement: 1e-3, leaves: 0, sharded: 0 },
  },
  // With the bits of the one above.
  {
    engine: openclEngine,
    compile: compileKernels,
    ...openCl,
    tolerance: { gradient: 5e-5, forward: 1e-5, movement: 1e-3, leaves: 0, sharded: 0 },
  },
  // float32 in an order of TensorFlow's own, which may depend on the number of rows. Seen with libtensorflow 2.15.1 on a
  // CPU: gradient 7e-6, forward 1.2e-7, movement 3e-5, leaves 0, sharded 1.6e-7.
  {
    engine: tensorFlowEngines['tfjs-node'],
    ...tfjsNode,
    tolerance: { gradient: 5e-5, forward: 2e-6, movement: 1e-3, leaves: 1e-6, sharded: 2e-6 },
  },
];
// Where a width is asked for, the engine that has widths is what is to be tested; the others were, without.
const asked = everyone.filter(({ engine }) => process.env['MNIST_DDP_SIMD'] === undefined || engine === wasmEngine);
const candidates: readonly Candidate[] = asked.filter(({ missing }) => typeof missing !== 'string');
const absent = asked.filter(({ missing }) => typeof missing === 'string');

const microBatch = 4;
const { steps, secondRank, uneven } = figures.batches;
const train = pickMnistRows('train', [...steps.flat(), ...secondRank, ...uneven]);
const start = initialParameters();
const initialRunning = new Float64Array(2 * batchNormChannels).fill(1, batchNormChannels);
const sequence = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);
const test = mnistRows('t10k', 0, 40);
const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
const relative = (actual: number, expected = NaN): number => Math.abs(actual / expected - 1);

/** The last 20 rows, whose 5 leaves are no power of two; computed once for all engines, since it takes seconds. */
let unevenFigures: ReturnType<typeof forwardBackward> | null = null;
const unevenReference = (): ReturnType<typeof forwardBackward> =>
  (unevenFigures ??= forwardBackward(start, train.images.subarray(32 * 784), train.labels.subarray(32)));

describe.each(absent)('engine $engine.name, NOT TESTED: $missing', () => {
  it.skip('keeps the contract');
});

describe.each(candidates)('engine $engine.name', ({ engine, compile, libraries = [], device, tolerance }) => {
  let module: WebAssembly.Module | undefined;
  beforeAll(async () => {
    module = await compile?.();
  });
  const replicaOf = (rows: number, more: Partial<ReplicaOptions> = {}): Promise<TestReplica> =>
    makeReplica(engine, {
      ...more,
      rows,
      microBatch,
      train,
      test,
      parameters: start,
      libraries,
      ...(device === undefined ? {} : { device: device() }),
      ...(module === undefined ? {} : { module }),
    });

  it('cuts accumulator and parameters into units that cover both exactly once', () => {
    const cover = (ranges: readonly { offset: number; length: number }[]): number => {
      let end = 0;
      for (const range of [...ranges].sort((a, b) => a.offset - b.offset)) {
        expect(range.offset).toBe(end);
        end += range.length;
      }
      return end;
    };
    expect(cover(engine.units.map((unit) => unit.accumulator))).toBe(engine.accumulatorLength);
    expect(cover(engine.units.flatMap((unit) => unit.parameters))).toBe(parameterCount);
  });

  describe('a batch of 8 rows on one replica', () => {
    let whole: TestReplica;
    let report: ShardReport;
    const exchange = recordingExchange(8);
    /** Before anything is added up. */
    let accumulator: Float32Array;

    beforeAll(async () => {
      whole = await replicaOf(8);
      report = await whole.run({ rowNumbers: sequence(0, 8), exchange });
      accumulator = whole.accumulator(0).slice();
      expect(whole.finish(8)).toBe(true);
    });

    it('gives the loss and every gradient of PyTorch', () => {
      expect(report.losses).toHaveLength(1);
      expect(relative(sum(report.losses) / 8, figures.losses[0])).toBeLessThan(tolerance.forward);
      expect(worstGradientError(whole.gradient, '').error).toBeLessThan(tolerance.gradient);
    });

    it('leaves updated running statistics in the other set and its own set alone', () => {
      expect(movementError(whole.runningStatistics(1), golden('running/1'), initialRunning)).toBeLessThan(
        tolerance.forward,
      );
      expect([...whole.runningStatistics(0)]).toEqual([...initialRunning]);
    });

    it("exchanges in the network's order", () => {
      const lengths = [128, 256, 512, 512, 256, 128];
      expect(exchange.calls.map((call) => call.length)).toEqual(lengths);
      expect(exchange.calls.map((call) => call.leaves.length)).toEqual(lengths.map((length) => 2 * length));
    });

    it('is the sum of two replicas of 4 rows each that share the statistics', async () => {
      const parts: TestReplica[] = [];
      const losses: number[] = [];
      const shares: ExchangeCall[][] = [];
      for (const rank of [0, 1]) {
        const replayed = replayingExchange(8, exchange.calls);
        const part = await replicaOf(4);
        const leaves = { start: rank, end: rank + 1 };
        const own = await part.run({ rowNumbers: sequence(4 * rank, 4 * rank + 4), leaves, exchange: replayed });
        parts.push(part);
        losses.push(...own.losses);
        shares.push(replayed.calls);
        expect(replayed.calls).toHaveLength(exchange.calls.length);
        expect(part.runningStatistics(1)).toEqual(whole.runningStatistics(1));
      }
      const [left, right] = parts.map((part) => part.accumulator(0));
      const added = accumulator.map((_, i) => (left?.[i] ?? NaN) + (right?.[i] ?? NaN));
      if (engine.exact) expect(Buffer.compare(Buffer.from(added.buffer), Buffer.from(accumulator.buffer))).toBe(0);
      else expect(relativeL2(added, accumulator)).toBeLessThan(tolerance.sharded);
      expect(relative(sum(losses), sum(report.losses))).toBeLessThan(Math.max(tolerance.leaves, 1e-12));
      exchange.calls.forEach((call, k) => {
        const handed = shares.map((calls) => calls[k]?.leaves ?? new Float64Array());
        const together = Float64Array.from(handed.flatMap((values) => [...values]));
        if (tolerance.leaves === 0) expect(together).toEqual(call.leaves);
        else expect(relativeL2(together, call.leaves)).toBeLessThan(tolerance.leaves);
      });
    });
  });

  it('normalises each shard by itself where the exchange is local', async () => {
    const losses: number[] = [];
    const gradient = new Float64Array(parameterCount);
    for (const rank of [0, 1]) {
      const part = await replicaOf(8);
      const rowNumbers = sequence(24 * rank, 24 * rank + 8);
      const leaves = { start: 2 * rank, end: 2 * rank + 2 };
      const report = await part.run({ rowNumbers, leaves, exchange: recordingExchange(8) });
      losses.push(...report.losses);
      part.finish(16);
      part.gradient.forEach((value, p) => (gradient[p] = (gradient[p] ?? NaN) + value));
      const running = golden(`local/running/${String(rank)}`);
      expect(movementError(part.runningStatistics(1), running, initialRunning)).toBeLessThan(tolerance.forward);
    }
    expect(relative(sum(losses) / 16, figures.localLoss)).toBeLessThan(tolerance.forward);
    expect(worstGradientError(gradient, 'local/').error).toBeLessThan(tolerance.gradient);
  });

  it('adds an uneven run of leaves up by the tree', async () => {
    const replica = await replicaOf(20);
    const report = await replica.run({ rowNumbers: sequence(32, 52), exchange: recordingExchange(20) });
    expect(report.losses).toHaveLength(2);
    replica.mergeSubtrees(5);
    replica.finish(20);
    const expected = unevenReference();
    expect(relative(sum(report.losses) / 20, expected.loss)).toBeLessThan(tolerance.forward);
    expect(relativeL2(replica.gradient, expected.gradient)).toBeLessThan(tolerance.gradient);
  });

  it('takes three steps as PyTorch does', async () => {
    const replica = await replicaOf(8);
    for (const t of [1, 2, 3]) {
      const from = t % 2 === 1 ? 0 : 1;
      const exchange = recordingExchange(8);
      const report = await replica.run({ rowNumbers: sequence(8 * (t - 1), 8 * t), from, exchange });
      expect(relative(sum(report.losses) / 8, figures.losses[t - 1])).toBeLessThan(tolerance.movement);
      expect(replica.finish(8)).toBe(true);
      expect(replica.update(from, { ...adamScalars(t), epsilon: figures.epsilon })).toBe(true);
    }
    for (const { name, offset, length } of parameters) {
      const tensor = sample(replica.parameters(1).subarray(offset, offset + length));
      const from = sample(start.subarray(offset, offset + length));
      expect(movementError(tensor, golden(`parameters/3/${name}`), from), name).toBeLessThan(tolerance.movement);
    }
    expect(movementError(replica.runningStatistics(1), golden('running/3'), initialRunning)).toBeLessThan(
      tolerance.movement,
    );
  });

  it('trains on transformed images of 0 to 1 by cross-entropy, and averages, as the reference does', async () => {
    const recipe = { loss: 'cross-entropy', inputDivisor: 255, averages: true } as const;
    const transforms = new Float32Array(8 * transformLength);
    const config = { seed: 3, rotation: 20, translation: 3, scaling: 0.2, shear: 15 };
    for (let row = 0; row < 8; row++) drawTransform(config, 1, row, transforms, row * transformLength);
    const trained = async (replica: TestReplica): Promise<ShardReport> => {
      const exchange = recordingExchange(8);
      const report = await replica.run({ rowNumbers: sequence(0, 8), transforms, exchange });
      replica.mergeSubtrees(2);
      expect(replica.finish(8)).toBe(true);
      expect(replica.update(0, { ...adamScalars(1), averageDecay: 0.75 })).toBe(true);
      return report;
    };
    const [own, reference] = [
      await replicaOf(8, recipe),
      await makeReplica(referenceEngine, { ...recipe, rows: 8, microBatch, train, test, parameters: start }),
    ];
    const [report, expected] = [await trained(own), await trained(reference)];
    expect(relative(sum(report.losses), sum(expected.losses))).toBeLessThan(tolerance.forward);
    for (const { name, offset, length } of parameters) {
      const part = ({ gradient }: TestReplica): Float32Array => gradient.subarray(offset, offset + length);
      expect(relativeL2(part(own), part(reference)), name).toBeLessThan(2 * tolerance.gradient);
    }
    expect(relativeL2(own.parameters(1), reference.parameters(1))).toBeLessThan(tolerance.movement);
    const average = reference.parameters(1).map((value, p) => 0.75 * (start[p] ?? NaN) + 0.25 * value);
    expect(relativeL2(own.averages(1), average)).toBeLessThan(tolerance.movement);
    expect(relativeL2(own.averages(0), start), 'the averages of the other set are left alone').toBe(0);
  });

  it('evaluates the average of a state set, its input scaled', async () => {
    const replica = await replicaOf(8, { inputDivisor: 255, averages: true });
    replica.evaluationStatistics.set(initialRunning);
    const evaluated = async (averaged: boolean): Promise<Float32Array> => {
      replica.prepare(0, averaged);
      await replica.replica.evaluate(0, 5, 0, averaged);
      return replica.probabilities.slice(0, 50);
    };
    const [raw, averaged] = [await evaluated(false), await evaluated(true)];
    expect(relativeL2(averaged, raw), 'the average begins with the weights').toBe(0);
    const plain = await replicaOf(8);
    plain.parameters(0).set(forPlainPixels(plain.parameters(0), { inputScale: 'unit' }));
    plain.evaluationStatistics.set(initialRunning);
    plain.prepare(0, false);
    await plain.replica.evaluate(0, 5, 0);
    expect([...raw], 'a network of plain pixels gives the same bits').toEqual([...plain.probabilities.slice(0, 50)]);
    replica.averages(0).set(start.map((value) => value * 0.5));
    expect(relativeL2(await evaluated(true), raw)).toBeGreaterThan(0.001);
  });

  it('reports values that are not finite, in whichever unit they are', async () => {
    const replica = await replicaOf(8);
    expect(replica.finish(8)).toBe(true);
    expect(replica.update(0, adamScalars(1))).toBe(true);
    const { accumulators, replica: computing } = replica;
    if (computing.keepsState) {
      // One unit of each layer.
      engine.units.forEach(({ name, accumulator }, unit) => {
        if (/\[[^0]/.test(name)) return;
        const before = replica.accumulator(0)[accumulator.offset] ?? NaN;
        computing.load(0);
        replica.accumulator(0)[accumulator.offset] = Infinity;
        expect(replica.update(0, adamScalars(1)), name).toBe(false);
        expect(computing.notFinite(), name).toEqual({ unit, step: 0 });
        replica.accumulator(0)[accumulator.offset] = before;
      });
      return;
    }
    engine.units.forEach(({ name, accumulator, parameters: [range] }, unit) => {
      replica.accumulator(0)[accumulator.offset] = Infinity;
      replica.gradient[range?.offset ?? NaN] = Infinity;
      expect(computing.update(unit, 0, 1, adamScalars(1)), name).toBe(false);
    });
    engine.units.forEach((unit, k) => {
      expect(computing.finish(k, accumulators[0] ?? NaN, 8), unit.name).toBe(false);
    });
  });

  it('joins the exchanges without rows of its own', async () => {
    const idle = await replicaOf(8);
    const recorded = [128, 256, 512, 512, 256, 128].map((length) => {
      // Sums over 16 rows of channels with mean 0 and some variance, so that all stays finite.
      const total = new Float64Array(length).fill(16 * 144, length / 2);
      return { length, leaves: new Float64Array(), total };
    });
    const exchange = replayingExchange(16, recorded);
    const empty = { rowNumbers: [], leaves: { start: 2, end: 2 } };
    expect(await idle.run({ ...empty, exchange })).toEqual({ losses: [] });
    expect(exchange.calls.map((call) => call.leaves.length)).toEqual([0, 0, 0, 0, 0, 0]);
    // bn2: biased variance 1, times n / (n - 1) with n = 16 * 144.
    expect(idle.runningStatistics(1)[0]).toBeCloseTo(0, 6);
    expect(idle.runningStatistics(1)[batchNormChannels]).toBeCloseTo(0.9 + (0.1 * 2304) / 2303, 6);
    idle.runningStatistics(0).fill(3);
    await idle.run({ ...empty, exchange: recordingExchange(0) });
    expect([...idle.runningStatistics(1)]).toEqual([...idle.runningStatistics(0)]);
  });

  it('evaluates any run of rows by the evaluation statistics', async () => {
    const replica = await replicaOf(8);
    const { probabilities } = replica;
    replica.evaluationStatistics.set(golden('running/3'));
    probabilities.fill(-1);
    await replica.replica.evaluate(3, 40, 0);
    expect([...probabilities.subarray(0, 30)]).toEqual(Array.from({ length: 30 }, () => -1));
    const figured = golden('evaluation');
    expect(relativeL2(probabilities.subarray(30, figured.length), figured.subarray(30))).toBeLessThan(
      tolerance.forward,
    );
    const together = probabilities.slice(30);
    for (const [from, to] of [
      [3, 4],
      [4, 21],
      [21, 40],
    ] as const)
      await replica.replica.evaluate(from, to, 0);
    expect(relativeL2(together, probabilities.subarray(30))).toBeLessThan(tolerance.forward);
  });
});

/** The opencl engine beside the wasm engine: the same bits of all that a shard and a step leave. */
import { beforeAll, describe, expect, it } from 'vitest';
import type { DeviceReplica } from '../../../src/shared/engine.js';
import { assert, at } from '../../../src/shared/errors.js';
import { openclEngine } from '../../../src/worker/engines/opencl/opencl-engine.js';
import { wasmEngine } from '../../../src/worker/engines/wasm/wasm-engine.js';
import { recordingExchange } from '../../support/compute/exchange.js';
import { initialParameters } from '../../support/compute/golden.js';
import { compileKernels } from '../../support/compute/kernels.js';
import { mnistRows } from '../../support/inputs/mnist.js';
import { computeDevice, findOpenCl, withoutFloat64, type FoundOpenCl } from '../../support/compute/opencl.js';
import { adamScalars, makeReplica, type TestReplica } from '../../support/compute/replica.js';

const found = await findOpenCl();
const missing = typeof found === 'string' ? ` (left out: ${found})` : '';
const train = mnistRows('train', 0, 64);
const test = mnistRows('t10k', 0, 11);

// Rows are multiples of 8: POCL compiles a kernel for each size of its work-groups, which such rows have in common.

describe.skipIf(missing !== '').each([true, false])(
  `opencl beside wasm, on a device whose float64 is %s${missing}`,
  (float64) => {
    const { libraries, devices } = found as FoundOpenCl;
    let module: WebAssembly.Module;
    beforeAll(async () => {
      module = await compileKernels();
    });
    const both = async (rows: number, microBatch: number): Promise<[wasm: TestReplica, opencl: TestReplica]> => {
      const options = { rows, microBatch, train, test, parameters: initialParameters(), module };
      const device = computeDevice(float64 ? at(devices, 0) : withoutFloat64(at(devices, 0)));
      return [
        await makeReplica(wasmEngine, options),
        await makeReplica(openclEngine, { ...options, libraries, device }),
      ];
    };

    it.each([
      { rows: 24, microBatch: 5, start: 3 },
      // More leaves than are summed at once, and a stack between them.
      ...(float64 ? [{ rows: 40, microBatch: 1, start: 0 }] : []),
    ])('leaves the same bits of $rows rows in leaves of $microBatch, the first of them leaf $start', async (shape) => {
      const { rows, microBatch, start } = shape;
      const [wasm, opencl] = await both(rows, microBatch);
      const shard = { rowNumbers: rowsOf(rows), leaves: { start, end: start + Math.ceil(rows / microBatch) } };
      const [wanted, got] = [recordingExchange(rows), recordingExchange(rows)];
      const report = await wasm.run({ ...shard, exchange: wanted });
      expect(await opencl.run({ ...shard, exchange: got })).toEqual(report);
      wanted.calls.forEach(({ leaves }, k) => {
        expectBits(`exchange ${String(k)}`, at(got.calls, k).leaves, leaves);
      });
      expectBits('running statistics', opencl.runningStatistics(1), wasm.runningStatistics(1));
      report.losses.forEach((_, k) => {
        expectUnits(opencl.accumulator(k), wasm.accumulator(k));
      });
    });

    it('evaluates test rows to the same probabilities', async () => {
      const replicas = await both(8, 8);
      for (const { replica, evaluationStatistics } of replicas) {
        evaluationStatistics.set(evaluationStatistics.map((_, i) => 0.3 + (i % 7) / 10));
        await replica.evaluate(1, 11, 0);
      }
      const [wasm, opencl] = replicas;
      expectBits('probabilities', opencl.probabilities, wasm.probabilities);
    });

    it.runIf(float64)('takes the tree over its leaves itself where nobody else has any, to the same bits', async () => {
      const [wasm, opencl] = await both(24, 4);
      const rowNumbers = rowsOf(24);
      await wasm.run({ rowNumbers, exchange: recordingExchange(24) });
      const exchange = { ...recordingExchange(24), withinShard: true, reduce: unexpected };
      await opencl.run({ rowNumbers, exchange });
      expectBits('running statistics', opencl.runningStatistics(1), wasm.runningStatistics(1));
      expectUnits(opencl.accumulator(0), wasm.accumulator(0));
      expectUnits(opencl.accumulator(1), wasm.accumulator(1));
    });

    it.runIf(float64)(
      'finishes a tree of its own sums and of others, and takes the step that the wasm engine takes',
      async () => {
        const [wasm, opencl] = await both(24, 8);
        const shard = { rowNumbers: rowsOf(24), exchange: recordingExchange(24) };
        await wasm.run(shard);
        await opencl.run({ ...shard, exchange: recordingExchange(24) });
        wasm.mergeSubtrees(3);
        wasm.finish(24);
        expect(wasm.update(0, adamScalars(1))).toBe(true);
        // The first subtree stays on the device, the second is another's.
        const sums = { nodes: [null, at(opencl.accumulators, 1)], merges: [{ target: 0, source: 1 }] };
        const device = deviceOf(opencl);
        device.update(sums, { step: 0, from: 0, to: 1, globalRows: 24, adam: adamScalars(1) });
        device.store(1, true);
        expectBits('parameters', opencl.parameters(1), wasm.parameters(1));
        expect(device.notFinite()).toBeNull();
      },
    );

    it('keeps the state before a step that was not finite, whatever is asked of it then', async () => {
      const [, opencl] = await both(8, 8);
      const exchange = { ...recordingExchange(8), withinShard: true };
      await opencl.run({ rowNumbers: rowsOf(8), exchange });
      const device = deviceOf(opencl);
      const own = { nodes: [null], merges: [] };
      const step = (index: number, sums: typeof own | { nodes: number[]; merges: never[] }): void => {
        const [from, to] = index % 2 === 0 ? ([0, 1] as const) : ([1, 0] as const);
        device.update(sums, { step: index, from, to, globalRows: 8, adam: adamScalars(index + 1) });
      };
      step(0, own);
      device.store(1, true);
      const [parameters, statistics] = [opencl.parameters(1).slice(), opencl.runningStatistics(1).slice()];
      opencl.accumulator(0).fill(NaN);
      step(1, { nodes: [at(opencl.accumulators, 0)], merges: [] });
      const shard = { from: 0, to: 1, rowNumbers: 0, rows: 0, transforms: null, leaves: { start: 0, end: 0 } } as const;
      device.forwardBackward(shard, { ...exchange, rows: 0 });
      step(2, own);
      expect(device.notFinite()).toEqual({ unit: 0, step: 1 });
      device.store(1, true);
      expectBits('parameters', opencl.parameters(1), parameters);
      expectBits('running statistics', opencl.runningStatistics(1), statistics);
    });
  },
);

const rowsOf = (count: number): number[] => Array.from({ length: count }, (_, i) => (i * 7) % 64);

function unexpected(): void {
  throw new Error('an exchange that the device needs not');
}

function deviceOf({ replica }: TestReplica): DeviceReplica {
  assert(replica.keepsState, 'state on the device');
  return replica;
}

function expectBits(what: string, got: ArrayLike<number>, wanted: ArrayLike<number>): void {
  const index = Array.from(wanted).findIndex((value, i) => !Object.is(value, got[i]));
  expect({ what, index, wanted: wanted[index], got: got[index] }).toEqual({ what, index: -1 });
  expect(got).toHaveLength(wanted.length);
}

function expectUnits(got: Float32Array, wanted: Float32Array): void {
  for (const { name, accumulator } of openclEngine.units) {
    const [from, to] = [accumulator.offset, accumulator.offset + accumulator.length];
    expectBits(name, got.subarray(from, to), wanted.subarray(from, to));
  }
}

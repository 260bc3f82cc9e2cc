/** The engine `opencl` as a user meets it: runs, whole or interrupted, on one device or several, have the hash of `wasm`. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nodeHost } from '../../../src/coordinator/node/node-host.js';
import { locateDataset, openDataset } from '../../../src/coordinator/node/dataset-files.js';
import { runVerification } from '../../../src/coordinator/verification.js';
import { evaluate, loadCheckpoint, predict, verify } from '../../../src/index.js';
import type { DevicesReport, StartMetric, Summary, TrainOptions } from '../../../src/index.js';
import type { DevicePool } from '../../../src/shared/compute-device.js';
import { at } from '../../../src/shared/errors.js';
import { defaultConfig } from '../../../src/shared/model/config.js';
import { openclEngine } from '../../../src/worker/engines/opencl/opencl-engine.js';
import { cli } from '../../support/processes/cli.js';
import { operationalError } from '../../support/compute/errors.js';
import { survive, type FaultCase } from '../../support/processes/faults.js';
import { mnistDirectory, temporaryDataset } from '../../support/inputs/idx-files.js';
import { computeDevice, findOpenCl, withoutFloat64, type FoundOpenCl } from '../../support/compute/opencl.js';
import { trainRun } from '../../support/processes/runs.js';

const found = await findOpenCl();
const missing = typeof found === 'string' ? ` (left out: ${found})` : '';

/** An epoch of 3 steps: 16, 16 and 6 rows. */
const config = { batchSize: 16, microBatch: 2, epochs: 1, seed: 9 };
/** Of a run whose workers are started again, and compile again. */
const survivesWithinMs = 60_000;
const hashes = ({ parametersSha256, stateSha256 }: Summary): string[] => [parametersSha256, stateSha256];

describe.skipIf(missing !== '')(`the engine opencl${missing}`, () => {
  let directory: string;
  let data: string;
  let remove: () => Promise<void>;
  let folders = 0;
  const out = (): string => join(directory, `run-${String(folders++)}`);
  let whole: Summary;
  const run = async (options: TrainOptions) => (await trainRun({ ...config, data, out: out(), ...options })).summary;
  beforeAll(async () => {
    ({ directory, data, remove } = await temporaryDataset(38, 20));
    whole = await run({ engine: 'wasm', workers: 1 });
  });
  afterAll(async () => {
    await remove();
  });

  it('gives the golden hashes of two steps on MNIST, on two devices, stopped and resumed', async () => {
    const { rows, equal, golden, simdBits } = await verify({
      engine: 'opencl',
      data: mnistDirectory,
      workers: [2],
      steps: 2,
    });
    expect(golden).not.toBeNull();
    expect(rows).toHaveLength(2);
    for (const row of rows) expect(row).toMatchObject(golden ?? {});
    expect([equal, simdBits]).toEqual([true, null]);
  });

  it('gives them where a device has no float64, too', async () => {
    const { libraries, devices } = found as FoundOpenCl;
    const poor = devices.map(withoutFloat64);
    const pool: DevicePool = {
      take: (size) => Array.from({ length: size }, (_, rank) => computeDevice(at(poor, rank % poor.length))),
      reclaim: () => undefined,
      measurePeaks: () => [],
    };
    const dataset = await openDataset(await locateDataset(mnistDirectory));
    const { rows, equal, golden } = await runVerification({
      ...{ host: nodeHost, engine: openclEngine, libraries, pool, config: defaultConfig, dataset },
      ...{ workers: [2], steps: 2, timeoutMs: 60_000, job: null, onNote: () => undefined },
    });
    expect([rows.length, equal]).toEqual([2, true]);
    expect(golden).not.toBeNull();
  });

  it.each([
    { workers: 1, devices: 'opencl:1' },
    { workers: 3, devices: 'opencl:0,opencl:1,opencl:0' },
  ])('gives the hash of wasm with $workers workers on $devices', async (where) => {
    expect(hashes(await run({ engine: 'opencl', ...where }))).toEqual(hashes(whole));
  });

  it('goes on with a run of wasm, and wasm with one of opencl, with nothing overridden', async () => {
    const folder = out();
    await run({ engine: 'wasm', out: folder, maxSteps: 1 });
    const engines: string[] = [];
    const goOn = async (options: TrainOptions) => {
      const { metrics, summary } = await trainRun({ resume: folder, data, ...options });
      engines.push((metrics[0] as StartMetric).engine);
      return summary;
    };
    await goOn({ engine: 'opencl', workers: 2, maxSteps: 2 });
    // Where nothing else is asked for, the processor goes on with it: no OpenCL on the processor is taken by itself.
    expect(hashes(await goOn({ workers: 2 }))).toEqual(hashes(whole));
    expect(engines).toEqual(['opencl', 'wasm']);
    expect((await loadCheckpoint(folder)).overridden).toEqual([]);
  });

  it.each<FaultCase>([
    { kind: 'exit', phase: 'forward and backward', rank: 1, step: 2 },
    { kind: 'throw', phase: 'evaluation', rank: 0, step: 3 },
    { kind: 'stall', phase: 'exchange', rank: 2, step: 2 },
  ])('replaces a worker that fails by $kind in $phase, at no cost but time', async (fault) => {
    const options: TrainOptions = { ...config, engine: 'opencl', workers: 3, timeout: 5, data, out: out() };
    expect(hashes(await survive(fault, options, survivesWithinMs))).toEqual(hashes(whole));
  });

  it('evaluates and predicts with the bits of wasm', async () => {
    const checkpoint = out();
    await run({ engine: 'wasm', out: checkpoint, maxSteps: 1 });
    const files = [join(data, 't10k-images-idx3-ubyte')];
    const [wasm, opencl] = await Promise.all(
      (['wasm', 'opencl'] as const).map(async (engine) => ({
        evaluation: await evaluate({ checkpoint, data, engine, workers: 2 }),
        predictions: await predict({ checkpoint, files, engine, workers: 2 }),
      })),
    );
    expect(opencl).toEqual(wasm);
  });

  it('says in its start what it computes on, and why', async () => {
    const folder = out();
    await run({ engine: 'opencl', devices: 'opencl:0', out: folder, maxSteps: 1 });
    const [start = ''] = (await readFile(join(folder, 'metrics.jsonl'), 'utf8')).split('\n');
    const why = expect.stringMatching(/^opencl:0 \(.+\), with the bits of the CPU$/) as string;
    expect(JSON.parse(start)).toMatchObject({ kind: 'start', engine: 'opencl', workers: 1, why, simd: null });
  });

  it.each([
    [{ devices: 'gpu' }, 'USAGE', '`devices` names a GPU, but OpenCL finds none: opencl:N takes any device of it'],
    [{ devices: 'opencl:7' }, 'USAGE', '`devices` names opencl:7, which there is not: there is opencl:0, opencl:1'],
    [{ engine: 'opencl', devices: 'cpu' }, 'USAGE', '`devices` names processors, but `engine` opencl takes gpu'],
    [{ engine: 'wasm', devices: 'opencl:0' }, 'USAGE', '`devices` names opencl:0, but `engine` wasm computes on'],
    [{ engine: 'tfjs-node', devices: 'gpu:0' }, 'USAGE', '`devices` names gpu:0, but `engine` tfjs-node has a device'],
    [
      { engine: 'opencl', batchSize: 60_000, data: mnistDirectory },
      'MEMORY_EXCEEDED',
      /^`batchSize` 60000 with 1 worker on opencl:0 \(.+\) needs .+ GiB .+: `batchSize` \d+ fits$/,
    ],
  ] as const)('refuses %o in one line', async (options, code, says) => {
    const error = await operationalError(() => run({ workers: 1, ...options }));
    expect(error.code).toBe(code);
    expect(error.message).toMatch(says);
  });

  it('is listed by devices with what each device is, in both forms', async () => {
    const { stdout } = await cli(['devices', '--json']);
    const { opencl, engines, choice } = JSON.parse(stdout) as DevicesReport;
    expect(engines.find(({ name }) => name === 'opencl')).toMatchObject({ available: true, exact: true });
    expect(opencl.map(({ device }) => device)).toEqual(['opencl:0', 'opencl:1']);
    expect(opencl[0]).toMatchObject({ exact: true, lacks: [], gpu: null, kind: 'cpu' });
    expect(choice).toMatchObject({ engine: 'wasm', why: 'no GPU: OpenCL finds none' });
    const text = (await cli(['devices'])).stdout;
    expect(text).toMatch(/^OpenCL\n {2}opencl:0 +\S.*: gives the bits of the CPU$/m);
    expect(text).toMatch(/^ {2}--devices opencl:N +opencl:0, opencl:1$/m);
  });

  it('is one line where there is no loader, and another engine is taken by itself', async () => {
    const env = { MNIST_DDP_OPENCL: '/nowhere/libOpenCL.so.1' };
    const flags = ['--max-steps', '1', '--batch-size', '16', '--data', data, '--out', out()];
    const named = await cli(['train', '--engine', 'opencl', ...flags], { env });
    expect([named.code, named.stderr]).toEqual([
      1,
      'mnist-ddp: --engine opencl: /nowhere/libOpenCL.so.1 (from MNIST_DDP_OPENCL) cannot be loaded: ' +
        'name a loader of OpenCL there, or leave it out\n',
    ]);
    const auto = await cli(['train', ...flags], { env });
    expect(auto.code).toBe(0);
    expect(auto.stderr).toContain('engine wasm (no GPU: /nowhere/libOpenCL.so.1 (from MNIST_DDP_OPENCL) cannot be');
  });

  it('measures each kernel of a step beside what the device comes to', async () => {
    const flags = ['--workers', '1', '--steps', '1', '--batch-size', '16', '--data', data];
    const { stdout } = await cli(['bench', '--engine', 'opencl', '--profile', ...flags, '--json']);
    const [row] = JSON.parse(stdout) as { profile: { peaks: { gflops: number }[]; kernels: { label: string }[] } }[];
    expect(row?.profile.peaks.map(({ gflops }) => gflops > 0)).toEqual([true, true]);
    expect(row?.profile.kernels.map(({ label }) => label)).toContain('conv2 product');
    const refused = await cli(['bench', '--engine', 'wasm', '--profile', ...flags]);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toMatch(/^mnist-ddp: --profile takes the times of kernels on a GPU, which --engine wasm/);
  });
});

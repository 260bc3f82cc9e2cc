/** `mnist-ddp devices`: its two forms say the same of this machine. */
import { describe, expect, it } from 'vitest';
import { describe as describeReport, ranges } from '../../../src/commands/devices.js';
import { nodeSimd } from '../../../src/coordinator/node/node-simd.js';
import { devices, type DevicesReport } from '../../../src/index.js';
import { choiceOf } from '../../../src/library/devices.js';
import { cli } from '../../support/processes/cli.js';
import { adviceExpected } from '../../support/compute/kernels.js';

describe('mnist-ddp devices', () => {
  it('prints one JSON object: machine, engines, and what auto takes', async () => {
    const { code, stdout, stderr } = await cli(['devices', '--json']);
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/^\{[^\n]*\}\n$/);
    const report = JSON.parse(stdout) as DevicesReport;
    expect(Object.keys(report)).toEqual(['machine', 'engines', 'opencl', 'mpi', 'choice']);
    expect(report).toEqual(await devices());
    const wasm = report.engines.find(({ name }) => name === 'wasm');
    expect(wasm).toMatchObject({ available: true, exact: true });
    const { bits, why, advice } = await nodeSimd();
    expect(wasm?.simd).toEqual({ bits, why, advice });
    expect(wasm?.detail).toBe(`WebAssembly SIMD of ${String(bits)} bits (${why}), golden hash 7dd3d0128117`);
    expect(report.engines.filter(({ available }) => available).map(({ name }) => name)).toContain(report.choice.engine);
  });

  it('prints the same for people: aligned lines under headings', async () => {
    const { code, stdout, stderr } = await cli(['devices']);
    expect([code, stderr]).toEqual([0, '']);
    const report = await devices();
    expect(stdout).toBe(describeReport(report));
    const sections = stdout.trimEnd().split('\n\n');
    expect(sections.map((section) => section.split('\n')[0])).toEqual([
      'Machine',
      'GPUs',
      'Engines',
      'Several machines',
      'Choices',
    ]);
    for (const line of stdout.split('\n').filter((line) => line.startsWith(' '))) expect(line).toMatch(/^ {2}\S/);
    expect(stdout).toContain(`processor         ${report.machine.processor.model ?? 'unknown'}\n`);
    expect(stdout).toMatch(/^ {2}WebAssembly SIMD {2}(128|256) bits wide: \S/m);
    const advice = /^ {2}advice +Node 24 or later would train 1.5 to 2 times as fast on this processor: \S/m;
    expect(advice.test(stdout)).toBe(adviceExpected());
    expect(stdout).toMatch(/^ {2}wasm \S+ +available, same bits on every machine: WebAssembly SIMD/m);
    expect(stdout).toMatch(/^ {2}--engine auto +wasm: \S/m);
    expect(stdout).toMatch(/^ {2}--devices cpu +any core$/m);
  });

  it('names CPUs for cpu:N that train takes', async () => {
    const { machine } = await devices();
    if (process.platform === 'linux') expect(machine.processor.usableCpus).not.toEqual([]);
    for (const cpu of machine.processor.usableCpus.slice(0, 1)) {
      // A missing folder is the first thing to be wrong after the devices.
      const { stderr } = await cli([
        'train',
        '--devices',
        `cpu:${String(cpu)}`,
        '--data',
        '/nonexistent',
        '--out',
        '/dev/null/x',
      ]);
      expect(stderr).not.toContain('--devices');
    }
  });
});

describe('where no engine works', () => {
  it('auto takes none, in both forms, with the reason, as train would say it', async () => {
    const env = { MNIST_DDP_SIMD: '512' };
    const says = 'MNIST_DDP_SIMD must be 128 or 256, or left out, not "512"';
    const { stdout } = await cli(['devices', '--json'], { env });
    const { engines, choice } = JSON.parse(stdout) as DevicesReport;
    expect(engines.find(({ name }) => name === 'wasm')).toMatchObject({ available: false, detail: says });
    expect(choice).toEqual({ engine: null, why: expect.stringContaining(says) as string });
    const { code, stderr } = await cli(['train', '--max-steps', '1'], { env });
    expect([code, stderr]).toEqual([2, `mnist-ddp: ${says}\n`]);
  });

  it('but a GPU, auto takes that', () => {
    const none = { version: '1', available: false, exact: true, device: null, simd: null } as const;
    const wasm = { ...none, name: 'wasm', detail: 'no kernels' } as const;
    const gpu = { ...none, name: 'tfjs-node-gpu', available: true, device: 'gpu', detail: 'a GPU' } as const;
    const opencl = { found: false, version: null, why: 'koffi is not installed' } as const;
    expect(choiceOf([wasm, gpu], opencl)).toEqual({ engine: 'tfjs-node-gpu', why: 'a GPU' });
    const { engine, why } = choiceOf([wasm, { ...gpu, available: false, detail: 'no GPU' }], opencl);
    expect([engine, why]).toEqual([
      null,
      'tfjs-node-gpu does not work here: no GPU, and wasm is not available: no kernels',
    ]);
  });
});

describe('the text', () => {
  it('gives advice by the flags of train', async () => {
    const { engines, choice, ...report } = await devices();
    const advised = engines.map((engine) => ({ ...engine, available: false, detail: 'no GPU: use `engine` wasm' }));
    const text = describeReport({ ...report, engines: advised, choice: { ...choice, why: 'use `engine` wasm' } });
    expect(text.match(/not available: no GPU: use --engine wasm\n/g)).toHaveLength(engines.length);
    expect(text).toMatch(/^ {2}--engine auto +\w+: use --engine wasm$/m);
  });

  it('says why an engine is not available, and what is unknown', async () => {
    const report = await devices();
    const processor = { ...report.machine.processor, model: null, physicalCores: null, usableCpus: [] };
    const none = { available: false, device: null, simd: null };
    const gpu = { vendor: 'NVIDIA', model: 'H100', memoryGiB: 79.6, driver: null };
    const text = describeReport({
      machine: { ...report.machine, processor, memoryLimitGiB: 2, gpus: [gpu, { ...gpu, memoryGiB: null }] },
      engines: [
        { ...none, name: 'wasm', version: '1', exact: true, detail: 'no kernels: run npm run build' },
        { ...none, name: 'tfjs-node', version: null, exact: false, detail: 'not installed: npm install it' },
      ],
      opencl: [],
      mpi: { available: false, detail: 'koffi is not installed: npm install koffi' },
      choice: { engine: null, why: 'nothing works' },
    });
    expect(text).toMatch(/^ {2}processor +unknown$/m);
    expect(text).toMatch(/^ {2}cores +an unknown number physical, /m);
    expect(text).toMatch(/, of which this process may use 2 GiB$/m);
    expect(text).toContain('\n  H100  NVIDIA, 79.6 GiB, driver unknown\n  H100  NVIDIA, driver unknown\n');
    expect(text).toContain('\n  wasm 1     not available: no kernels: run npm run build\n');
    expect(text).toContain('\n  tfjs-node  not available: not installed: npm install it\n');
    expect(text).toContain('\n  MPI  not available: koffi is not installed: npm install koffi\n');
    expect(text).toMatch(/^ {2}--engine auto +none: nothing works$/m);
    expect(text).not.toContain('cpu:N');
    expect(describeReport({ ...report, machine: { ...report.machine, gpus: [] } })).toContain('GPUs\n  none found\n');
    expect(describeReport({ ...report, machine: { ...report.machine, gpus: null } })).toContain('GPUs\n  unknown ');
  });

  it('shortens runs of numbers', () => {
    expect(ranges([0, 1, 2, 5, 7, 8])).toBe('0-2,5,7-8');
    expect(ranges([3])).toBe('3');
    expect(ranges([])).toBe('');
  });
});

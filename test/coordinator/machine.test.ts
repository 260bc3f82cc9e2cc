/** What a machine is said to be: from given texts, and this one. */
import { chmod, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { availableParallelism } from 'node:os';
import { afterEach, describe, expect, it, vi } from 'vitest';
import {
  describeMachine,
  distributionOf,
  flagsOf,
  gpusOf,
  instructionSetsOf,
  machineSummary,
  macosOf,
  processorName,
  type Machine,
} from '../../src/coordinator/node/machine.js';
import { physicalCores } from '../../src/coordinator/node/topology.js';
import { temporaryDirectory } from '../support/inputs/idx-files.js';

describe('instruction sets', () => {
  it.each([
    [
      'Sapphire Rapids, by Linux',
      'fpu sse4_1 sse4_2 avx f16c fma avx2 avx512f avx512dq avx_vnni avx512_bf16 avx512_vnni amx_bf16 amx_tile amx_int8',
      'x64',
      ['SSE4.1', 'AVX', 'AVX2', 'FMA', 'AVX-VNNI', 'AVX-512', 'AVX-512 BF16', 'AVX-512 VNNI', 'AMX'],
    ],
    ['Haswell, by Linux', 'sse4_1 avx fma avx2', 'x64', ['SSE4.1', 'AVX', 'AVX2', 'FMA']],
    ['an Intel Mac', 'fpu sse3 sse4.1 sse4.2 fma avx1.0', 'x64', ['SSE4.1', 'AVX', 'FMA']],
    ['Neoverse, by Linux', 'fp asimd evtstrm sve sve2 bf16', 'arm64', ['NEON', 'SVE', 'SVE2']],
    ['an Apple M1, which tells no flags', '', 'arm64', ['NEON']],
    ['a 32-bit arm', 'half thumb neon vfpv4', 'arm', ['NEON']],
    ['nothing known', '', 'x64', []],
    ['names that only contain others', 'avx512fp16 xavx2 sve_x', 'x64', []],
  ])('%s', (_name, flags, architecture, names) => {
    expect(instructionSetsOf(flags, architecture)).toEqual(names);
  });

  it('are read from the flags of the first processor', () => {
    expect(flagsOf('model name\t: x\nvmx flags\t: vnmi\nflags\t\t: fpu avx2\nbugs\t: x\n\nflags\t\t: fpu\n')).toBe(
      'fpu avx2',
    );
    expect(flagsOf('Features\t: fp asimd sve\n')).toBe('fp asimd sve');
    expect(flagsOf('')).toBeNull();
  });
});

describe('names', () => {
  it.each([
    ['Intel', 'Xeon® Processor', 'Intel Xeon Processor'],
    ['AMD', 'Ryzen™ 7 5800X  8-Core Processor', 'AMD Ryzen 7 5800X 8-Core Processor'],
    ['Apple', 'M1 Pro', 'Apple M1 Pro'],
    ['Neoverse-N1', '', 'Neoverse-N1'],
    ['ARM Cortex-A72', 'Cortex-A72', 'ARM Cortex-A72'],
    ['', 'Intel(R) Core(TM) i7', 'Intel Core i7'],
    ['', '', null],
  ])('of the processor by %j, called %j: %j', (manufacturer, brand, name) => {
    expect(processorName(manufacturer, brand)).toBe(name);
  });

  it.each([
    [
      'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"\nVERSION_ID="12"\nID=debian\n',
      'Debian 12',
    ],
    ['NAME="Ubuntu"\nVERSION_ID="24.04"\n', 'Ubuntu 24.04'],
    ["NAME='Alpine Linux'\nVERSION_ID=3.20.1\n", 'Alpine 3.20.1'],
    ['NAME="Arch Linux"\nID=arch\n', 'Arch'],
    ['VERSION_ID=1\nPRETTY_NAME=x\n', null],
    ['', null],
  ])('of the distribution of %j: %j', (osRelease, name) => {
    expect(distributionOf(osRelease)).toBe(name);
  });

  it('of a macOS', () => {
    const plist =
      '<dict><key>ProductName</key><string>macOS</string>\n<key>ProductVersion</key>\n\t<string>14.1</string>';
    expect(macosOf(plist)).toBe('macOS 14.1');
    expect(macosOf('<dict></dict>')).toBeNull();
  });
});

describe('GPUs', () => {
  const h100 = { vendor: 'NVIDIA', model: 'NVIDIA H100 80GB HBM3', memoryGiB: 79.6, driver: '535.104.05' };
  const intel = { vendor: 'Intel Corporation', model: 'UHD 630', vram: 256, driverVersion: '' };
  const described = { vendor: 'Intel Corporation', model: 'UHD 630', memoryGiB: 0.3, driver: null };

  it('are those of nvidia-smi, where there is no lspci', () => {
    const line = 'NVIDIA H100 80GB HBM3, 81559, 535.104.05\n';
    expect(gpusOf([], line)).toEqual([h100]);
    expect(gpusOf([], line + line)).toHaveLength(2);
    expect(gpusOf([], 'NVIDIA GH200, [N/A], 560.1\n')).toMatchObject([{ model: 'NVIDIA GH200', memoryGiB: null }]);
  });

  it('are those of both, each once', () => {
    const nvidia = { vendor: 'NVIDIA Corporation', model: 'GH100', vram: 81559, driverVersion: '535.104.05' };
    expect(gpusOf([intel, nvidia], 'NVIDIA H100 80GB HBM3, 81559, 535.104.05\n')).toEqual([h100, described]);
    expect(gpusOf([intel, nvidia], null).map(({ vendor }) => vendor)).toEqual([
      'Intel Corporation',
      'NVIDIA Corporation',
    ]);
  });

  it('are none where nothing is found', () => {
    expect(gpusOf([], null)).toEqual([]);
    expect(gpusOf([], 'Failed to initialize NVML: Driver/library version mismatch\n')).toEqual([]);
    expect(gpusOf([{}], null)).toEqual([{ vendor: null, model: null, memoryGiB: null, driver: null }]);
  });
});

describe('the record of a run', () => {
  const machine: Machine = {
    processor: {
      model: 'Intel Xeon Processor',
      vendor: 'Intel',
      physicalCores: 8,
      logicalCores: 16,
      usableCores: 2,
      usableCpus: [0, 1],
      instructionSets: ['AVX2', 'AMX'],
    },
    memoryGiB: 24,
    memoryLimitGiB: null,
    system: 'Debian 12',
    kernel: 'Linux 6.1.0-18-amd64',
    architecture: 'x64',
    node: '20.20.2',
    v8: '11.3.244.8',
    gpus: null,
  };

  it('has a line each for processor, instruction sets, memory, system and Node', () => {
    expect(machineSummary(machine)).toEqual([
      ['Processor', 'Intel Xeon Processor, 2 cores'],
      ['Instruction sets', 'AVX2, AMX'],
      ['Memory', '24 GiB'],
      ['System', 'Debian 12, Linux 6.1, x64'],
      ['Node', '20.20.2'],
    ]);
  });

  it('says what is unknown, and what a container allows', () => {
    const processor = { ...machine.processor, model: null, usableCores: 1, instructionSets: [] };
    expect(machineSummary({ ...machine, processor, memoryLimitGiB: 1.5 }).slice(0, 3)).toEqual([
      ['Processor', 'unknown, 1 core'],
      ['Instruction sets', 'unknown'],
      ['Memory', '24 GiB, of which 1.5 GiB may be used'],
    ]);
  });
});

describe('this machine', () => {
  afterEach(() => {
    vi.unstubAllEnvs();
  });

  it('is described: figures that agree with what Node and the topology say', async () => {
    const { processor, gpus, ...machine } = await describeMachine({ thorough: true });
    expect(processor.model).toMatch(/\S/);
    expect(processor.model).not.toMatch(/\(R\)|®|\n/);
    expect(processor.usableCores).toBe(physicalCores());
    expect(processor.logicalCores).toBeGreaterThanOrEqual(processor.physicalCores ?? NaN);
    if (process.platform === 'linux') expect(processor.usableCpus).toHaveLength(availableParallelism());
    if (process.platform === 'linux') expect(processor.instructionSets).not.toEqual([]);
    expect(machine.memoryGiB).toBeGreaterThan(0.2);
    expect(machine.system).toMatch(/^\S.*\d|^\S+$/);
    expect([machine.node, machine.architecture]).toEqual([process.versions.node, process.arch]);
    expect(gpus).toBeInstanceOf(Array);
  });

  it('is not asked for GPUs unasked', async () => {
    expect((await describeMachine({ thorough: false })).gpus).toBeNull();
  });

  it.runIf(process.platform === 'linux')('is described in time by what is known where programs hang', async () => {
    const { directory, remove } = await temporaryDirectory();
    for (const program of ['lscpu', 'nvidia-smi']) {
      const path = join(directory, program);
      await writeFile(path, '#!/bin/sh\nexec sleep 5\n');
      await chmod(path, 0o755);
    }
    vi.stubEnv('PATH', `${directory}${delimiter}${process.env['PATH'] ?? ''}`);
    const start = performance.now();
    const { processor, gpus, memoryGiB } = await describeMachine({ thorough: true, timeoutMs: 500 });
    expect(performance.now() - start).toBeLessThan(3000);
    expect([processor.physicalCores, processor.vendor, gpus]).toEqual([null, null, null]);
    expect(processor.model).toMatch(/\S/);
    expect(memoryGiB).toBeGreaterThan(0);
    await remove();
  });

  it.runIf(process.platform === 'linux')('is described where there is no program at all', async () => {
    vi.stubEnv('PATH', '/nonexistent');
    const { processor, gpus } = await describeMachine({ thorough: true });
    expect(processor.usableCores).toBe(physicalCores());
    expect(processor.instructionSets).not.toEqual([]);
    expect(gpus).toEqual([]);
  });
});

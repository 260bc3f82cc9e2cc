/** Who computes on which device of OpenCL, and whether it fits. */
import { describe, expect, it } from 'vitest';
import { parseDevices } from '../../src/coordinator/node/topology.js';
import { checkDeviceMemory } from '../../src/coordinator/session/device-memory.js';
import type { OpenClDevice } from '../../src/library/devices/opencl-device.js';
import { autoChoice } from '../../src/library/engines/engines.js';
import { chooseDevices } from '../../src/library/engines/opencl.js';
import type { ComputeDevice } from '../../src/shared/compute-device.js';
import type { Engine } from '../../src/shared/engine.js';
import { defaultConfig } from '../../src/shared/model/config.js';
import { operationalError } from '../support/compute/errors.js';

function device(index: number, kind: OpenClDevice['kind'], gpu: number | null = null): OpenClDevice {
  return {
    device: `opencl:${String(index)}`,
    gpu: gpu === null ? null : `gpu:${String(gpu)}`,
    name: 'a name',
    vendor: 'a vendor',
    platform: 'a platform',
    version: 'OpenCL 3.0',
    driver: '1',
    kind,
    computeUnits: 1,
    clockMHz: 1000,
    memoryGiB: 1,
    localKiB: 32,
    float64: true,
    exact: true,
    lacks: [],
  };
}

const processor = device(0, 'cpu');
const gpus = [device(1, 'gpu', 0), device(2, 'gpu', 1), device(3, 'gpu', 2)];
const all = [processor, ...gpus];
const names = (devices: readonly OpenClDevice[]): string[] => devices.map(({ gpu, device: own }) => gpu ?? own);

describe('the devices of a process', () => {
  const choose = (list: string | null, among = all): string[] =>
    names(chooseDevices(among, list === null ? null : parseDevices(list), null));

  it('are the GPUs where none is named, and all that OpenCL has where there is no GPU', () => {
    expect(choose(null)).toEqual(['gpu:0', 'gpu:1', 'gpu:2']);
    expect(choose(null, [processor])).toEqual(['opencl:0']);
  });

  it('are those that are named, by their numbers among GPUs or all, and GPUs in turn', () => {
    expect(choose('gpu:2,gpu:0')).toEqual(['gpu:2', 'gpu:0']);
    expect(choose('opencl:0,opencl:1')).toEqual(['opencl:0', 'gpu:0']);
    expect(choose('gpu')).toEqual(['gpu:0', 'gpu:1', 'gpu:2']);
    expect(choose('gpu,gpu,gpu,gpu')).toEqual(['gpu:0', 'gpu:1', 'gpu:2', 'gpu:0']);
  });

  it('are refused by name where they are not there', async () => {
    const refusal = async (list: string, among = all): Promise<string> =>
      (await operationalError(() => choose(list, among))).message;
    expect(await refusal('gpu:3')).toBe('`devices` names gpu:3, which there is not: there is gpu:0, gpu:1, gpu:2');
    expect(await refusal('opencl:9', [processor])).toContain('there is opencl:0');
    expect(await refusal('gpu', [processor])).toContain('OpenCL finds none: opencl:N takes any device of it');
  });

  it('are its share of those of its machine, where a launcher started several there', () => {
    const shares = [0, 1].map((localProcess) => names(chooseDevices(all, null, { localProcess, localProcesses: 2 })));
    expect(shares).toEqual([['gpu:0', 'gpu:2'], ['gpu:1']]);
    const more = [3, 4].map((localProcess) => names(chooseDevices(all, null, { localProcess, localProcesses: 5 })));
    expect(more).toEqual([['gpu:0'], ['gpu:1']]);
    expect(names(chooseDevices(all, null, { localProcess: 1, localProcesses: null }))).toEqual(['gpu:1']);
  });
});

describe('what auto says of its choice', () => {
  const choose = (float64: boolean): string => {
    const devices = [{ ...device(0, 'gpu', 0), float64 }];
    const found = { found: true, version: '1', libraries: [], devices } as const;
    return autoChoice(found, { version: null, available: false, detail: '' }).why;
  };

  it('is which device it is, and that one without float64 costs copies', () => {
    expect(choose(true)).toBe('gpu:0 (a name), with the bits of the CPU');
    expect(choose(false)).toMatch(
      /^gpu:0 \(a name\), with the bits of the CPU; gpu:0 has no float64: .* costs copies$/,
    );
  });
});

describe('the memory of devices', () => {
  const kibibyte = 1024;
  const engine = {
    deviceBytes: ({ rows }: { rows: number }) => ({ total: rows * kibibyte, largest: rows }),
  } as unknown as Engine;
  const on = (handles: readonly bigint[], memoryBytes: number, bufferBytes = memoryBytes): ComputeDevice[] =>
    handles.map((handle) => ({
      index: Number(handle),
      handle,
      title: `gpu:${String(handle)} (a name)`,
      ...{ memoryBytes, bufferBytes, float64: true },
      profiling: false,
      ledger: new SharedArrayBuffer(8),
    }));
  const check = (batchSize: number, devices: readonly ComputeDevice[]): void => {
    const config = { ...defaultConfig, batchSize };
    const dataset = { trainCount: 60_000, testCount: 10_000 };
    checkDeviceMemory({ engine, config, dataset, devices, position: { process: 0, processes: 1 } });
  };

  it('is enough for a batch whose shards fit, shared by the workers of one device', () => {
    check(1024, on([0n], 1200 * kibibyte));
    check(2048, on([0n, 1n], 1200 * kibibyte));
    expect(() => {
      check(2048, on([0n, 0n], 1200 * kibibyte));
    }).toThrow('with 2 workers on gpu:0 (a name)');
  });

  it('is said to be too little in one line, with the largest batch that fits', async () => {
    const { code, message } = await operationalError(() => {
      check(8192, on([0n], 4000 * kibibyte));
    });
    expect(code).toBe('MEMORY_EXCEEDED');
    const [, size = ''] = /`batchSize` (\d+) fits$/.exec(message) ?? [];
    expect(message).toMatch(/^`batchSize` 8192 with 1 worker on gpu:0 \(a name\) needs .* GiB of its memory/);
    expect(Number(size)).toBe(3600);
    check(Number(size), on([0n], 4000 * kibibyte));
    expect(() => {
      check(Number(size) + defaultConfig.microBatch, on([0n], 4000 * kibibyte));
    }).toThrow('fits');
  });

  it('may be enough in all, but not in one buffer: then the largest batch whose buffers fit is said', async () => {
    const { code, message } = await operationalError(() => {
      check(8192, on([0n], 2 ** 40, 2000));
    });
    expect(code).toBe('MEMORY_EXCEEDED');
    expect(message).toMatch(/ needs .* GiB in one buffer, of which it gives .* GiB at most: `batchSize` 2000 fits$/);
    check(2000, on([0n], 2 ** 40, 2000));
    check(4000, on([0n, 1n], 2 ** 40, 2000));
  });

  it('may be too little for anything', () => {
    expect(() => {
      check(64, on([0n], 4 * kibibyte));
    }).toThrow('nothing fits: take another device');
  });
});

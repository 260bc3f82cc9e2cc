import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  allowedCpus,
  countCores,
  cpuQuota,
  parseCpuList,
  parseDevices,
  parseWorkers,
  physicalCores,
  physicalCoresOf,
  resolveGroupSize,
} from '../../src/coordinator/node/topology.js';
import { currentThreadId, pinThread } from '../../src/worker/node/pin.js';
import { operationalError } from '../support/compute/errors.js';

type Files = Readonly<Record<string, string>>;
const reader =
  (files: Files) =>
  (path: string): string | null =>
    files[path] ?? null;

/** A machine of `cores` cores with two hardware threads each, numbered as Linux does: 0 and `cores` are siblings. */
function hyperthreaded(cores: number, allowed: string, more: Files = {}): Files {
  const files: Record<string, string> = {
    '/proc/self/status': `Name:\tnode\nCpus_allowed_list:\t${allowed}\n`,
    ...more,
  };
  for (let cpu = 0; cpu < 2 * cores; cpu++) {
    const path = `/sys/devices/system/cpu/cpu${String(cpu)}/topology/thread_siblings_list`;
    files[path] = `${String(cpu % cores)},${String((cpu % cores) + cores)}\n`;
  }
  return files;
}

describe('physical cores', () => {
  it.each([
    ['all CPUs allowed: siblings count once', hyperthreaded(8, '0-15'), 8],
    ['one thread of each of four cores', hyperthreaded(8, '0-3'), 4],
    ['both threads of two cores', hyperthreaded(8, '0-1,8-9'), 2],
    ['one CPU', hyperthreaded(8, '5'), 1],
    ['no topology: each CPU is a core', { '/proc/self/status': 'Cpus_allowed_list:\t0-2,7\n' }, 4],
    ['no /proc: what Node says', {}, 6],
  ])('%s', (_name, files, cores) => {
    expect(physicalCoresOf(reader(files), 6)).toBe(cores);
  });

  it.each([
    ['version 2, own group', '0::/app\n', { '/sys/fs/cgroup/app/cpu.max': '150000 100000\n' }, 1.5],
    ['version 2, a group above', '0::/a/b/c\n', { '/sys/fs/cgroup/a/cpu.max': '200000 100000\n' }, 2],
    ['version 2, path outside the container', '0::/../x\n', { '/sys/fs/cgroup/cpu.max': '300000 100000\n' }, 3],
    ['version 2, no limit', '0::/\n', { '/sys/fs/cgroup/cpu.max': 'max 100000\n' }, Infinity],
    [
      'the tightest of several',
      '0::/a/b\n',
      { '/sys/fs/cgroup/a/cpu.max': '400000 100000', '/sys/fs/cgroup/a/b/cpu.max': '50000 100000' },
      0.5,
    ],
    [
      'version 1',
      '4:cpu,cpuacct:/docker/1\n1:name=systemd:/\n',
      {
        '/sys/fs/cgroup/cpu,cpuacct/docker/1/cpu.cfs_quota_us': '250000\n',
        '/sys/fs/cgroup/cpu,cpuacct/docker/1/cpu.cfs_period_us': '100000\n',
      },
      2.5,
    ],
    [
      'version 1, no limit',
      '1:cpu:/\n',
      { '/sys/fs/cgroup/cpu/cpu.cfs_quota_us': '-1\n', '/sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000\n' },
      Infinity,
    ],
    ['nonsense', '0::/\n', { '/sys/fs/cgroup/cpu.max': 'plenty\n' }, Infinity],
  ])('CPU quota: %s', (_name, group, files, quota) => {
    expect(cpuQuota(reader({ '/proc/self/cgroup': group, ...files }))).toBe(quota);
  });

  it.each([
    ['50000', 1],
    ['100000', 1],
    ['150000', 2],
    ['1600000', 8],
  ])('a quota of %s us in 100000 caps eight cores, rounded up, to %i', (granted, cores) => {
    const limits = { '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/cpu.max': `${granted} 100000\n` };
    expect(physicalCoresOf(reader(hyperthreaded(8, '0-15', limits)), 1)).toBe(cores);
  });

  it('reads lists of CPUs, and leaves out what does not parse', () => {
    expect(parseCpuList('0-3,8,10-11\n')).toEqual([0, 1, 2, 3, 8, 10, 11]);
    expect(parseCpuList('')).toEqual([]);
    expect(parseCpuList('x,2,-1,3-')).toEqual([2]);
    expect(parseCpuList('0-4294967295').length).toBeLessThanOrEqual(4096);
    expect(allowedCpus('Cpus_allowed:\tff\nCpus_allowed_list:\t4-5\nMems_allowed_list:\t0\n')).toEqual([4, 5]);
    expect(countCores([0, 1], (cpu) => (cpu === 0 ? '0' : null))).toBe(2);
  });

  it('finds at least one core here', () => {
    expect(physicalCores()).toBeGreaterThanOrEqual(1);
  });
});

describe('the number of workers', () => {
  const batch = { batchSize: 128, microBatch: 8 };

  it('takes auto and 1 to 16, as numbers or text', () => {
    expect(['auto', 1, 16, '7'].map((value) => parseWorkers(value))).toEqual(['auto', 1, 16, 7]);
  });

  it.each([0, 17, -1, 1.5, NaN, '0', '17', '', 'two', '1e1', '0x4', ' 3'])('refuses %s', async (workers) => {
    const error = await operationalError(() => parseWorkers(workers));
    expect(error.code).toBe('USAGE');
    expect(error.message).toContain(
      `\`workers\` must be auto or a whole number from 1 to 16, not "${String(workers)}"`,
    );
  });

  it('auto is the physical cores, at most the micro-batches and 16', () => {
    expect(resolveGroupSize('auto', null, batch, { cores: () => 6 })).toBe(6);
    expect(resolveGroupSize('auto', null, batch, { cores: () => 64 })).toBe(16);
    expect(resolveGroupSize('auto', null, { batchSize: 20, microBatch: 8 }, { cores: () => 6 })).toBe(3);
    expect(resolveGroupSize('auto', null, { batchSize: 1024, microBatch: 8 }, { cores: () => 64 })).toBe(16);
    expect(resolveGroupSize('auto', parseDevices('cpu,cpu,cpu'), batch, { cores: () => 6 })).toBe(3);
    expect(resolveGroupSize(16, null, batch, { cores: () => 1 })).toBe(16);
    expect(resolveGroupSize(5, null, null)).toBe(5);
  });

  it('more workers than micro-batches is refused, restating the division', async () => {
    const error = await operationalError(() => resolveGroupSize(16, null, { batchSize: 64, microBatch: 8 }));
    expect(error).toEqual({
      code: 'USAGE',
      message:
        '`workers` 16 needs 16 micro-batches, but `batchSize` 64 / `microBatch` 8 = 8; ' +
        'use at most 8 workers or a smaller `microBatch`',
    });
    const rounded = await operationalError(() => resolveGroupSize(3, null, { batchSize: 12, microBatch: 8 }));
    expect(rounded.message).toContain('`batchSize` 12 / `microBatch` 8, rounded up, = 2');
    const single = await operationalError(() => resolveGroupSize(3, null, { batchSize: 2, microBatch: 1 }));
    expect(single.message).toContain('use at most 2 workers or a larger `batchSize`');
    const devices = await operationalError(() =>
      resolveGroupSize('auto', parseDevices('cpu,cpu,cpu'), { batchSize: 16, microBatch: 8 }),
    );
    expect(devices.message).toContain('`devices` of 3 workers needs 3 micro-batches');
  });
});

describe('the list of devices', () => {
  it('names the device of each rank', () => {
    expect(parseDevices('cpu,cpu:3', 2)).toEqual([
      { kind: 'cpu', core: null },
      { kind: 'cpu', core: 3 },
    ]);
  });

  it('names GPUs by number or in turn, and any device of OpenCL', () => {
    expect(parseDevices('gpu:1, gpu,opencl:0', 3)).toEqual([
      { kind: 'gpu', index: 1 },
      { kind: 'gpu', index: null },
      { kind: 'opencl', index: 0 },
    ]);
    const any = { kind: 'gpu', index: null };
    expect(parseDevices('gpu', 'auto')).toEqual([any]);
    expect(parseDevices('gpu', 3)).toEqual([any, any, any]);
  });

  it('refuses processors beside GPUs, by name', async () => {
    const { code, message } = await operationalError(() => parseDevices('gpu:0,cpu:3'));
    expect(code).toBe('USAGE');
    expect(message).toBe(
      '`devices` names cpu:3 beside gpu:0, but all workers compute alike: name processors alone, or GPUs alone',
    );
  });

  it.each([
    ['gpu:x', 'item 1, "gpu:x"'],
    ['opencl', 'item 1, "opencl"'],
    ['cpu,,cpu', 'item 2, ""'],
    ['cpu,cpu:x', 'item 2, "cpu:x"'],
    ['cpu:-1', 'item 1, "cpu:-1"'],
    ['cpu:9999', 'item 1, "cpu:9999"'],
    ['cpu:0,tpu:0', 'item 2, "tpu:0"'],
  ])('refuses %s and names the wrong item', async (list, item) => {
    const error = await operationalError(() => parseDevices(list));
    expect(error.code).toBe('USAGE');
    expect(error.message).toContain(item);
  });

  it.each([
    ['cuda:1', 'gpu:1'],
    ['cuda', 'gpu'],
    ['mps', 'gpu'],
    ['0', 'gpu:0'],
  ])('says of %s, as other programs call a GPU, that it is %s here', async (name, here) => {
    const { code, message } = await operationalError(() => parseDevices(name));
    expect(code).toBe('USAGE');
    expect(message).toContain(
      `item 1, "${name}", is ${here} here, where mnist-ddp devices lists such a GPU; without one leave \`devices\` out`,
    );
  });

  it('refuses a number of devices that differs from the workers, or exceeds 16', async () => {
    const differs = await operationalError(() => parseDevices('cpu,cpu', 3));
    expect(differs.message).toContain('`devices` names 2 devices, but `workers` is 3');
    expect((await operationalError(() => resolveGroupSize(3, parseDevices('cpu,cpu'), null))).code).toBe('USAGE');
    const many = await operationalError(() => parseDevices(Array<string>(17).fill('cpu').join(',')));
    expect(many.message).toContain('use at most 16');
  });
});

describe('pinning', () => {
  it.runIf(process.platform === 'linux')('moves the calling thread only, or says in one line why not', async () => {
    const allowedNow = (): number[] => allowedCpus(readFileSync('/proc/thread-self/status', 'utf8'));
    const before = allowedNow();
    const core = before[0] ?? 0;
    const reason = await pinThread(core);
    if (reason === null) expect(allowedNow()).toEqual([core]);
    else expect(reason).toMatch(/^cannot pin this worker to core \d+: [^\n]+$/);
    expect(currentThreadId()).toMatch(/^\d+$/);
  });

  it('a core that does not exist is a reason, never a crash', async () => {
    expect(await pinThread(4095)).toMatch(/^cannot pin this worker to core 4095: [^\n]+$/);
  });
});

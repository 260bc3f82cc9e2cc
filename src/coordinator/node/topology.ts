/**
 * How many workers, and on which devices.
 *
 * The number of cores is arithmetic on the contents of a few Linux files, so it is tested without such a machine: each
 * function takes text, or a `read` that gives a file's text or null; `readText` at the end is the only one that reads.
 */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { posix } from 'node:path';
import { maxGroupSize } from '../../shared/model/config.js';
import type { TrainConfig } from '../../shared/model/config.js';
import { usageError } from '../../shared/errors.js';
import type { Device } from '../../shared/group/protocol.js';
import { counted } from '../../shared/text.js';
import { leafCount } from '../../shared/sums/tree.js';

/** What the option `workers` asks for. */
export type Workers = number | 'auto';

/** The contents of a file, or null where it cannot be read. */
export type ReadFile = (path: string) => string | null;

const maxCore = 4095;

/**
 * @param workers `auto`, or a whole number from 1 to 16, as a number or as text
 * @throws OperationalError USAGE
 */
export function parseWorkers(workers: number | string): Workers {
  if (workers === 'auto') return 'auto';
  const count = typeof workers === 'string' && /^\d+$/.test(workers) ? Number(workers) : workers;
  if (typeof count === 'number' && Number.isInteger(count) && count >= 1 && count <= maxGroupSize) return count;
  throw usageError(
    `\`workers\` must be auto or a whole number from 1 to ${String(maxGroupSize)}, not "${String(workers)}"`,
  );
}

/**
 * @param list devices by rank, such as `cpu,cpu`, `cpu:0,cpu:3` or `gpu:0,gpu:1`; `gpu` alone is one for each worker
 * @throws OperationalError USAGE, naming the item that is wrong, or restating the two counts where they differ
 */
export function parseDevices(list: string, workers: Workers = 'auto'): Device[] {
  const devices = list.split(',').map((text, rank) => parseDevice(text.trim(), rank));
  if (namesAllGpus(devices) && workers !== 'auto') return Array.from({ length: workers }, () => anyGpu);
  checkOneKind(devices);
  checkDeviceCount(devices, workers);
  return devices;
}

const anyGpu: Device = { kind: 'gpu', index: null };

/** Whether they are the GPUs that there are, in turn, for as many workers as are asked for. */
export function namesAllGpus(devices: readonly Device[]): boolean {
  const [first] = devices;
  return devices.length === 1 && first?.kind === 'gpu' && first.index === null;
}

/** A device as the option `devices` names it. */
export function deviceName(device: Device): string {
  const number = device.kind === 'cpu' ? device.core : device.index;
  return number === null ? device.kind : `${device.kind}:${String(number)}`;
}

/**
 * The number of ranks. `auto` is one for each device where devices are given, else one for each physical core, but never
 * more than there are micro-batches in a full batch (a rank without one would idle) nor than 16.
 * @param config the batch to be cut up; null where nothing is (evaluation)
 * @param resumed whether the batch is that of a run to resume, which no option changes
 * @throws OperationalError USAGE where an explicit number cannot be served, restating the division
 */
export function resolveGroupSize(
  workers: Workers,
  devices: readonly Device[] | null,
  config: Pick<TrainConfig, 'batchSize' | 'microBatch'> | null,
  { cores = physicalCores, resumed = false }: { readonly cores?: () => number; readonly resumed?: boolean } = {},
): number {
  const asked = parseWorkers(workers);
  if (devices !== null) checkDeviceCount(devices, asked);
  const limit = config === null ? maxGroupSize : leafCount(config.batchSize, config.microBatch);
  if (asked === 'auto' && devices === null) return Math.max(1, Math.min(cores(), limit, maxGroupSize));
  const groupSize = devices?.length ?? Number(asked);
  if (config !== null && groupSize > limit) throw tooManyWorkers(asked, groupSize, config, { limit, resumed });
  return groupSize;
}

/** Physical cores that this process may use; where that cannot be known, what Node calls its available parallelism. */
export function physicalCores(): number {
  return process.platform === 'linux' ? physicalCoresOf(readText, availableParallelism()) : availableParallelism();
}

/**
 * Linux: the CPUs that the process may run on, hardware threads of one core counted once, capped by its cgroup's CPU quota
 * (rounded up). At least 1.
 * @param otherwise what to count where /proc says nothing
 */
export function physicalCoresOf(read: ReadFile, otherwise: number): number {
  const allowed = allowedCpus(read('/proc/self/status') ?? '');
  const siblings = (cpu: number): string | null =>
    read(`/sys/devices/system/cpu/cpu${String(cpu)}/topology/thread_siblings_list`);
  const cores = allowed.length === 0 ? otherwise : countCores(allowed, siblings);
  return Math.max(1, Math.min(cores, Math.ceil(cpuQuota(read))));
}

/** The CPUs of the line `Cpus_allowed_list` in /proc/self/status; none where there is no such line. */
export function allowedCpus(status: string): number[] {
  const list = /^Cpus_allowed_list:[ \t]*(\S+)[ \t]*$/m.exec(status)?.[1];
  return list === undefined ? [] : parseCpuList(list);
}

/** The kernel's notation of a set of CPUs: `0-3,8,10-11`. What does not parse is left out. */
export function parseCpuList(list: string): number[] {
  const cpus: number[] = [];
  for (const item of list.trim().split(',')) {
    const match = /^(\d+)(?:-(\d+))?$/.exec(item);
    if (match === null) continue;
    const first = Number(match[1]);
    const last = Math.min(Number(match[2] ?? match[1]), maxCore);
    for (let cpu = first; cpu <= last; cpu++) cpus.push(cpu);
  }
  return cpus;
}

/** Cores among those CPUs: a CPU is named by the first of its thread siblings, or by itself where they are unknown. */
export function countCores(cpus: readonly number[], siblings: (cpu: number) => string | null): number {
  return new Set(cpus.map((cpu) => parseCpuList(siblings(cpu) ?? '')[0] ?? cpu)).size;
}

/**
 * CPUs that the cgroup and those above it grant, such as 1.5; Infinity without a limit. Reads version 2 (`cpu.max`) and
 * version 1 (`cpu.cfs_quota_us`), since a machine may mount both. A group's path may lie outside what a container sees;
 * then only the mount's root tells.
 */
export function cpuQuota(read: ReadFile): number {
  let quota = Infinity;
  for (const line of (read('/proc/self/cgroup') ?? '').split('\n')) {
    const match = /^\d+:([^:]*):(\/.*)$/.exec(line);
    if (match === null) continue;
    const [, controllers = '', path = '/'] = match;
    if (controllers === '') {
      for (const directory of withAncestors(['/sys/fs/cgroup', '/sys/fs/cgroup/unified'], path)) {
        quota = Math.min(quota, quotaOf(read(`${directory}/cpu.max`)));
      }
    } else if (controllers.split(',').includes('cpu')) {
      for (const directory of withAncestors([`/sys/fs/cgroup/${controllers}`, '/sys/fs/cgroup/cpu'], path)) {
        const [granted, period] = [read(`${directory}/cpu.cfs_quota_us`), read(`${directory}/cpu.cfs_period_us`)];
        quota = Math.min(quota, quotaOf(granted === null || period === null ? null : `${granted.trim()} ${period}`));
      }
    }
  }
  return quota;
}

/** "150000 100000" (microseconds granted in each period) is 1.5; "max 100000", "-1 100000" and nothing are Infinity. */
function quotaOf(text: string | null): number {
  const match = /^(\d+)\s+(\d+)\s*$/.exec(text ?? '');
  const [granted, period] = [Number(match?.[1]), Number(match?.[2])];
  return granted > 0 && period > 0 ? granted / period : Infinity;
}

function withAncestors(mounts: readonly string[], path: string): string[] {
  const directories: string[] = [];
  for (const mount of mounts) {
    for (let current = posix.normalize(path); ; current = posix.dirname(current)) {
      directories.push(current === '/' ? mount : mount + current);
      if (current === '/') break;
    }
  }
  return directories;
}

function parseDevice(text: string, rank: number): Device {
  const [, kind, digits] = /^(cpu|gpu|opencl)(?::(\d{1,4}))?$/.exec(text) ?? [];
  const number = digits === undefined ? null : Number(digits);
  if (number === null || number <= maxCore) {
    if (kind === 'cpu') return { kind, core: number };
    if (kind === 'gpu') return { kind, index: number };
    if (kind === 'opencl' && number !== null) return { kind, index: number };
  }
  const item = `\`devices\`: item ${String(rank + 1)}, "${text}",`;
  const [elsewhere, index = ''] = /^(?:cuda|mps|hip|xpu|(?=\d))(?::?(\d{1,4}))?$/.exec(text) ?? [];
  if (elsewhere !== undefined) {
    const here = `gpu${index === '' ? '' : `:${index}`}`;
    const many = /^[1-9]/.test(text) ? `; for so many workers write \`workers\` ${text}` : '';
    const where = 'where mnist-ddp devices lists such a GPU; without one leave `devices` out';
    throw usageError(`${item} is ${here} here, ${where}${many}`);
  }
  const where = `${item} is not a device`;
  const kinds = 'cpu, cpu:N to pin that worker to core N, gpu, gpu:N or opencl:N';
  throw usageError(`${where}; write ${kinds}, separated by commas`);
}

/** A group computes with one engine. */
function checkOneKind(devices: readonly Device[]): void {
  const cpu = devices.find(({ kind }) => kind === 'cpu');
  const other = devices.find(({ kind }) => kind !== 'cpu');
  if (cpu === undefined || other === undefined) return;
  const mixed = `\`devices\` names ${deviceName(cpu)} beside ${deviceName(other)}`;
  throw usageError(`${mixed}, but all workers compute alike: name processors alone, or GPUs alone`);
}

function checkDeviceCount(devices: readonly Device[], workers: Workers): void {
  const count = counted(devices.length, 'device');
  if (workers !== 'auto' && devices.length !== workers) {
    const given = `\`devices\` names ${count}, but \`workers\` is ${String(workers)}`;
    throw usageError(`${given}; name one device for each worker, or leave \`workers\` out`);
  }
  if (devices.length <= maxGroupSize) return;
  throw usageError(`\`devices\` names ${count}; use at most ${String(maxGroupSize)}`);
}

function tooManyWorkers(
  asked: Workers,
  groupSize: number,
  { batchSize, microBatch }: Pick<TrainConfig, 'batchSize' | 'microBatch'>,
  { limit, resumed }: { limit: number; resumed: boolean },
): Error {
  const who = asked === 'auto' ? `\`devices\` of ${counted(groupSize, 'worker')}` : `\`workers\` ${String(groupSize)}`;
  const rounded = batchSize % microBatch === 0 ? '' : ', rounded up,';
  const division = `\`batchSize\` ${String(batchSize)} / \`microBatch\` ${String(microBatch)}${rounded} = ${String(limit)}`;
  const most = counted(limit, 'worker');
  const other = microBatch === 1 ? ' or a larger `batchSize`' : ' or a smaller `microBatch`';
  const needs = `${who} needs ${String(groupSize)} micro-batches, but ${division}`;
  return usageError(`${needs}; use at most ${most}${resumed ? ', as the run to resume has it so' : other}`);
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

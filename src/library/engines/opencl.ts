/** GPUs by OpenCL: which there are, which give the bits of the CPU, and who computes on which. */
import { namesAllGpus, deviceName } from '../../coordinator/node/topology.js';
import { launchedAs, type Launched } from '../../mpi/environment.js';
import type { ComputeDevice, DevicePool } from '../../shared/compute-device.js';
import { OperationalError, usageError } from '../../shared/errors.js';
import type { Device } from '../../shared/group/protocol.js';
import {
  enumerateDevices,
  Ledger,
  loadOpenCl,
  measurePeaks,
  type DeviceFacts,
  type OpenCl,
} from '../../worker/engines/registry.js';
import type { OpenClAnswer, OpenClRequest, ProbedDevice } from '../devices/opencl-probe.js';
import { titleOf, type OpenClDevice, type OpenClSearch } from '../devices/opencl-device.js';
import { probe } from '../devices/probe.js';
import { findLibraries } from './packages.js';

/** Drivers compile at first, and some keep what they compiled. */
const probeTimeoutMs = 180_000;

const searches = new Map<string, Promise<OpenClSearch>>();

/**
 * Finds the devices of OpenCL, in a process of its own, and has some of them proven; asked again, it knows.
 * @param prove by number; or all GPUs, or all devices
 */
export function searchOpenCl(prove: OpenClRequest['prove'], timeoutMs = probeTimeoutMs): Promise<OpenClSearch> {
  const key = String(prove);
  const search = searches.get(key) ?? searchNow(prove, timeoutMs);
  searches.set(key, search);
  return search;
}

async function searchNow(prove: OpenClRequest['prove'], timeoutMs: number): Promise<OpenClSearch> {
  const packages = findLibraries('opencl');
  if (!packages.found) return packages;
  const { version, libraries } = packages;
  try {
    // The loader alone, which loads no driver yet.
    await loadOpenCl(libraries);
  } catch (error) {
    if (error instanceof OperationalError) return { found: false, version, why: reasonOf(error.message) };
    throw error;
  }
  const request: OpenClRequest = { libraries, prove };
  const answer = (await probe('./opencl-probe.js', request, timeoutMs)) as OpenClAnswer;
  if ('error' in answer) return { found: false, version, why: reasonOf(answer.error) };
  return { found: true, version, libraries, devices: described(answer.devices) };
}

function reasonOf(message: string): string {
  return message.replace('`engine` opencl: ', '');
}

function described(devices: readonly ProbedDevice[]): OpenClDevice[] {
  const gpus = devices.filter(({ kind }) => kind === 'gpu');
  return devices.map((device) => {
    const { index, name, vendor, platform, version, driver, kind, computeUnits, clockMHz, lacks } = device;
    const gpu = gpus.indexOf(device);
    return {
      device: `opencl:${String(index)}`,
      gpu: gpu < 0 ? null : `gpu:${String(gpu)}`,
      ...{ name, vendor, platform, version, driver, kind, computeUnits, clockMHz },
      memoryGiB: Number((device.globalBytes / 2 ** 30).toFixed(1)),
      localKiB: device.localBytes / 1024,
      float64: device.float64 !== null,
      exact: device.proven,
      lacks,
    };
  });
}

/**
 * The devices that this process computes on, in turn.
 * @param asked what the option `devices` names, or null: then the GPUs, or all devices where there is none
 * @throws OperationalError USAGE for a device that there is not
 */
export function chooseDevices(
  all: readonly OpenClDevice[],
  asked: readonly Device[] | null,
  launched: Pick<Launched, 'localProcess' | 'localProcesses'> | null = launchedAs(process.env),
): OpenClDevice[] {
  const gpus = all.filter(({ kind }) => kind === 'gpu');
  const own = shareOf(gpus, launched);
  if (asked === null) return gpus.length > 0 ? own : shareOf(all, launched);
  if (gpus.length === 0 && asked.some(({ kind }) => kind === 'gpu')) {
    throw usageError('`devices` names a GPU, but OpenCL finds none: opencl:N takes any device of it');
  }
  if (namesAllGpus(asked)) return own;
  let turn = 0;
  return asked.map((device) => {
    if (device.kind === 'gpu' && device.index === null) return own[turn++ % own.length] ?? lacking(device, gpus);
    const number = device.kind === 'cpu' ? null : device.index;
    const among = device.kind === 'gpu' ? gpus : all;
    return among[number ?? -1] ?? lacking(device, among);
  });
}

/** The processes of one machine share its GPUs. */
function shareOf(
  devices: readonly OpenClDevice[],
  launched: Pick<Launched, 'localProcess' | 'localProcesses'> | null,
): OpenClDevice[] {
  if (launched === null) return [...devices];
  const { localProcess, localProcesses } = launched;
  const own = devices.filter((_, index) => index % (localProcesses ?? devices.length) === localProcess);
  if (own.length > 0) return own;
  const shared = devices[localProcess % devices.length];
  return shared === undefined ? [] : [shared];
}

function lacking(device: Device, among: readonly OpenClDevice[]): never {
  const there = among.map(({ device: own, gpu }) => (device.kind === 'gpu' ? gpu : own)).join(', ');
  throw usageError(`\`devices\` names ${deviceName(device)}, which there is not: there is ${there}`);
}

interface Held {
  readonly cl: OpenCl;
  readonly devices: readonly DeviceFacts[];
}

let held: Promise<Held> | null = null;

/** OpenCL in this process, where it stays: drivers do not like to be unloaded, nor devices to be enumerated by threads. */
async function hold(libraries: readonly string[]): Promise<Held> {
  return (held ??= loadOpenCl(libraries).then((cl) => ({ cl, devices: enumerateDevices(cl) })));
}

/**
 * Gives ranks the devices of a choice, one after the other. Call it before workers start.
 * @param profiling whether the time of each kernel is taken
 * @throws OperationalError ENGINE_UNAVAILABLE
 */
export async function openPool(
  libraries: readonly string[],
  chosen: readonly OpenClDevice[],
  profiling: boolean,
): Promise<DevicePool> {
  const { cl, devices } = await hold(libraries);
  const facts = chosen.map(({ device, gpu, name }) => {
    const found = devices.find((own) => `opencl:${String(own.index)}` === device && own.name === name);
    if (found !== undefined) return { ...found, title: titleOf({ device, gpu, name }) };
    const message = `\`engine\` opencl: ${titleOf({ device, gpu, name })} is there no more: see mnist-ddp devices`;
    throw new OperationalError('ENGINE_UNAVAILABLE', message);
  });
  return {
    take: (groupSize) =>
      Array.from({ length: groupSize }, (_, rank): ComputeDevice => {
        const { index, handle, title, ...own } = facts[rank % facts.length] as (typeof facts)[number];
        return {
          ...{ index, handle, title, profiling },
          memoryBytes: own.globalBytes,
          bufferBytes: own.maxAllocationBytes,
          float64: own.float64 !== null,
          ledger: new Ledger().buffer,
        };
      }),
    reclaim: (taken) => {
      for (const { ledger } of taken) new Ledger(ledger).releaseAll(cl);
    },
    measurePeaks: () =>
      [...new Map(facts.map((device) => [device.handle, device])).values()].map((device) => ({
        title: device.title,
        ...measurePeaks(cl, device),
      })),
  };
}

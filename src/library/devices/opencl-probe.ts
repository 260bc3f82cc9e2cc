/**
 * A process of its own: enumerates the devices of OpenCL, has those that are asked for proven, and prints what it found as
 * JSON. A driver that does not fit this machine may end the process that loads it, or hang.
 */
import { nodeHost } from '../../coordinator/node/node-host.js';
import { messageOf } from '../../shared/errors.js';
import {
  enumerateDevices,
  lacksOf,
  loadOpenCl,
  proveDevice,
  type DeviceFacts,
  type OpenCl,
} from '../../worker/engines/registry.js';

export interface OpenClRequest {
  readonly libraries: readonly string[];
  /** By number; or all GPUs, or those where there are any and else all devices, or all devices. */
  readonly prove: readonly number[] | 'gpus' | 'preferred' | 'all';
}

/** A device without its address, which is one of that process. */
export interface ProbedDevice extends Omit<DeviceFacts, 'handle'> {
  /** What keeps it from the bits of the CPU, by what it says of itself, or by trial; empty of one that is proven. */
  readonly lacks: readonly string[];
  readonly proven: boolean;
}

/** An address of this process says nothing elsewhere, and JSON has no such numbers. */
const withoutHandle = { handle: undefined };

export type OpenClAnswer = { readonly devices: readonly ProbedDevice[] } | { readonly error: string };

async function answerTo({ libraries, prove }: OpenClRequest): Promise<OpenClAnswer> {
  try {
    const cl = await loadOpenCl(libraries);
    const all = enumerateDevices(cl);
    const module = await WebAssembly.compile(await nodeHost.readKernels('wasm.wasm'));
    const gpus = all.filter(({ kind }) => kind === 'gpu');
    const tried = { gpus, preferred: gpus.length > 0 ? gpus : all, all };
    const devices: ProbedDevice[] = [];
    for (const device of all) {
      const asked = typeof prove === 'string' ? tried[prove].includes(device) : prove.includes(device.index);
      const lacks = [...lacksOf(device), ...(asked ? await failuresOf(cl, device, module) : [])];
      devices.push({ ...device, ...withoutHandle, lacks, proven: asked && lacks.length === 0 });
    }
    return { devices };
  } catch (error) {
    return { error: messageOf(error) };
  }
}

/** One that lacks something by its own word need not be tried. */
async function failuresOf(cl: OpenCl, device: DeviceFacts, module: WebAssembly.Module): Promise<string[]> {
  if (lacksOf(device).length > 0) return [];
  try {
    const failure = await proveDevice(cl, device, module);
    return failure === null ? [] : [failure];
  } catch (error) {
    return [messageOf(error)];
  }
}

const answer = await answerTo(JSON.parse(process.argv[2] ?? '') as OpenClRequest);
// A driver's threads may keep the process alive.
process.stdout.write(`\n${JSON.stringify(answer)}\n`, () => process.exit(0));

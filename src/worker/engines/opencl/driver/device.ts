/** Finding the devices of OpenCL, once in the main thread, and asking one what it is, on any thread. */
import { messageOf } from '../../../../shared/errors.js';
import type { DeviceFacts, FloatFacts } from './facts.js';
import { check, unavailable, type Handle, type OpenCl } from './library.js';
import { nothingFound } from './status.js';

const allTypes = 0xffffffff;
const typeBits = { cpu: 2, gpu: 4 } as const;
const floatBits = { denormals: 1, infinitiesAndNaNs: 2, roundsToNearest: 4, correctlyRounded: 128 } as const;

const platformName = 0x0902;
const info = {
  type: 0x1000,
  computeUnits: 0x1002,
  maxWorkGroupSize: 0x1004,
  clockMHz: 0x100c,
  maxAllocationBytes: 0x1010,
  alignmentBits: 0x1019,
  float32: 0x101b,
  globalBytes: 0x101f,
  localBytes: 0x1023,
  littleEndian: 0x1026,
  available: 0x1027,
  compiler: 0x1028,
  name: 0x102b,
  vendor: 0x102c,
  driver: 0x102d,
  profile: 0x102e,
  version: 0x102f,
  extensions: 0x1030,
  platform: 0x1031,
  float64: 0x1032,
} as const;

/**
 * All devices of all drivers, in the order of the loader. For the main thread, once in a process and before other threads
 * call OpenCL: two threads that enumerated at once broke POCL.
 * @throws OperationalError ENGINE_UNAVAILABLE where there is none, one line: why, and what to do
 */
export function enumerateDevices(cl: OpenCl): DeviceFacts[] {
  const platforms = listOf('clGetPlatformIDs', (count, list, total) => cl.clGetPlatformIDs(count, list, total));
  if (platforms.length === 0) {
    throw unavailable(
      "there is no driver of OpenCL: install the GPU's; where NVIDIA's is there, write libnvidia-opencl.so.1 to " +
        '/etc/OpenCL/vendors/nvidia.icd',
    );
  }
  const reasons: string[] = [];
  const handles = platforms.flatMap((platform) => {
    try {
      return listOf('clGetDeviceIDs', (count, list, total) =>
        cl.clGetDeviceIDs(platform, allTypes, count, list, total),
      );
    } catch (error) {
      // A driver that is broken does not take the others along.
      reasons.push(messageOf(error));
      return [];
    }
  });
  if (handles.length > 0) return handles.map((handle, index) => factsOf(cl, handle, index));
  const drivers = platforms.map((platform) => platformText(cl, platform)).join(', ');
  const why = reasons.length === 0 ? '' : ` (${reasons.join('; ')})`;
  throw unavailable(
    `the driver of OpenCL, ${drivers}, has no device${why}: see that this process may use the GPU, also in a container`,
  );
}

/** What a device is; its handle comes from the main thread. Throws OpenClError where the device is none any more. */
export function factsOf(cl: OpenCl, handle: Handle, index: number): DeviceFacts {
  const device = new Questions(cl, handle);
  const type = device.number(info.type);
  const float32 = device.number(info.float32);
  return {
    index,
    handle,
    name: device.text(info.name),
    vendor: device.text(info.vendor),
    platform: device.platform(),
    version: device.text(info.version),
    driver: device.text(info.driver),
    kind: (type & typeBits.gpu) !== 0 ? 'gpu' : (type & typeBits.cpu) !== 0 ? 'cpu' : 'other',
    fullProfile: device.text(info.profile) === 'FULL_PROFILE',
    available: device.number(info.available) !== 0,
    compiler: device.number(info.compiler) !== 0,
    littleEndian: device.number(info.littleEndian) !== 0,
    float32: {
      ...floatFacts(float32),
      correctlyRoundedDivideAndSqrt: (float32 & floatBits.correctlyRounded) !== 0,
    },
    float64: device.float64(),
    computeUnits: device.number(info.computeUnits),
    clockMHz: device.number(info.clockMHz),
    maxWorkGroupSize: device.number(info.maxWorkGroupSize),
    localBytes: device.number(info.localBytes),
    globalBytes: device.number(info.globalBytes),
    maxAllocationBytes: device.number(info.maxAllocationBytes),
    alignmentBytes: device.number(info.alignmentBits) / 8,
    extensions: device.text(info.extensions).split(/\s+/).filter(Boolean),
  };
}

function floatFacts(bits: number): FloatFacts {
  return {
    denormals: (bits & floatBits.denormals) !== 0,
    roundsToNearest: (bits & floatBits.roundsToNearest) !== 0,
    infinitiesAndNaNs: (bits & floatBits.infinitiesAndNaNs) !== 0,
  };
}

/** Handles from a function that is asked first how many there are; none where it finds nothing. */
function listOf(
  call: 'clGetPlatformIDs' | 'clGetDeviceIDs',
  ask: (count: number, list: BigUint64Array | null, total: Uint32Array | null) => number,
): Handle[] {
  const total = new Uint32Array(1);
  const status = ask(0, null, total);
  if (nothingFound.includes(status)) return [];
  check(call, status);
  const list = new BigUint64Array(total[0] ?? 0);
  if (list.length > 0) check(call, ask(list.length, list, null));
  return [...list];
}

/** What a device answers to clGetDeviceInfo. Numbers are little-endian, as on every host that JavaScript has. */
class Questions {
  readonly #cl: OpenCl;
  readonly #handle: Handle;
  readonly #size = new BigUint64Array(1);
  readonly #word = new BigUint64Array(1);

  constructor(cl: OpenCl, handle: Handle) {
    this.#cl = cl;
    this.#handle = handle;
  }

  /** An answer of 4 or 8 bytes. */
  number(what: number): number {
    this.#word[0] = 0n;
    check('clGetDeviceInfo', this.#cl.clGetDeviceInfo(this.#handle, what, 8, this.#word, null));
    return Number(this.#word[0]);
  }

  text(what: number): string {
    check('clGetDeviceInfo', this.#cl.clGetDeviceInfo(this.#handle, what, 0, null, this.#size));
    const bytes = new Uint8Array(Number(this.#size[0]));
    check('clGetDeviceInfo', this.#cl.clGetDeviceInfo(this.#handle, what, bytes.length, bytes, null));
    return textOf(bytes);
  }

  platform(): string {
    check('clGetDeviceInfo', this.#cl.clGetDeviceInfo(this.#handle, info.platform, 8, this.#word, null));
    return platformText(this.#cl, this.#word[0] ?? 0n);
  }

  /** A device without it need not know the question. */
  float64(): FloatFacts | null {
    this.#word[0] = 0n;
    const status = this.#cl.clGetDeviceInfo(this.#handle, info.float64, 8, this.#word, null);
    return status !== 0 || this.#word[0] === 0n ? null : floatFacts(Number(this.#word[0]));
  }
}

function platformText(cl: OpenCl, platform: Handle): string {
  const size = new BigUint64Array(1);
  check('clGetPlatformInfo', cl.clGetPlatformInfo(platform, platformName, 0, null, size));
  const bytes = new Uint8Array(Number(size[0]));
  check('clGetPlatformInfo', cl.clGetPlatformInfo(platform, platformName, bytes.length, bytes, null));
  return textOf(bytes);
}

function textOf(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end)).trim();
}

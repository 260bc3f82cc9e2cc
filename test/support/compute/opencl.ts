/** OpenCL where this machine has it, for tests that use the real thing: POCL, which computes on the processor, is enough. */
import { findLibraries } from '../../../src/library/engines/packages.js';
import { OperationalError } from '../../../src/shared/errors.js';
import { enumerateDevices } from '../../../src/worker/engines/opencl/driver/device.js';
import type { DeviceFacts } from '../../../src/worker/engines/opencl/driver/facts.js';
import { loadOpenCl, type OpenCl } from '../../../src/worker/engines/opencl/driver/library.js';
import { Ledger } from '../../../src/worker/engines/opencl/driver/owned.js';
import type { ComputeDevice } from '../../../src/shared/compute-device.js';

export interface FoundOpenCl {
  /** As `ReplicaBinding.libraries`. */
  readonly libraries: readonly string[];
  readonly cl: OpenCl;
  readonly devices: readonly DeviceFacts[];
}

// Read by POCL when it is loaded: two devices of one processor.
process.env['POCL_DEVICES'] ??= 'pthread pthread';
// The suite hides OpenCL from tests of other things, see vitest.config.ts.
delete process.env['MNIST_DDP_OPENCL'];

/** What there is of OpenCL here; a string says why there is nothing, for the title of a test that is left out. */
export async function findOpenCl(): Promise<FoundOpenCl | string> {
  const found = await find();
  if (typeof found === 'string') console.warn(`TESTS LEFT OUT: engine opencl: ${found}`);
  return found;
}

async function find(): Promise<FoundOpenCl | string> {
  const search = findLibraries('opencl');
  if (!search.found) return search.why;
  try {
    const cl = await loadOpenCl(search.libraries);
    return { libraries: search.libraries, cl, devices: enumerateDevices(cl) };
  } catch (error) {
    if (error instanceof OperationalError) return error.message;
    throw error;
  }
}

/** A device as a replica is given it. */
export function computeDevice(device: DeviceFacts, profiling = false): ComputeDevice {
  const { index, handle, name, globalBytes, maxAllocationBytes, float64 } = device;
  return {
    ...{ index, handle, title: name, profiling, memoryBytes: globalBytes, bufferBytes: maxAllocationBytes },
    float64: float64 !== null,
    ledger: new Ledger().buffer,
  };
}

/** The device as one that has no float64. */
export function withoutFloat64(device: DeviceFacts): DeviceFacts {
  return { ...device, float64: null };
}

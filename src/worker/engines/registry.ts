/** Engines by name, and the loader of those that are not part of this package. */
import type { Engine, EngineName } from '../../shared/engine.js';
import type { DeviceFacts } from './opencl/driver/facts.js';
import type { OpenCl } from './opencl/driver/library.js';

export { howToGet, loadTensorFlow } from './tfjs/load.js';
export type { Adapter, TensorFlow } from './tfjs/load.js';
export { enumerateDevices } from './opencl/driver/device.js';
export { lacksOf, type DeviceFacts } from './opencl/driver/facts.js';
export { loadOpenCl, type OpenCl } from './opencl/driver/library.js';
export { Ledger } from './opencl/driver/owned.js';
export { measurePeaks } from './opencl/driver/peaks.js';

/** That engine and no other: each thread of a run loads its own. */
export async function loadEngine(name: EngineName): Promise<Engine> {
  if (name === 'wasm') return (await import('./wasm/wasm-engine.js')).wasmEngine;
  if (name === 'opencl') return (await import('./opencl/opencl-engine.js')).openclEngine;
  if (name === 'reference') return (await import('./reference/reference-engine.js')).referenceEngine;
  return (await import('./tfjs/tfjs-engines.js')).tensorFlowEngines[name];
}

/**
 * Whether a device gives the bits of the CPU, by trial: it compiles the engine's kernels, which takes its time at first.
 * @param module the compiled kernels of `wasm`, whose bits are those of the CPU
 * @returns null where it does, else what failed, in a few words
 */
export async function proveDevice(cl: OpenCl, device: DeviceFacts, module: WebAssembly.Module): Promise<string | null> {
  return (await import('./opencl/proofs/proof.js')).proveDevice(cl, device, module);
}

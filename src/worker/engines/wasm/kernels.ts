/** The module of the kernels, at work on one rank's memory. */
import type { Kernels } from './kernel-signatures.js';

export type { Kernels };

/** The kernels over `memory`, which is imported and never grows. */
export function instantiateKernels(module: WebAssembly.Module, memory: WebAssembly.Memory): Kernels {
  const abort = (): never => {
    throw new Error('a kernel aborted');
  };
  const instance = new WebAssembly.Instance(module, { env: { memory, abort } });
  return instance.exports as unknown as Kernels;
}

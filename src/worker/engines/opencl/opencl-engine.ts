/** The engine of GPUs: kernels in OpenCL C with the bits of the wasm engine's, exact on every device that proves to be so. */
import type { Engine } from '../../../shared/engine.js';
import { accumulatorLength, preparedBytes, units } from '../winograd/units.js';
import { wasmEngine } from '../wasm/wasm-engine.js';
import { deviceBytes } from './geometry.js';
import { planHostMemory } from './host-memory.js';
import { createOpenClReplica } from './replica.js';

export const openclEngine: Engine = {
  name: 'opencl',
  exact: true,
  kernels: wasmEngine.kernels,
  units,
  accumulatorLength,
  preparedBytes,
  workspaceBytes: (shape) => planHostMemory(shape).bytes,
  deviceBytes,
  createReplica: createOpenClReplica,
};

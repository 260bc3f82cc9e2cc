/** The embedded default engine: WebAssembly SIMD kernels, exact on every machine. */
import type { Engine, UnitReplica } from '../../../shared/engine.js';
import { firstDifference, kernelNames } from './proofs/comparison.js';
import { createWasmReplica } from './replica.js';
import { accumulatorLength, preparedBytes, units } from '../winograd/units.js';
import { planWorkspace } from './workspace.js';

export const wasmEngine: Engine<UnitReplica> = {
  name: 'wasm',
  exact: true,
  kernels: { narrow: 'wasm.wasm', wide: 'wasm-wide.wasm', names: kernelNames, firstDifference },
  units,
  accumulatorLength,
  preparedBytes,
  workspaceBytes: (shape) => planWorkspace(shape).bytes,
  createReplica: createWasmReplica,
};

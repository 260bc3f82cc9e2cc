/** Engines by name, and the loader of those that are not part of this package. */
import type { Engine, EngineName } from '../../shared/engine.js';
import { referenceEngine } from './reference/reference-engine.js';
import { tensorFlowEngines } from './tfjs/tfjs-engines.js';
import { wasmEngine } from './wasm/wasm-engine.js';

export { howToGet, loadTensorFlow } from './tfjs/load.js';
export type { Adapter, TensorFlow } from './tfjs/load.js';

const engines: Readonly<Record<EngineName, Engine>> = {
  wasm: wasmEngine,
  reference: referenceEngine,
  ...tensorFlowEngines,
};

export function engineOf(name: EngineName): Engine {
  return engines[name];
}

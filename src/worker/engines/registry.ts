/** Engines by name, and the loader of those that are not part of this package. */
import type { Engine, EngineName } from '../../shared/engine.js';

export { howToGet, loadTensorFlow } from './tfjs/load.js';
export type { Adapter, TensorFlow } from './tfjs/load.js';

/** That engine and no other: each thread of a run loads its own. */
export async function loadEngine(name: EngineName): Promise<Engine> {
  if (name === 'wasm') return (await import('./wasm/wasm-engine.js')).wasmEngine;
  if (name === 'reference') return (await import('./reference/reference-engine.js')).referenceEngine;
  return (await import('./tfjs/tfjs-engines.js')).tensorFlowEngines[name];
}

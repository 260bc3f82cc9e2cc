/** Engines by name. */
import type { Engine, EngineName } from '../../shared/engine.js';
import { referenceEngine } from './reference/engine.js';
import { wasmEngine } from './wasm/engine.js';

const engines: Readonly<Record<EngineName, Engine>> = { wasm: wasmEngine, reference: referenceEngine };

export function engineOf(name: EngineName): Engine {
  return engines[name];
}

/** `devices`: what this machine offers to train on. */
import { loadKernels } from '../coordinator/launch.js';
import { describeMachine, type Machine } from '../coordinator/machine.js';
import { OperationalError } from '../shared/errors.js';
import type { Engine, EngineName } from '../shared/engine.js';
import { engineFor } from './options.js';
import { version } from './version.js';

export interface EngineStatus {
  readonly name: EngineName;
  readonly version: string;
  readonly available: boolean;
  /** Whether it promises the same bits on every machine. */
  readonly exact: boolean;
  /** What it computes with; where it is not available, why, and what to do about it. */
  readonly detail: string;
}

export interface DevicesReport {
  readonly machine: Machine;
  readonly engines: readonly EngineStatus[];
  /** What `--engine auto` takes, and why. */
  readonly choice: { readonly engine: EngineName; readonly why: string };
}

/** Looks at the machine and tries each engine. */
export async function devices(): Promise<DevicesReport> {
  const wasm = engineFor('wasm');
  const [machine, status] = await Promise.all([describeMachine({ gpus: true }), statusOf(wasm)]);
  const why = status.available ? 'the embedded engine, fastest on a CPU and exact' : 'there is no other';
  return { machine, engines: [status], choice: { engine: wasm.name, why } };
}

async function statusOf(engine: Engine): Promise<EngineStatus> {
  const { name, exact } = engine;
  try {
    const kernels = await loadKernels(engine);
    const sha256 = kernels === null ? 'none' : kernels.sha256.slice(0, 12);
    return { name, version, available: true, exact, detail: `WebAssembly SIMD, kernels ${sha256}` };
  } catch (error) {
    if (!(error instanceof OperationalError)) throw error;
    return { name, version, available: false, exact, detail: error.message };
  }
}

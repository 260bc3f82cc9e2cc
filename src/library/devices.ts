/** `devices`: what this machine offers to train on. */
import { describeMachine, type Machine } from '../coordinator/machine.js';
import type { EngineName } from '../shared/engine.js';
import { statusOf, type EngineStatus } from './engine-status.js';
import { autoChoice, engineNames } from './engines.js';
import { mpiStatus, type MpiStatus } from './mpi-status.js';

export interface DevicesReport {
  readonly machine: Machine;
  readonly engines: readonly EngineStatus[];
  /** What several processes would train over. */
  readonly mpi: MpiStatus;
  /** What `--engine auto` takes, and why. */
  readonly choice: { readonly engine: EngineName; readonly why: string };
}

/** Looks at the machine and tries each engine. */
export async function devices(): Promise<DevicesReport> {
  const [machine, mpi, ...engines] = await Promise.all([
    describeMachine({ thorough: true }),
    mpiStatus(),
    ...engineNames.map((name) => statusOf(name)),
  ]);
  const gpu = engines.find(({ name }) => name === 'tfjs-node-gpu');
  const choice = autoChoice(gpu ?? { version: null, available: false, detail: '' });
  return { machine, engines, mpi, choice };
}

/** `devices`: what this machine offers to train on. */
import { describeMachine, type Machine } from '../coordinator/node/machine.js';
import type { EngineName } from '../shared/engine.js';
import { statusOf, type EngineStatus } from './devices/engine-status.js';
import type { OpenClDevice, OpenClSearch } from './devices/opencl-device.js';
import { searchOpenCl } from './engines/opencl.js';
import { autoChoice, engineNames } from './engines/engines.js';
import { mpiStatus, type MpiStatus } from './devices/mpi-status.js';

export interface DevicesReport {
  readonly machine: Machine;
  readonly engines: readonly EngineStatus[];
  /** What OpenCL finds, with what a device lacks to give the bits of the CPU; empty where `engines` says why there is nothing. */
  readonly opencl: readonly OpenClDevice[];
  /** What several processes would train over. */
  readonly mpi: MpiStatus;
  /** What `engine` auto takes, and why; null where it would fail, with the reason and what to do about it. */
  readonly choice: { readonly engine: EngineName | null; readonly why: string };
}

/** Looks at the machine and tries each engine. */
export async function devices(): Promise<DevicesReport> {
  const [machine, mpi, opencl, ...engines] = await Promise.all([
    describeMachine({ thorough: true }),
    mpiStatus(),
    searchOpenCl('all'),
    ...engineNames.map((name) => statusOf(name)),
  ]);
  return { machine, engines, opencl: opencl.found ? opencl.devices : [], mpi, choice: choiceOf(engines, opencl) };
}

/** @param engines all of `engineNames` */
export function choiceOf(engines: readonly EngineStatus[], opencl: OpenClSearch): DevicesReport['choice'] {
  const gpu = engines.find(({ name }) => name === 'tfjs-node-gpu');
  const choice = autoChoice(opencl, gpu ?? { version: null, available: false, detail: '' });
  const taken = engines.find(({ name }) => name === choice.engine);
  if (taken?.available !== false) return choice;
  return { engine: null, why: `${choice.why}, and ${taken.name} is not available: ${taken.detail}` };
}

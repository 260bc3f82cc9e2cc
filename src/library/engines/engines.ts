/** From the engine that is asked for to the one that computes. */
import type { Engine, TensorFlowName } from '../../shared/engine.js';
import { OperationalError, usageError } from '../../shared/errors.js';
import type { Device } from '../../shared/group/protocol.js';
import { loadEngine } from '../../worker/engines/registry.js';
import { statusOf, type EngineStatus } from '../devices/engine-status.js';
import { findLibraries } from './tensorflow-packages.js';
import { holdTensorFlow, severalGpus } from './tensorflow.js';

/** Engines that can be asked for: by name, `tfjs` for the best on TensorFlow.js, or `auto` for the best that works here. */
export const engineChoices = ['auto', 'wasm', 'tfjs', 'tfjs-node-gpu', 'tfjs-node', 'tfjs-webgpu'] as const;
export type EngineChoice = (typeof engineChoices)[number];

/** Engines by name, for users: the reference engine is for tests. */
export const engineNames = ['wasm', 'tfjs-node-gpu', 'tfjs-node', 'tfjs-webgpu'] as const;
type Name = (typeof engineNames)[number];

/** What `tfjs` tries, the best first. */
const tensorFlowNames = ['tfjs-node-gpu', 'tfjs-node', 'tfjs-webgpu'] as const;

export interface SelectedEngine {
  readonly engine: Engine;
  /** What it imports on each thread, see `ReplicaBinding`. */
  readonly libraries: readonly string[];
  /** Why it was chosen; where it was asked for by name, what it computes with. A few words. */
  readonly why: string;
  readonly device: 'cpu' | 'gpu';
  /** Whether all workers compute on one device, so that a second one is of no use. */
  readonly oneDevice: boolean;
}

export interface SelectOptions {
  readonly workers: number;
  /** What the option `devices` names, or null. */
  readonly devices?: readonly Device[] | null;
  readonly onNote: (text: string) => void;
}

/**
 * Finds, loads and proves the engine that is asked for. Call it before workers start.
 * @throws OperationalError USAGE for an engine that there is not, or that cannot compute on `devices`; ENGINE_UNAVAILABLE
 *   where it does not work here, with the reason and what to do
 */
export async function selectEngine(choice: EngineChoice | undefined, options: SelectOptions): Promise<SelectedEngine> {
  const name = choice ?? 'auto';
  if (name === 'auto') return selectAuto(options);
  if (name === 'tfjs') return selectTensorFlow(options);
  if (engineNames.includes(name)) return selectByName(name, null, options);
  throw usageError(`\`engine\` must be ${engineChoices.join(', ')}, not "${String(choice)}"`);
}

/**
 * The engine to go on with: that of the checkpoint, where nothing else is asked for and it works here.
 * @param engine the checkpoint's
 * @param mayDiffer whether another one may take its place
 * @throws OperationalError as `selectEngine`; CONFIGURATION_CHANGED where the checkpoint's is not available
 */
export async function selectEngineToResume(
  engine: string,
  mayDiffer: boolean,
  choice: EngineChoice | undefined,
  options: SelectOptions,
): Promise<SelectedEngine> {
  const wanted = choice ?? 'auto';
  const was = engineNames.find((name) => name === engine);
  const left = wanted === 'auto' || (wanted === 'tfjs' && was !== 'wasm');
  if (was === undefined || !left) return selectEngine(choice, options);
  try {
    return await selectByName(was, 'as in the run to resume', options);
  } catch (error) {
    if (!(error instanceof OperationalError) || error.code !== 'ENGINE_UNAVAILABLE') throw error;
    if (mayDiffer) return selectEngine(choice, options);
    const message = `the checkpoint was trained by engine ${was}, and another one gives other bits: ${error.message}`;
    throw new OperationalError('CONFIGURATION_CHANGED', `${message}; or add \`override: engine\``);
  }
}

/** What `auto` takes, and why, given whether tfjs-node-gpu works. */
export function autoChoice(gpu: Pick<EngineStatus, 'version' | 'available' | 'detail'>): { engine: Name; why: string } {
  if (gpu.available) return { engine: 'tfjs-node-gpu', why: gpu.detail };
  if (gpu.version === null) return { engine: 'wasm', why: 'tfjs-node-gpu is not installed' };
  return { engine: 'wasm', why: `tfjs-node-gpu does not work here: ${gpu.detail}` };
}

async function selectAuto(options: SelectOptions): Promise<SelectedEngine> {
  if ((options.devices ?? null) !== null) return selectByName('wasm', '`devices` names processors', options);
  const { engine, why } = autoChoice(await statusOf('tfjs-node-gpu'));
  return selectByName(engine, why, options);
}

async function selectTensorFlow(options: SelectOptions): Promise<SelectedEngine> {
  const reasons: string[] = [];
  for (const name of tensorFlowNames) {
    const status = await statusOf(name);
    if (status.available) return selectByName(name, status.detail, options, status);
    reasons.push(`${name}: ${status.detail}`);
  }
  throw new OperationalError(
    'ENGINE_UNAVAILABLE',
    `\`engine\` tfjs: none of its engines works here (${reasons.join('; ')})`,
  );
}

/**
 * @param why null where it is asked for by name
 * @param status where it is known already
 */
async function selectByName(
  name: Name,
  why: string | null,
  options: SelectOptions,
  status?: EngineStatus,
): Promise<SelectedEngine> {
  refuseDevices(name, options.devices ?? null);
  const engine = await loadEngine(name);
  if (name === 'wasm') {
    return { engine, libraries: [], why: why ?? 'WebAssembly SIMD', device: 'cpu', oneDevice: false };
  }
  const search = findLibraries(name);
  if (!search.found) throw unavailable(name, search.why);
  const { libraries } = search;
  if (name === 'tfjs-webgpu') {
    // In a process of its own: this thread has no use for Dawn, which would keep the process alive.
    const { available, device, detail } = status ?? (await statusOf(name));
    if (!available || device === null) throw unavailable(name, detail);
    return { engine, libraries, why: detail, device, oneDevice: true };
  }
  const { libtensorflow } = await holdTensorFlow(engine, name, libraries, options.workers);
  const onGpu = name === 'tfjs-node-gpu';
  const note = onGpu ? await severalGpus() : null;
  if (note !== null) options.onNote(note);
  const what = `TensorFlow ${libtensorflow ?? 'of unknown version'}`;
  return { engine, libraries, why: why ?? what, device: onGpu ? 'gpu' : 'cpu', oneDevice: onGpu };
}

/** The option `devices` says which processor a worker computes on: engines that do not let it choose refuse to pretend. */
function refuseDevices(name: Name, devices: readonly Device[] | null): void {
  if (name === 'wasm' || devices === null) return;
  if (name !== 'tfjs-node') {
    throw usageError(
      `\`devices\` names processors, but \`engine\` ${name} has a device of its own: leave \`devices\` out`,
    );
  }
  if (devices.every(({ core }) => core === null)) return;
  const reason = 'TensorFlow computes on threads of its own, which cpu:N does not pin';
  throw usageError(`\`devices\`: ${reason}: write cpu with \`engine\` ${name}, or use \`engine\` wasm`);
}

function unavailable(name: TensorFlowName, reason: string): OperationalError {
  return new OperationalError('ENGINE_UNAVAILABLE', `\`engine\` ${name}: ${reason}`);
}

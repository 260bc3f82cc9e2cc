/** From the engine that is asked for to the one that computes. */
import type { DevicePool } from '../../shared/compute-device.js';
import type { Engine, TensorFlowName } from '../../shared/engine.js';
import { OperationalError, usageError } from '../../shared/errors.js';
import type { Device } from '../../shared/group/protocol.js';
import { deviceName } from '../../coordinator/node/topology.js';
import { loadEngine } from '../../worker/engines/registry.js';
import { statusOf, type EngineStatus } from '../devices/engine-status.js';
import { chooseDevices, openPool, searchOpenCl } from './opencl.js';
import { titleOf, type OpenClDevice, type OpenClSearch } from '../devices/opencl-device.js';
import { findLibraries } from './packages.js';
import { holdTensorFlow, severalGpus } from './tensorflow.js';

/** Engines that can be asked for: by name, `tfjs` for the best on TensorFlow.js, or `auto` for the best that works here. */
export const engineChoices = ['auto', 'wasm', 'opencl', 'tfjs', 'tfjs-node-gpu', 'tfjs-node', 'tfjs-webgpu'] as const;
export type EngineChoice = (typeof engineChoices)[number];

/** Engines by name, for users: the reference engine is for tests. */
export const engineNames = ['wasm', 'opencl', 'tfjs-node-gpu', 'tfjs-node', 'tfjs-webgpu'] as const;
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
  /** Workers that `auto` is, at most: one for each GPU, one where all would share one; null for one for each core. */
  readonly autoWorkers: number | null;
  /** Gives out what the engine computes on besides the processor; null for an engine that is not told. */
  readonly pool: DevicePool | null;
}

export interface SelectOptions {
  readonly workers: number;
  /** What the option `devices` names, or null. */
  readonly devices?: readonly Device[] | null;
  /** Whether the time of each kernel is to be taken, which only some engines can. */
  readonly profile?: boolean;
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
 * The engine to go on with where nothing else is asked for: that of the checkpoint, where it works here, or one with the same bits.
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
  if (wanted === 'auto' && (was === 'wasm' || was === 'opencl')) return selectExact(was, options);
  const left = wanted === 'auto' || (wanted === 'tfjs' && was !== 'wasm');
  if (was === undefined || !left) return selectEngine(choice, options);
  try {
    return await selectByName(was, 'as in the run to resume', options);
  } catch (error) {
    if (!(error instanceof OperationalError) || error.code !== 'ENGINE_UNAVAILABLE') throw error;
    if (mayDiffer) return selectEngine(choice, options);
    const message = `the checkpoint was trained by engine ${was}, and another one gives other bits: ${error.message}`;
    throw new OperationalError('CONFIGURATION_CHANGED', `${message}; or add \`override: ['engine']\``);
  }
}

/** What `auto` takes, and why, given what OpenCL finds and whether tfjs-node-gpu works. */
export function autoChoice(
  opencl: OpenClSearch,
  gpu: Pick<EngineStatus, 'version' | 'available' | 'detail'>,
): { engine: Name; why: string } {
  const exact = exactGpus(opencl);
  if (exact.length > 0) return { engine: 'opencl', why: computesOn(exact) };
  if (gpu.available) return { engine: 'tfjs-node-gpu', why: gpu.detail };
  if (gpu.version !== null) return { engine: 'wasm', why: `tfjs-node-gpu does not work here: ${gpu.detail}` };
  if (opencl.version === null) return { engine: 'wasm', why: 'no engine for GPUs is installed' };
  return { engine: 'wasm', why: `no GPU: ${whyNoGpu(opencl)}` };
}

async function selectAuto(options: SelectOptions): Promise<SelectedEngine> {
  const devices = options.devices ?? null;
  if (devices !== null && devices.every(({ kind }) => kind === 'cpu')) {
    return selectByName('wasm', '`devices` names processors', options);
  }
  if (devices !== null) return selectByName('opencl', null, options);
  const opencl = await searchOpenCl('gpus');
  if (exactGpus(opencl).length > 0) return selectByName('opencl', null, options);
  const { engine, why } = autoChoice(opencl, await statusOf('tfjs-node-gpu'));
  return selectByName(engine, why, options);
}

/** Goes on with a run of an exact engine: on GPUs that give its bits too, or on the processor. */
async function selectExact(was: 'wasm' | 'opencl', options: SelectOptions): Promise<SelectedEngine> {
  const devices = options.devices ?? null;
  if (devices !== null) return selectAuto(options);
  const opencl = await searchOpenCl('gpus');
  if (exactGpus(opencl).length > 0) return selectByName('opencl', null, options);
  const why =
    was === 'wasm' ? 'as in the run to resume' : `the bits of the run to resume, without a GPU: ${whyNoGpu(opencl)}`;
  return selectByName('wasm', why, options);
}

function exactGpus(search: OpenClSearch): OpenClDevice[] {
  return search.found ? search.devices.filter(({ kind, exact }) => kind === 'gpu' && exact) : [];
}

function whyNoGpu(search: OpenClSearch): string {
  if (!search.found) return search.why;
  const gpus = search.devices.filter(({ kind }) => kind === 'gpu');
  if (gpus.length === 0) return 'OpenCL finds none';
  return gpus.map((gpu) => `${titleOf(gpu)} ${gpu.lacks.join(', ')}`).join('; ');
}

/** What a device without float64 costs. */
const noFloat64 = 'has no float64: the processor takes the sums of the batch norms and the loss, which costs copies';

/** Such as `gpu:0 (NVIDIA H100 80GB HBM3), with the bits of the CPU`. */
function computesOn(devices: readonly OpenClDevice[]): string {
  const own = [...new Set(devices)];
  const poor = own.filter(({ float64 }) => !float64).map(({ gpu, device }) => `; ${gpu ?? device} ${noFloat64}`);
  return `${own.map(titleOf).join(', ')}, with the bits of the CPU${poor.join('')}`;
}

async function selectOpenCl(engine: Engine, options: SelectOptions): Promise<SelectedEngine> {
  const asked = options.devices ?? null;
  const search = await searchOpenCl(proofsFor(asked));
  if (!search.found) throw unavailable('opencl', search.why);
  const chosen = chooseDevices(search.devices, asked);
  const exact = chosen.filter((device) => device.exact);
  const refused = chosen
    .filter((device) => !device.exact)
    .map((device) => `${titleOf(device)} ${device.lacks.join(', ')}`);
  if (refused.length > 0 && (asked !== null || exact.length === 0)) {
    throw unavailable(
      'opencl',
      `${refused.join('; ')}: so it would give other bits than the CPU; see mnist-ddp devices`,
    );
  }
  for (const one of refused) options.onNote(`warning: not used, since it would give other bits: ${one}`);
  return {
    engine,
    libraries: search.libraries,
    why: computesOn(exact),
    device: exact.some(({ kind }) => kind === 'gpu') ? 'gpu' : 'cpu',
    autoWorkers: exact.length,
    pool: await openPool(search.libraries, exact, options.profile === true),
  };
}

/** Which devices a choice may fall on, and so have to be proven. */
function proofsFor(asked: readonly Device[] | null): Parameters<typeof searchOpenCl>[0] {
  if (asked === null) return 'preferred';
  return asked.some(({ kind }) => kind === 'gpu')
    ? 'gpus'
    : [...new Set(asked.flatMap((device) => (device.kind === 'opencl' ? [device.index] : [])))];
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
  if (options.profile === true && name !== 'opencl') {
    throw usageError(`\`profile\` takes the times of kernels on a GPU, which \`engine\` ${name} does not: use opencl`);
  }
  const engine = await loadEngine(name);
  if (name === 'opencl') return selectOpenCl(engine, options);
  const onProcessor = { engine, device: 'cpu', autoWorkers: null, pool: null } as const;
  if (name === 'wasm') return { ...onProcessor, libraries: [], why: why ?? 'WebAssembly SIMD' };
  const search = findLibraries(name);
  if (!search.found) throw unavailable(name, search.why);
  const { libraries } = search;
  if (name === 'tfjs-webgpu') {
    // In a process of its own: this thread has no use for Dawn, which would keep the process alive.
    const { available, device, detail } = status ?? (await statusOf(name));
    if (!available || device === null) throw unavailable(name, detail);
    return { engine, libraries, why: detail, device, autoWorkers: 1, pool: null };
  }
  const { libtensorflow } = await holdTensorFlow(engine, name, libraries, options.workers);
  const onGpu = name === 'tfjs-node-gpu';
  const note = onGpu ? await severalGpus() : null;
  if (note !== null) options.onNote(note);
  const what = `TensorFlow ${libtensorflow ?? 'of unknown version'}`;
  const shared = onGpu ? ({ device: 'gpu', autoWorkers: 1 } as const) : {};
  return { ...onProcessor, libraries, why: why ?? what, ...shared };
}

/** The option `devices` says what a worker computes on: engines that do not let it choose refuse to pretend. */
function refuseDevices(name: Name, devices: readonly Device[] | null): void {
  if (devices === null) return;
  const [first = { kind: 'cpu', core: null }] = devices;
  const onProcessors = first.kind === 'cpu';
  if (name === 'wasm' && !onProcessors) {
    throw usageError(`\`devices\` names ${deviceName(first)}, but \`engine\` wasm computes on processors: use opencl`);
  }
  if (name === 'opencl' && onProcessors) {
    throw usageError('`devices` names processors, but `engine` opencl takes gpu, gpu:N or opencl:N: or use wasm');
  }
  if (name === 'wasm' || name === 'opencl') return;
  if (name !== 'tfjs-node' || !onProcessors) {
    const named = onProcessors ? 'processors' : deviceName(first);
    throw usageError(
      `\`devices\` names ${named}, but \`engine\` ${name} has a device of its own: leave \`devices\` out`,
    );
  }
  if (devices.every((device) => device.kind === 'cpu' && device.core === null)) return;
  const reason = 'TensorFlow computes on threads of its own, which cpu:N does not pin';
  throw usageError(`\`devices\`: ${reason}: write cpu with \`engine\` ${name}, or use \`engine\` wasm`);
}

function unavailable(name: TensorFlowName | 'opencl', reason: string): OperationalError {
  return new OperationalError('ENGINE_UNAVAILABLE', `\`engine\` ${name}: ${reason}`);
}

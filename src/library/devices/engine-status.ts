/** Whether an engine works here, and what it computes on. */
import { arithmeticOf } from '../../coordinator/checkpoint/golden-hashes.js';
import type { Simd } from '../../coordinator/session/host.js';
import { loadKernels } from '../../coordinator/session/kernels.js';
import { nodeHost } from '../../coordinator/node/node-host.js';
import type { EngineName, TensorFlowName } from '../../shared/engine.js';
import { OperationalError } from '../../shared/errors.js';
import { loadEngine } from '../../worker/engines/registry.js';
import { adapterDetail } from '../engines/adapter.js';
import type { ProbeAnswer, ProbeRequest } from './engine-probe.js';
import { probe } from './probe.js';
import { titleOf } from './opencl-device.js';
import { searchOpenCl } from '../engines/opencl.js';
import { findLibraries } from '../engines/packages.js';
import { version as ownVersion } from '../version.js';

export interface EngineStatus {
  readonly name: EngineName;
  /** Of mnist-ddp for its own engines, else of the npm package that computes; null where that is not installed. */
  readonly version: string | null;
  readonly available: boolean;
  /** Whether it promises the same bits on every machine. */
  readonly exact: boolean;
  /** What it computes on, where it is available. */
  readonly device: 'cpu' | 'gpu' | null;
  /** What it computes with; where it is not available, why, and what to do about it. */
  readonly detail: string;
  /** How wide the vectors of its kernels are here; null for an engine without, or one that is not available. */
  readonly simd: Simd | null;
}

/** CUDA takes its time when it starts for the first time. */
const defaultTimeoutMs = 30_000;

/**
 * Tries an engine. Native code is loaded in a process of its own, so that nothing it does can harm this one.
 * @param timeoutMs after which TensorFlow.js counts as one that does not work
 */
export async function statusOf(
  name: 'wasm' | 'opencl' | TensorFlowName,
  { timeoutMs = defaultTimeoutMs }: { timeoutMs?: number } = {},
): Promise<EngineStatus> {
  if (name === 'wasm') return wasmStatus();
  return name === 'opencl' ? openClStatus() : tensorFlowStatus(name, timeoutMs);
}

async function wasmStatus(): Promise<EngineStatus> {
  const engine = await loadEngine('wasm');
  const status = { name: engine.name, version: ownVersion, exact: engine.exact };
  try {
    const simd = (await loadKernels(engine, nodeHost))?.simd ?? null;
    const vectors = simd === null ? '' : ` of ${String(simd.bits)} bits (${simd.why})`;
    const detail = `WebAssembly SIMD${vectors}, golden hash ${arithmeticOf(engine)?.slice(0, 12) ?? 'none'}`;
    return { ...status, available: true, device: 'cpu', detail, simd };
  } catch (error) {
    if (!(error instanceof OperationalError)) throw error;
    return { ...status, available: false, device: null, detail: error.message, simd: null };
  }
}

async function openClStatus(): Promise<EngineStatus> {
  const engine = await loadEngine('opencl');
  const search = await searchOpenCl('all');
  const status = { name: engine.name, version: ownVersion, exact: engine.exact, simd: null };
  if (!search.found) return { ...status, available: false, device: null, detail: search.why };
  const exact = search.devices.filter((device) => device.exact);
  const detail = search.devices
    .map((device) => `${titleOf(device)}${device.exact ? '' : ` ${device.lacks.join(', ')}`}`)
    .join('; ');
  if (exact.length === 0) return { ...status, available: false, device: null, detail };
  const device = exact.some(({ kind }) => kind === 'gpu') ? 'gpu' : 'cpu';
  return { ...status, available: true, device, detail: `OpenCL by koffi ${search.version} on ${detail}` };
}

async function tensorFlowStatus(name: TensorFlowName, timeoutMs: number): Promise<EngineStatus> {
  const search = findLibraries(name);
  const status = { name, version: search.version, exact: (await loadEngine(name)).exact, simd: null };
  if (!search.found) return { ...status, available: false, device: null, detail: search.why };
  const request: ProbeRequest = { name, libraries: search.libraries };
  const answer = (await probe('./engine-probe.js', request, timeoutMs)) as ProbeAnswer;
  if ('error' in answer) {
    return { ...status, available: false, device: null, detail: answer.error.replace(`\`engine\` ${name}: `, '') };
  }
  const { libtensorflow, adapter } = answer;
  if (adapter !== null) {
    const device = adapter.software ? 'cpu' : 'gpu';
    return { ...status, available: true, device, detail: adapterDetail(adapter) };
  }
  const device = name === 'tfjs-node-gpu' ? 'gpu' : 'cpu';
  const detail = `TensorFlow ${libtensorflow ?? ''} on ${device === 'gpu' ? 'a CUDA GPU' : 'the CPU'}`;
  return { ...status, available: true, device, detail };
}

/**
 * TensorFlow.js on the thread at hand, with a backend that is proven to be the one that was asked for.
 *
 * It is no dependency: whoever has it trains on it. So nothing here imports it but for its types, and the modules come as
 * URLs, found by whoever knows folders.
 */
import type * as tfjs from '@tensorflow/tfjs';
import type { TensorFlowName } from '../../../shared/engine.js';
import { OperationalError } from '../../../shared/errors.js';

export type TensorFlowModule = typeof tfjs;

export interface TensorFlow {
  readonly name: TensorFlowName;
  readonly tf: TensorFlowModule;
  /** Of TensorFlow.js, such as `4.22.0`. */
  readonly version: string;
  /** Of libtensorflow, such as `2.15.1`; null where another library computes. */
  readonly libtensorflow: string | null;
  /** What WebGPU computes on; null for the other backends. */
  readonly adapter: Adapter | null;
}

/** A WebGPU adapter, in the words of its driver; any of them may be empty. */
export interface Adapter {
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  readonly description: string;
  /** Whether it computes on the processor. */
  readonly software: boolean;
}

/** What the Node backend of TensorFlow.js has beside the interface of a backend. */
interface NodeBackend {
  readonly binding?: { readonly TF_Version?: string };
  readonly isUsingGpuDevice?: boolean;
}

/** The part of the npm package `webgpu`, and of WebGPU, that is used here. */
interface Dawn {
  readonly globals: object;
  create(options: readonly string[]): Gpu;
}

interface Gpu {
  requestAdapter(options?: { readonly powerPreference: 'high-performance' }): Promise<GpuAdapter | null>;
}

interface GpuAdapter {
  readonly info: Partial<Omit<Adapter, 'software'>> & { readonly isFallbackAdapter?: boolean };
}

/** For people: what to do where an engine's packages are missing or broken. */
export const howToGet: Readonly<Record<TensorFlowName, string>> = {
  'tfjs-node-gpu': 'npm install @tensorflow/tfjs-node-gpu, with CUDA and cuDNN as TensorFlow wants them',
  'tfjs-node': 'npm install @tensorflow/tfjs-node, or in a checkout npm run setup:tfjs-node',
  'tfjs-webgpu': 'npm install webgpu @tensorflow/tfjs @tensorflow/tfjs-backend-webgpu',
};

/**
 * Imports TensorFlow.js and chooses its backend; a second call on a thread gives the same.
 * @param libraries as `ReplicaBinding.libraries`: the package of that name, or [webgpu, @tensorflow/tfjs, its backend]
 * @throws OperationalError ENGINE_UNAVAILABLE, one line: what is missing and what to do
 */
export async function loadTensorFlow(name: TensorFlowName, libraries: readonly string[]): Promise<TensorFlow> {
  return name === 'tfjs-webgpu' ? loadWebGpu(name, libraries) : loadNode(name, libraries);
}

async function loadNode(name: 'tfjs-node' | 'tfjs-node-gpu', libraries: readonly string[]): Promise<TensorFlow> {
  const packageName = `@tensorflow/${name}`;
  await defineDroppedUtilities();
  const tf = await importModule<TensorFlowModule>(name, packageName, libraries[0]);
  if (tf.getBackend() !== 'tensorflow') {
    throw unavailable(
      name,
      `${packageName} computes on the backend "${tf.getBackend()}", not on TensorFlow`,
      howToGet[name],
    );
  }
  const { binding, isUsingGpuDevice } = tf.backend() as NodeBackend;
  if (name === 'tfjs-node-gpu' && isUsingGpuDevice !== true) {
    throw unavailable(name, 'TensorFlow finds no CUDA GPU', 'see that nvidia-smi lists one, or use `engine` tfjs-node');
  }
  return { name, ...quietly(tf), libtensorflow: binding?.TF_Version ?? null, adapter: null };
}

async function loadWebGpu(name: 'tfjs-webgpu', [dawn, core, backend]: readonly string[]): Promise<TensorFlow> {
  const gpu = provideGpu(await importModule<Dawn>(name, 'webgpu', dawn));
  // Asked here, since the backend fails without one in words that do not say so.
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (adapter === null) {
    throw unavailable(name, 'no WebGPU adapter', 'a GPU with a driver for Vulkan, Metal or Direct3D 12 is needed');
  }
  const tf = await importModule<TensorFlowModule>(name, '@tensorflow/tfjs', core);
  await importModule<unknown>(name, '@tensorflow/tfjs-backend-webgpu', backend);
  // A backend that fails is replaced by the next one in silence, and getBackend may name it nevertheless.
  if (!(await tf.setBackend('webgpu')) || tf.getBackend() !== 'webgpu') {
    throw unavailable(name, 'the WebGPU backend does not start on this adapter', 'use `engine` wasm');
  }
  return { name, ...quietly(tf), libtensorflow: null, adapter: describe(adapter) };
}

/** TensorFlow.js looks for WebGPU where a browser has it. The `navigator` keeps the GPU alive, as it must. */
function provideGpu(dawn: Dawn): Gpu {
  const scope = globalThis as { navigator?: { gpu?: Gpu } };
  if (scope.navigator?.gpu !== undefined) return scope.navigator.gpu;
  Object.assign(globalThis, dawn.globals);
  const gpu = dawn.create([]);
  if (scope.navigator === undefined) {
    const navigator = { gpu, userAgent: 'mnist-ddp' };
    Object.defineProperty(globalThis, 'navigator', { value: navigator, configurable: true });
  } else Object.defineProperty(scope.navigator, 'gpu', { value: gpu, configurable: true });
  return gpu;
}

function describe({ info }: GpuAdapter): Adapter {
  const { vendor = '', architecture = '', device = '', description = '', isFallbackAdapter } = info;
  const words = `${architecture} ${device} ${description}`;
  const software = isFallbackAdapter === true || /swiftshader|llvmpipe|lavapipe|basic render/i.test(words);
  return { vendor, architecture, device, description, software };
}

/** Without hints on the console, of which there are some in TensorFlow.js's ordinary mode. */
function quietly(tf: TensorFlowModule): { tf: TensorFlowModule; version: string } {
  tf.enableProdMode();
  return { tf, version: tf.version.tfjs };
}

/** The addon's JavaScript calls what Node warns of from version 22 on and is dropping, `isNullOrUndefined` in version 23. */
async function defineDroppedUtilities(): Promise<void> {
  const util = ((await import('node:util')) as unknown as { default: Record<string, unknown> }).default;
  util['isNullOrUndefined'] = (value: unknown): boolean => value === null || value === undefined;
  util['isArray'] = Array.isArray;
}

async function importModule<T>(name: TensorFlowName, packageName: string, url: string | undefined): Promise<T> {
  if (url === undefined) throw unavailable(name, `${packageName} is not installed`, howToGet[name]);
  try {
    const module = (await import(url)) as { default?: T };
    // A CommonJS package comes as the default export.
    return module.default ?? (module as T);
  } catch (cause) {
    const [reason = ''] = (cause instanceof Error ? cause.message : String(cause)).split('\n');
    throw unavailable(name, `${packageName} cannot be loaded (${reason.trim()})`, howToGet[name], cause);
  }
}

function unavailable(name: TensorFlowName, what: string, advice: string, cause?: unknown): OperationalError {
  return new OperationalError('ENGINE_UNAVAILABLE', `\`engine\` ${name}: ${what}: ${advice}`, { cause });
}

/** The kernels of the `wasm` engine as a run here would have them, and how wide they must be. */
import { readFileSync } from 'node:fs';
import { loadKernels } from '../../../src/coordinator/session/kernels.js';
import { nodeHost } from '../../../src/coordinator/node/node-host.js';
import { wasmEngine } from '../../../src/worker/engines/wasm/wasm-engine.js';

/** Compiled as wide as this Node can, or as MNIST_DDP_SIMD says. */
export async function compileKernels(): Promise<WebAssembly.Module> {
  const kernels = await loadKernels(wasmEngine, nodeHost);
  if (kernels === null) throw new Error('the engine has kernels');
  if (kernels.simd.bits !== expectedBits()) throw new Error(`vectors of ${String(kernels.simd.bits)} bits`);
  return kernels.module;
}

/** 256 where V8 has the pass and the processor AVX2, unless MNIST_DDP_SIMD forbids it. */
export function expectedBits(): 128 | 256 {
  return process.env['MNIST_DDP_SIMD'] !== '128' && hasPass() && hasAvx2() ? 256 : 128;
}

/** Whether another Node would have wider vectors here, which is then said. */
export function adviceExpected(): boolean {
  return process.env['MNIST_DDP_SIMD'] !== '128' && !hasPass() && hasAvx2();
}

export function hasPass(): boolean {
  return process.arch === 'x64' && Number.parseInt(process.versions.v8, 10) >= 13;
}

function hasAvx2(): boolean {
  if (process.arch !== 'x64' || process.platform !== 'linux') return false;
  return /^flags.* avx2 /m.test(readFileSync('/proc/cpuinfo', 'utf8'));
}

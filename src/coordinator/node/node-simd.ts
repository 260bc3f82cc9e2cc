/**
 * How wide the kernels' vectors are in this Node. WebAssembly has 128 bits. V8 13 (Node 24) has a pass, revectorisation, that
 * makes one 256-bit AVX2 operation of two neighbouring 128-bit ones, with the same bits in every lane. It is an experiment
 * and off by default, so it is switched on for the compilation of our kernels alone.
 */
import { execFile } from 'node:child_process';
import { open } from 'node:fs/promises';
import { setFlagsFromString } from 'node:v8';
import { usageError } from '../../shared/errors.js';
import type { HostSimd, Simd } from '../session/host.js';
import { flagsOf, instructionSetsOf } from './machine.js';

/** What the choice depends on. */
export interface SimdFacts {
  /** MNIST_DDP_SIMD; empty or undefined where the choice is left to us. */
  readonly asked: string | undefined;
  readonly architecture: string;
  /** Such as `13.6.233.17-node.28`. */
  readonly v8: string;
  /** Whether that V8 was built with the pass; Node 22 says so too, and has but its flag. */
  readonly builtWithPass: boolean;
  /** Null where the processor does not tell. */
  readonly avx2: boolean | null;
}

/** The first V8 that has the pass. */
const firstMajor = 13;

/**
 * Wide where the pass is there and pays.
 * @throws OperationalError USAGE where MNIST_DDP_SIMD asks for what is not there
 */
export function chooseSimd({ asked = '', architecture, v8, builtWithPass, avx2 }: SimdFacts): Simd {
  if (!['', '128', '256'].includes(asked)) {
    throw usageError(`MNIST_DDP_SIMD must be 128 or 256, or left out, not "${asked}"`);
  }
  const narrow = (why: string, advice: string | null = null): Simd => {
    if (asked === '256')
      throw usageError(
        `MNIST_DDP_SIMD=256: ${why}; leave MNIST_DDP_SIMD out${advice === null ? '' : `, or take ${nodeWithPass}`}`,
      );
    return { bits: 128, why, advice };
  };
  if (asked === '128') return { bits: 128, why: 'MNIST_DDP_SIMD=128', advice: null };
  if (architecture !== 'x64') return narrow(`V8 makes wider vectors on x86-64 alone, not on ${architecture}`);
  if (avx2 === false) return narrow('the processor has no AVX2');
  if (!(builtWithPass && Number.parseInt(v8, 10) >= firstMajor)) {
    const why = `V8 ${v8.replace(/-node.*$/, '')} does not make wider vectors`;
    return narrow(
      why,
      avx2 === true
        ? `${nodeWithPass} would train 1.5 to 2 times as fast on this processor: it computes with vectors of 256 bits, AVX2's, instead of 128`
        : null,
    );
  }
  if (avx2 === true) return { bits: 256, why: 'AVX2', advice: null };
  if (asked === '256') return { bits: 256, why: 'MNIST_DDP_SIMD=256', advice: null };
  return narrow('whether the processor has AVX2 cannot be told: if it has, set MNIST_DDP_SIMD=256');
}

const nodeWithPass = 'Node 24 or later';

/** The choice for this process. Throws OperationalError USAGE. */
export async function nodeSimd(): Promise<HostSimd> {
  const variables = process.config.variables as Readonly<Record<string, unknown>>;
  const simd = chooseSimd({
    asked: process.env['MNIST_DDP_SIMD'],
    architecture: process.arch,
    v8: process.versions.v8,
    builtWithPass: variables['v8_enable_wasm_simd256_revec'] === 1,
    avx2: process.arch === 'x64' ? await hasAvx2() : null,
  });
  return { ...simd, compileWide: simd.bits === 256 ? compileWide : null };
}

/** The state in which a module is compiled, and the default: eagerly, by the optimising compiler, which has the pass. */
const flags: readonly (readonly [during: string, after: string])[] = [
  ['--experimental-wasm-revectorize', '--no-experimental-wasm-revectorize'],
  ['--no-liftoff', '--liftoff'],
  ['--no-wasm-lazy-compilation', '--wasm-lazy-compilation'],
  // V8's inlining goes by what its baseline code has counted: without that code it ends the process.
  ['--no-wasm-inlining', '--wasm-inlining'],
];

/**
 * Compiles a module to 256-bit vectors, in about 25 ms. V8's flags are those of the process, so other threads that compile
 * WebAssembly in these milliseconds do it in the same way; then they are as before. Synchronous on purpose: V8's asynchronous
 * compiler does not end, or ends the process, under these flags.
 */
function compileWide(bytes: Uint8Array<ArrayBuffer>): WebAssembly.Module {
  // What the user set for the whole process stays set.
  const ours = flags.filter(([during]) => !process.execArgv.includes(during));
  for (const [during] of ours) setFlagsFromString(during);
  try {
    return new WebAssembly.Module(bytes);
  } finally {
    for (const [, after] of ours) setFlagsFromString(after);
  }
}

/** Whether the processor, and the system with it, has AVX2; null where it cannot be told. */
async function hasAvx2(): Promise<boolean | null> {
  if (process.platform === 'darwin') return avx2OfSysctl(await sysctl('hw.optional.avx2_0'));
  return avx2OfCpuinfo(await firstProcessor());
}

/** From the text of /proc/cpuinfo. */
export function avx2OfCpuinfo(cpuinfo: string): boolean | null {
  const names = flagsOf(cpuinfo);
  return names === null ? null : instructionSetsOf(names, 'x64').includes('AVX2');
}

/** From what macOS says of `hw.optional.avx2_0`. */
export function avx2OfSysctl(value: string): boolean | null {
  return value === '' ? null : value.trim() === '1';
}

/** The first processor of /proc/cpuinfo, which the kernel writes as it is read: all of many processors would take its time. */
async function firstProcessor(): Promise<string> {
  try {
    const file = await open('/proc/cpuinfo');
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(8192), 0, 8192, 0);
      return buffer.toString('latin1', 0, bytesRead);
    } finally {
      await file.close();
    }
  } catch {
    return '';
  }
}

function sysctl(name: string): Promise<string> {
  return new Promise((resolve) => {
    execFile('sysctl', ['-n', name], { timeout: 1000 }, (error, stdout) => {
      resolve(error === null ? stdout : '');
    });
  });
}

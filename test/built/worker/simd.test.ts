/** How wide the kernels' vectors are: the choice, and that wide kernels are used only where they give the bits of narrow ones. */
import { cp, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { runBenchmark } from '../../../src/coordinator/benchmark.js';
import { locateDataset, openDataset } from '../../../src/coordinator/node/dataset-files.js';
import type { Host } from '../../../src/coordinator/session/host.js';
import { loadKernels } from '../../../src/coordinator/session/kernels.js';
import { nodeHost } from '../../../src/coordinator/node/node-host.js';
import {
  avx2OfCpuinfo,
  avx2OfSysctl,
  chooseSimd,
  nodeSimd,
  type SimdFacts,
} from '../../../src/coordinator/node/node-simd.js';
import { runVerification } from '../../../src/coordinator/verification.js';
import { defaultConfig } from '../../../src/index.js';
import { firstDifference, kernelNames } from '../../../src/worker/engines/wasm/proofs/comparison.js';
import { wasmEngine } from '../../../src/worker/engines/wasm/wasm-engine.js';
import { cli } from '../../support/processes/cli.js';
import { operationalError } from '../../support/compute/errors.js';
import { mnistDirectory, temporaryDirectory } from '../../support/inputs/idx-files.js';
import { expectedBits } from '../../support/compute/kernels.js';
import { breakAddition, breakData, exportedFunctions } from '../../support/inputs/wasm-binary.js';

const dist = fileURLToPath(new URL('../../../dist/', import.meta.url));
const kernelFile = (name: string): Promise<Uint8Array<ArrayBuffer>> => readFile(join(dist, 'kernels', name));

describe('the choice', () => {
  const facts: SimdFacts = {
    asked: undefined,
    architecture: 'x64',
    v8: '13.6.233.17-node.28',
    builtWithPass: true,
    avx2: true,
  };

  it.each<[string, Partial<SimdFacts>, bits: number, why: string, advice: boolean]>([
    ['Node 24 with AVX2', {}, 256, 'AVX2', false],
    ['the same, where 128 is asked for', { asked: '128' }, 128, 'MNIST_DDP_SIMD=128', false],
    ['the same, where 256 is asked for', { asked: '256' }, 256, 'AVX2', false],
    ['an empty wish', { asked: '' }, 256, 'AVX2', false],
    ['Node 22, which has the flag alone', { v8: '12.4.254.21-node.33' }, 128, 'V8 12.4.254.21 does not make', true],
    ['Node 20', { v8: '11.3.244.8-node.30', builtWithPass: false }, 128, 'V8 11.3.244.8 does not make', true],
    ['Node 20 where 128 is asked for', { v8: '11.3.244.8', asked: '128' }, 128, 'MNIST_DDP_SIMD=128', false],
    ['Node 20 on a processor that does not tell', { v8: '11.3.244.8', avx2: null }, 128, 'V8 11.3', false],
    ['Node 20 without AVX2', { v8: '11.3.244.8', avx2: false }, 128, 'the processor has no AVX2', false],
    ['Node 24 built without the pass', { builtWithPass: false }, 128, 'V8 13.6.233.17 does not make', true],
    ['a processor without AVX2', { avx2: false }, 128, 'the processor has no AVX2', false],
    ['one that does not tell', { avx2: null }, 128, 'if it has, set MNIST_DDP_SIMD=256', false],
    ['one that does not tell, where 256 is asked for', { avx2: null, asked: '256' }, 256, 'MNIST_DDP_SIMD=256', false],
    ['arm64', { architecture: 'arm64', avx2: null }, 128, 'x86-64 alone, not on arm64', false],
  ])('%s', (_, given, bits, why, advised) => {
    const simd = chooseSimd({ ...facts, ...given });
    expect([simd.bits, simd.why]).toEqual([bits, expect.stringContaining(why)]);
    if (advised)
      expect(simd.advice).toMatch(/^Node 24 or later would train 1.5 to 2 times as fast on this processor: /);
    else expect(simd.advice).toBeNull();
  });

  it.each<[Partial<SimdFacts>, message: string]>([
    [{ asked: '512' }, 'MNIST_DDP_SIMD must be 128 or 256, or left out, not "512"'],
    [{ asked: '256', v8: '11.3.244.8' }, 'MNIST_DDP_SIMD=256: V8 11.3.244.8 does not make wider vectors; leave'],
    [{ asked: '256', avx2: false }, 'MNIST_DDP_SIMD=256: the processor has no AVX2; leave MNIST_DDP_SIMD out'],
    [{ asked: '256', architecture: 'arm64', avx2: null }, 'MNIST_DDP_SIMD=256: V8 makes wider vectors on x86-64 alone'],
  ])('refuses %j', async (given, says) => {
    const { code, message } = await operationalError(() => chooseSimd({ ...facts, ...given }));
    expect([code, message]).toEqual(['USAGE', expect.stringContaining(says)]);
  });

  it("is told by Linux's and macOS's words for AVX2", () => {
    expect(avx2OfCpuinfo('processor\t: 0\nflags\t\t: fpu avx avx2 fma\n')).toBe(true);
    expect(avx2OfCpuinfo('processor\t: 0\nflags\t\t: fpu avx xavx2\n')).toBe(false);
    expect([avx2OfCpuinfo(''), avx2OfSysctl('')]).toEqual([null, null]);
    expect([avx2OfSysctl('1\n'), avx2OfSysctl('0\n')]).toEqual([true, false]);
  });

  it('is 256 here where this V8 and this processor can, unless it is forbidden', async () => {
    const start = performance.now();
    const { bits, compileWide } = await nodeSimd();
    expect(performance.now() - start).toBeLessThan(500);
    expect(bits).toBe(expectedBits());
    expect(compileWide !== null).toBe(bits === 256);
  });

  it('is said in one line where it cannot be had', async () => {
    const { code, stderr } = await cli(['train', '--max-steps', '1'], { env: { MNIST_DDP_SIMD: 'wide' } });
    expect([code, stderr]).toEqual([2, 'mnist-ddp: MNIST_DDP_SIMD must be 128 or 256, or left out, not "wide"\n']);
  });
});

describe('the comparison of kernels', async () => {
  const [narrowBytes, wideBytes] = [await kernelFile('wasm.wasm'), await kernelFile('wasm-wide.wasm')];
  const [narrow, wide] = [new WebAssembly.Module(narrowBytes), new WebAssembly.Module(wideBytes)];

  it('tries every kernel of both modules', () => {
    const names = [...kernelNames].sort();
    for (const module of [narrow, wide]) {
      const functions = WebAssembly.Module.exports(module).filter(({ kind }) => kind === 'function');
      expect(functions.map(({ name }) => name).sort()).toEqual(names);
    }
  });

  it('finds none that differs', () => {
    expect(firstDifference(narrow, wide)).toBeNull();
  });

  // Sums of x - x, of which only whether they are NaN matters, are no worse for a subtraction.
  const harmless = ['first of isAllFinite', 'last of isAllFinite', 'last of adam'];
  const broken = exportedFunctions(wideBytes).flatMap((name) =>
    (['first', 'last'] as const).flatMap((which) => {
      const bytes = breakAddition(wideBytes, name, which);
      return bytes === null || harmless.includes(`${which} of ${name}`) ? [] : [{ which, name, bytes }];
    }),
  );

  it('is tried with many kernels broken', () => {
    expect(broken.length).toBeGreaterThan(40);
  });

  it.each(broken)('finds $name where its $which addition of vectors is a subtraction', ({ name, bytes }) => {
    expect(firstDifference(narrow, new WebAssembly.Module(bytes))).toBe(name);
  });

  it.each([0.25, 0.5, 0.75])('finds a bit of the static data that is turned over, %d of the way in', (share) => {
    expect(firstDifference(narrow, new WebAssembly.Module(breakData(wideBytes, share)))).toBe('static data');
  });

  it('takes a kernel that fails for one that differs', () => {
    const compileTrap = (): WebAssembly.Module =>
      new WebAssembly.Module(breakAddition(wideBytes, 'add', 'first', 'trap') ?? wideBytes);
    expect(firstDifference(narrow, compileTrap())).toBe('add');
  });
});

describe('a file of kernels that is damaged', async () => {
  const whole = { 'wasm.wasm': await kernelFile('wasm.wasm'), 'wasm-wide.wasm': await kernelFile('wasm-wide.wasm') };
  type Name = keyof typeof whole;

  /** A host with that file in place of one of its own, and wide vectors, compiled as any others. */
  function hostWith(damaged: Name, bytes: Uint8Array<ArrayBuffer> | Error): Host {
    const compileWide = (wide: Uint8Array<ArrayBuffer>): WebAssembly.Module => new WebAssembly.Module(wide);
    return {
      ...nodeHost,
      simd: () => Promise.resolve({ bits: 256, why: 'AVX2', advice: null, compileWide }),
      readKernels: (file) => {
        if (file !== damaged) return nodeHost.readKernels(file);
        return bytes instanceof Error ? Promise.reject(bytes) : Promise.resolve(bytes);
      },
    };
  }

  const damages = [
    ['missing', () => Object.assign(new Error("ENOENT: no such file, open 'x'"), { code: 'ENOENT' }), '(ENOENT)'],
    ['empty', () => new Uint8Array(0), 'empty'],
    ['cut', (file: Name) => whole[file].slice(0, whole[file].length >> 1), 'end of'],
    ['cut to an empty module', (file: Name) => whole[file].slice(0, 8), '(it lacks '],
    ['another', () => new TextEncoder().encode('<!doctype html>'), 'magic'],
  ] as const;

  it.each(damages)('is done without where it is the wide one, which is said by name: %s', async (_, damage, reason) => {
    const kernels = await loadKernels(wasmEngine, hostWith('wasm-wide.wasm', damage('wasm-wide.wasm')));
    expect(kernels?.simd.bits).toBe(128);
    expect(kernels?.warning).toMatch(/^warning: [^\n]+: computing with 128 bits; install the package again$/);
    expect(kernels?.warning).toContain(join(dist, 'kernels', 'wasm-wide.wasm'));
    expect(kernels?.warning).toContain(reason);
    expect(kernels?.warning).toContain(kernels?.simd.why);
  });

  it.each(damages)('is one line with its name where it is the narrow one: %s', async (_, damage, reason) => {
    const host = hostWith('wasm.wasm', damage('wasm.wasm'));
    const { code, message } = await operationalError(() => loadKernels(wasmEngine, host));
    expect(code).toBe('ENGINE_UNAVAILABLE');
    expect(message).toContain(join(dist, 'kernels', 'wasm.wasm'));
    expect(message).toContain(reason);
    expect(message).toMatch(/: install the package again$/);
  });
});

describe('what would make vectors wider', () => {
  const advised: Host = {
    ...nodeHost,
    simd: () => Promise.resolve({ bits: 128, why: 'V8 is old', advice: 'take another Node', compileWide: null }),
  };
  const request = async (notes: string[]) => ({
    host: advised,
    engine: wasmEngine,
    libraries: [],
    config: { ...defaultConfig, batchSize: 16 },
    workers: [1],
    steps: 1,
    dataset: await openDataset(await locateDataset(mnistDirectory)),
    timeoutMs: 60_000,
    onNote: (text: string) => notes.push(text),
  });

  it('is said by verify and bench, as by train and devices', async () => {
    const [verified, measured]: [string[], string[]] = [[], []];
    await runVerification({ ...(await request(verified)), job: null });
    await runBenchmark(await request(measured));
    expect([new Set(verified), new Set(measured)]).toEqual([
      new Set(['take another Node']),
      new Set(['take another Node']),
    ]);
  });
});

describe('wide kernels that give other bits', async () => {
  const bytes = breakAddition(await kernelFile('wasm-wide.wasm'), 'normalise');
  if (bytes === null) throw new Error('normalise adds');
  const says = '256-bit kernels give other bits here (normalise): computing with 128 bits';
  const golden = 'fedd33d197d75e09057b332d54696074d85a597b5344ea88902e7e7a42fc34b3';

  it('are not used: the run goes on with narrow ones, says so, and gives the golden hash', async () => {
    // Compiled as any module: the fault is in the code itself, so this works on a Node without the pass too.
    const host: Host = {
      ...nodeHost,
      simd: () =>
        Promise.resolve({ bits: 256, why: 'AVX2', advice: null, compileWide: (wide) => new WebAssembly.Module(wide) }),
      readKernels: (file) => (file === 'wasm-wide.wasm' ? Promise.resolve(bytes) : nodeHost.readKernels(file)),
    };
    const notes: string[] = [];
    const { simdBits, equal, rows } = await runVerification({
      host,
      engine: wasmEngine,
      libraries: [],
      config: defaultConfig,
      workers: [1],
      steps: 2,
      dataset: await openDataset(await locateDataset(mnistDirectory)),
      timeoutMs: 60_000,
      job: null,
      onNote: (text) => notes.push(text),
    });
    expect([simdBits, equal, rows[0]?.parametersSha256]).toEqual([128, true, golden]);
    expect(new Set(notes)).toEqual(new Set([expect.stringContaining(says)]));
  });

  it.skipIf(expectedBits() === 128)('are not used by the command line either, which V8 makes wide', async () => {
    const { directory, remove } = await temporaryDirectory();
    try {
      await cp(dist, join(directory, 'dist'), { recursive: true });
      await cp(join(dist, '../package.json'), join(directory, 'package.json'));
      await symlink(join(dist, '../node_modules'), join(directory, 'node_modules'), 'junction');
      await writeFile(join(directory, 'dist/kernels/wasm-wide.wasm'), bytes);
      const path = join(directory, 'dist/cli.js');
      const { code, stdout, stderr } = await cli(['verify', '--workers', '1', '--steps', '2', '--json'], { path });
      expect([code, stderr]).toEqual([0, expect.stringMatching(/^warning: [^\n]+\n$/)]);
      expect(stderr).toContain(says);
      expect(JSON.parse(stdout)).toMatchObject({ simdBits: 128, equal: true });
      const report = await cli(['devices'], { path });
      expect(report.stdout).toContain('128 bits wide: 256-bit kernels give other bits here (normalise)');
    } finally {
      await remove();
    }
  });
});

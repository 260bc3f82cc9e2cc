/** The promise of equal bits: across workers, against the golden hashes, and the proofs and hashes that guard it. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stateSha256, type TrainingStep } from '../../../src/coordinator/checkpoint/checkpoint.js';
import { goldenHashes } from '../../../src/coordinator/checkpoint/golden-hashes.js';
import { defaultConfig, recipes, verify } from '../../../src/index.js';
import { batchNormChannels, parameterCount } from '../../../src/shared/model/network.js';
import { proveFloatingPoint, type Probes } from '../../../src/worker/engines/wasm/proofs/floating-point.js';
import { instantiateKernels } from '../../../src/worker/engines/wasm/kernels.js';
import { operationalError } from '../../support/compute/errors.js';
import { compileKernels, expectedBits } from '../../support/compute/kernels.js';
import { mnistDirectory, temporaryDirectory, writeIdxSet } from '../../support/inputs/idx-files.js';

describe('verify', () => {
  let directory: string;
  let remove: () => Promise<void>;
  beforeAll(async () => {
    ({ directory, remove } = await temporaryDirectory());
    // Two steps an epoch, of 128 and 20 rows: the last has 3 micro-batches, one of 4 rows.
    await writeIdxSet(directory, 148, 20);
  });
  afterAll(async () => {
    await remove();
  });

  it('gives one hash for any number of workers, short batches, epoch ends and surplus ranks included', async () => {
    const { rows, equal, golden, dataset } = await verify({ data: directory, workers: [1, 3, 5], steps: 3 });
    expect(rows.map(({ how }) => how)).toEqual([
      '1 worker',
      '3 workers',
      '5 workers',
      '5 workers, stopped after step 1, resumed with 1',
    ]);
    expect(new Set(rows.map(({ parametersSha256 }) => parametersSha256)).size).toBe(1);
    expect(new Set(rows.map((row) => row.stateSha256)).size).toBe(1);
    expect(equal).toBe(true);
    expect(golden, 'other data has no golden hashes').toBeNull();
    expect(dataset).toMatch(/^[0-9a-f]{64}$/);
  });

  it('gives those of the recipe better', async () => {
    const { golden, equal } = await verify({ data: mnistDirectory, recipe: 'better', workers: [2], steps: 2 });
    expect(golden?.stateSha256).toMatch(/^19ea01d53088/);
    expect(equal).toBe(true);
  });

  it('gives the golden hashes of two steps on MNIST, which every machine must reproduce', async () => {
    const { rows, equal, golden, simdBits } = await verify({ data: mnistDirectory, workers: [2], steps: 2 });
    expect(simdBits, 'as wide as this Node and this processor allow').toBe(expectedBits());
    const hashes = {
      parametersSha256: 'fedd33d197d75e09057b332d54696074d85a597b5344ea88902e7e7a42fc34b3',
      stateSha256: '4770a326406cf0f371946f8885aa9d832f7e724f64f1286431a3c8a77968f02e',
    };
    // Written out once more: a changed golden hash is a decision (and an entry in the CHANGELOG), not an accident.
    expect(golden).toEqual(hashes);
    for (const row of rows) expect(row).toMatchObject(hashes);
    expect(equal).toBe(true);
  });
});

it('knows golden hashes of both recipes for MNIST, as they are', () => {
  const better = { ...defaultConfig, ...recipes.better };
  expect(goldenHashes('mnist', better, 20)).toEqual({
    parametersSha256: '467ef6a7316f2401b786e528d7af0094ff23d4cfd80b78dda476323653a338b8',
    stateSha256: 'ed1df6473ba258bbc5bc59dc71af2335b66fde373b25c82baef944454ee1cc69',
  });
  expect(goldenHashes('mnist', { ...better, epochs: 1 }, 20), 'its rate goes by its epochs').toBeNull();
});

it('knows golden hashes for MNIST with the default configuration only', () => {
  expect(goldenHashes('mnist', defaultConfig, 20)?.parametersSha256).toMatch(/^7dd3d0128117/);
  expect(goldenHashes('mnist', { ...defaultConfig, epochs: 1 }, 20)).not.toBeNull();
  expect(goldenHashes('mnist', defaultConfig, 19)).toBeNull();
  expect(goldenHashes('0'.repeat(64), defaultConfig, 20)).toBeNull();
  for (const changed of [{ seed: 1 }, { microBatch: 4 }, { batchNorm: 'local' }, { learningRate: 2e-3 }] as const) {
    expect(goldenHashes('mnist', { ...defaultConfig, ...changed }, 20)).toBeNull();
  }
});

describe('proof of floating point', () => {
  const f = Math.fround;
  const smallestNormal = 2 ** -126;
  const flush = (x: number): number => (Math.abs(x) < smallestNormal ? 0 : x);
  /** Rounds to float32 towards 0, or up. */
  const neighbour = (exact: number, up: boolean): number => {
    const nearest = f(exact);
    if (nearest === exact || nearest > exact === up) return nearest;
    const bits = new Uint32Array(1);
    const value = new Float32Array(bits.buffer);
    value[0] = nearest;
    bits[0] = (bits[0] ?? 0) + (up ? 1 : -1);
    return value[0];
  };
  /** A machine that computes as IEEE 754 says. */
  const right: Probes = {
    probeMultiply: (a, b) => f(a * b),
    probeAdd: (a, b) => f(a + b),
    probeMultiplyAdd: (a, b, c) => f(f(a * b) + c),
    probeRoot: (a) => f(Math.sqrt(a)),
    probeExp: () => 0.36787944117144233,
  };

  it('accepts the kernels here, and a machine that is right', async () => {
    const module = await compileKernels();
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536, shared: true });
    expect(() => {
      proveFloatingPoint(instantiateKernels(module, memory));
      proveFloatingPoint(right);
    }).not.toThrow();
  });

  it.each<[machine: string, wrong: Partial<Probes>, named: string]>([
    [
      'flushes results below the normal range',
      { probeMultiply: (a, b) => flush(f(a * b)) },
      'a product below the normal',
    ],
    ['takes subnormal operands as 0', { probeAdd: (a, b) => f(flush(a) + flush(b)) }, 'a sum of subnormals'],
    ['rounds up', { probeAdd: (a, b) => neighbour(a + b, true) }, 'a tie that rounds to even, down'],
    ['rounds towards 0', { probeAdd: (a, b) => neighbour(a + b, false) }, 'a tie that rounds to even, up'],
    ['fuses multiply and add', { probeMultiplyAdd: (a, b, c) => f(a * b + c) }, 'a product and a sum in two roundings'],
    ['estimates roots', { probeRoot: (a) => f(Math.sqrt(a) * (1 + 2 ** -23)) }, 'a square root'],
    ['has an exponential of its own', { probeExp: () => 0.3678794411714424 }, 'an exponential in float64'],
    ['gives NaN', { probeMultiply: () => NaN }, 'a product below the normal range gives NaN'],
  ])('refuses a machine that %s', async (_, wrong, named) => {
    const { code, message } = await operationalError(() => {
      proveFloatingPoint({ ...right, ...wrong });
    });
    expect(code).toBe('ENGINE_UNAVAILABLE');
    expect(message).toContain(named);
    expect(message).toContain('would not give the bits of other machines');
  });
});

describe('stateSha256', () => {
  const floats = (length: number): Float32Array => Float32Array.from({ length }, (_, i) => i / 8);
  const state = (): TrainingStep => ({
    step: 7,
    parameters: floats(parameterCount),
    firstMoments: floats(parameterCount),
    secondMoments: floats(parameterCount),
    runningStatistics: [floats(2 * batchNormChannels), floats(2 * batchNormChannels)],
    beta1Power: 0.478,
    beta2Power: 0.993,
    average: null,
  });
  const original = (): Promise<string> => stateSha256(state());
  /** The lowest bit of one value. */
  const flip = (values: Float32Array | undefined, at: number): void => {
    const bits = new Uint32Array(values?.buffer ?? new ArrayBuffer(0));
    bits[at] = (bits[at] ?? 0) ^ 1;
  };

  it('is a function of the state', async () => {
    expect(await stateSha256(state())).toBe(await original());
  });

  it.each<[array: string, length: number, of: (state: TrainingStep) => Float32Array | undefined]>([
    ['parameters', parameterCount, (s) => s.parameters],
    ['firstMoments', parameterCount, (s) => s.firstMoments],
    ['secondMoments', parameterCount, (s) => s.secondMoments],
    ['runningStatistics of rank 0', 2 * batchNormChannels, (s) => s.runningStatistics[0]],
    ['runningStatistics of rank 1', 2 * batchNormChannels, (s) => s.runningStatistics[1]],
  ])('changes with one bit of %s, first or last', async (_, length, of) => {
    for (const at of [0, length - 1]) {
      const changed = state();
      flip(of(changed), at);
      expect(await stateSha256(changed)).not.toBe(await original());
    }
  });

  it.each<[string, Partial<TrainingStep>]>([
    ['step', { step: 8 }],
    ['beta1Power', { beta1Power: 0.478 + 2 ** -54 }],
    ['beta2Power', { beta2Power: 0.993 - 2 ** -53 }],
    ['a lost running statistic', { runningStatistics: [floats(2 * batchNormChannels)] }],
    ['swapped moments', { firstMoments: new Float32Array(parameterCount), secondMoments: floats(parameterCount) }],
  ])('changes with %s', async (_, changed) => {
    expect(await stateSha256({ ...state(), ...changed })).not.toBe(await original());
  });
});

/** The figures of test/golden/pytorch.py, which documents every recipe that is repeated here. */
import { readFileSync } from 'node:fs';
import { parameterCount, parameters } from '../../../src/shared/model/network.js';

interface Figures {
  readonly torch: string;
  /** Adam's, of the three steps. */
  readonly epsilon: number;
  /** Rows of the train split. */
  readonly batches: {
    /** Of three steps, 8 each. */
    readonly steps: readonly (readonly number[])[];
    /** 8 of the second rank of the local figures; the first rank has the first step's. */
    readonly secondRank: readonly number[];
    /** 20 that no figures belong to, for comparison with the reference engine. */
    readonly uneven: readonly number[];
  };
  /** Mean loss of each of three steps. */
  readonly losses: readonly number[];
  readonly localLoss: number;
  readonly arrays: Readonly<Record<string, { offset: number; length: number; norm: number }>>;
}

type Values = Float64Array | Float32Array;

const folder = new URL('../../golden/', import.meta.url);
export const figures = JSON.parse(readFileSync(new URL('pytorch-figures.json', folder), 'utf8')) as Figures;
const values = new Float64Array(Uint8Array.from(readFileSync(new URL('pytorch-figures.bin', folder))).buffer);

/** A stored array; a tensor of more than 4,096 values is stored as its sample. */
export function golden(name: string): Float64Array {
  const entry = figures.arrays[name];
  if (entry === undefined) throw new Error(`no figures for ${name}`);
  return values.subarray(entry.offset, entry.offset + entry.length);
}

/** L2 norm of the whole tensor that `golden(name)` was taken from. */
export function goldenNorm(name: string): number {
  const entry = figures.arrays[name];
  if (entry === undefined) throw new Error(`no figures for ${name}`);
  return entry.norm;
}

/** The initial parameters, float64 [parameterCount], every value a float32. */
export function initialParameters(): Float64Array {
  const flat = new Float64Array(parameterCount);
  let state = 1;
  const uniform = (): number => {
    state = (Math.imul(1664525, state) + 1013904223) >>> 0;
    return (state >>> 8) / 2 ** 24;
  };
  for (const { kind, fanIn, offset, length } of parameters) {
    for (let p = offset; p < offset + length; p++) {
      const u = uniform();
      const isNorm = fanIn === 0;
      const value = isNorm ? (u - 0.5) / 5 + (kind === 'weight' ? 1 : 0) : (2 * u - 1) / Math.sqrt(fanIn);
      flat[p] = Math.fround(value);
    }
  }
  return flat;
}

/** What the golden file keeps of a tensor: all of it, or the 2,048 values at (7919 j) mod length. */
export function sample(tensor: Values): Float64Array {
  if (tensor.length <= 4096) return Float64Array.from(tensor);
  return Float64Array.from({ length: 2048 }, (_, j) => tensor[(7919 * j) % tensor.length] ?? NaN);
}

export function norm(tensor: Values): number {
  let sum = 0;
  for (const value of tensor) sum += value * value;
  return Math.sqrt(sum);
}

/** |actual - expected| / |expected|, in L2. */
export function relativeL2(actual: Values, expected: Values): number {
  if (actual.length !== expected.length)
    throw new Error(`${String(actual.length)} against ${String(expected.length)} values`);
  return norm(Float64Array.from(actual, (value, i) => value - (expected[i] ?? NaN))) / norm(expected);
}

/** The largest relative L2 error of a gradient's tensors, samples and norms, and where it is. */
export function worstGradientError(gradient: Values, prefix: '' | 'local/'): { error: number; name: string } {
  let worst = { error: 0, name: 'none' };
  for (const { name, offset, length } of parameters) {
    const tensor = gradient.subarray(offset, offset + length);
    const stored = `${prefix}gradient/${name}`;
    const ofNorm = Math.abs(norm(tensor) / goldenNorm(stored) - 1);
    const error = Math.max(relativeL2(sample(tensor), golden(stored)), ofNorm);
    if (Number.isNaN(error)) return { error, name };
    if (error > worst.error) worst = { error, name };
  }
  return worst;
}

/** How far off values are, measured by how far they moved: |actual - expected| / |expected - start|, in L2. */
export function movementError(actual: Values, expected: Values, start: Values): number {
  const moved = norm(Float64Array.from(expected, (value, i) => value - (start[i] ?? NaN)));
  return norm(Float64Array.from(actual, (value, i) => value - (expected[i] ?? NaN))) / moved;
}

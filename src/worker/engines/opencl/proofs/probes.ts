/** Arithmetic on request: the operations that all kernels are made of, against IEEE 754 and the wasm kernels' functions. */
import type { Kernels } from '../../wasm/kernels.js';
import type { Context } from '../driver/context.js';
import type { Program } from '../driver/program.js';

type Wasm = Pick<Kernels, 'probeRoot' | 'probeDoubleRoot' | 'probeExp' | 'probeLog'>;
type Expect = (a: number, b: number, c: number) => number;

/** In the order in which the kernel of that precision writes them. */
const floatAnswers = (wasm: Wasm): readonly (readonly [what: string, expect: Expect])[] => [
  ['a sum in float32', (a, b) => Math.fround(a + b)],
  ['a product in float32', (a, b) => Math.fround(a * b)],
  ['a quotient in float32', (a, b) => Math.fround(a / b)],
  ['a square root in float32', (a) => wasm.probeRoot(a)],
  ['a product and a sum in two roundings', (a, b, c) => Math.fround(Math.fround(a * b) + c)],
];
const doubleAnswers = (wasm: Wasm): readonly (readonly [what: string, expect: Expect])[] => [
  ['a sum in float64', (a, b) => a + b],
  ['a product in float64', (a, b) => a * b],
  ['a quotient in float64', (a, b) => a / b],
  ['a square root in float64', (a) => wasm.probeDoubleRoot(a)],
  ['a product and a sum in two roundings of float64', (a, b, c) => a * b + c],
  ['an exponential in float64', (a) => wasm.probeExp(a)],
  ['a logarithm in float64', (a) => wasm.probeLog(a)],
];

/** Products of these lie in the middle of two float32, or below the normal range; their sums are ties. */
const chosen = [
  1.000244140625, 1.1754943508222875e-38, 1, 5.960464477539063e-8, 0.3, 3, -0.1, 2e-45, 0, -0, 1e-30, 7e37,
];
const count = 2048;

/** @returns the first answer that is not exact, in words; null where all are */
export function firstWrongAnswer(context: Context, program: Program, wasm: Wasm): string | null {
  const floats = triples(Float32Array, 4, (value) => Math.fround(value));
  const wrong = wrongAnswer(context, program, 'probeFloats', floats, floatAnswers(wasm));
  if (wrong !== null || context.device.float64 === null) return wrong;
  const doubles = triples(Float64Array, 8, (value, i) => (i % 5 === 0 ? value * value * value * 1e-170 : value * 3));
  return wrongAnswer(context, program, 'probeDoubles', doubles, doubleAnswers(wasm));
}

type Floats = Float32Array | Float64Array;

/** [count][3] of the chosen values and of random ones of all magnitudes. */
function triples<T extends Floats>(
  make: new (buffer: SharedArrayBuffer) => T,
  bytes: number,
  of: (value: number, i: number) => number,
): T {
  const values = new make(new SharedArrayBuffer(3 * count * bytes));
  let state = 1;
  for (let i = 0; i < values.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const size = (state >>> 8) % 40;
    const random = state / 0x80000000 - 1;
    const value = size < 12 ? chosen[size]! : size < 32 ? random : random * (size % 2 === 0 ? 1e-36 : 1e9);
    values[i] = of(value, i);
  }
  return values;
}

function wrongAnswer(
  context: Context,
  program: Program,
  name: string,
  values: Floats,
  answers: readonly (readonly [what: string, expect: Expect])[],
): string | null {
  const { queue } = context;
  const make = values.constructor as new (buffer: SharedArrayBuffer) => Floats;
  const got = new make(new SharedArrayBuffer((values.byteLength / 3) * answers.length));
  const [source, target] = [context.buffer(values.byteLength), context.buffer(got.byteLength)];
  const kernel = program.kernel(name, [source, target]).setSize([count]);
  queue.write(source, 0, values);
  queue.launch(kernel);
  queue.read(target, 0, got);
  queue.finish();
  for (const owned of [kernel, source, target]) owned.release();
  for (let i = 0; i < got.length; i++) {
    const [what, expect] = answers[i % answers.length]!;
    const first = 3 * Math.floor(i / answers.length);
    const wanted = expect(values[first]!, values[first + 1]!, values[first + 2]!);
    if (!Object.is(got[i], wanted)) return `${what} gives ${String(got[i])} instead of ${String(wanted)}`;
  }
  return null;
}

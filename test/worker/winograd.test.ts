/**
 * The Winograd transforms, proved in exact arithmetic: that the matrices make a correlation, and that the programs, from
 * which the kernels' text is printed, are the matrices.
 */
import { describe, expect, it } from 'vitest';
import { transformsSource } from '../../src/worker/engines/wasm/emitters/emit-transforms.js';
import {
  countOperations,
  operands,
  programMatrix,
  ProgramBuilder,
  runProgram,
  term,
  transposeProgram,
} from '../../src/worker/engines/winograd/linear-program.js';
import type { Arithmetic } from '../../src/worker/engines/winograd/linear-program.js';
import { one, Rational, zero } from '../../src/worker/engines/winograd/rational.js';
import { transformsOf } from '../../src/worker/engines/winograd/transforms.js';
import { tiles, transpose, winogradMatrices } from '../../src/worker/engines/winograd/winograd.js';
import type { Matrix } from '../../src/worker/engines/winograd/winograd.js';

type Vector = readonly Rational[];

const shapes = Object.values(tiles).map((tile) => ({ ...tile, name: `F(${String(tile.m)}, 3)` }));
const strings = (rows: Matrix): string[][] => rows.map((row) => row.map(String));

/** The same numbers in every run: a linear congruential generator (Knuth's MMIX), of which the upper bits are used. */
function randomNumbers(seed: number): () => number {
  let state = BigInt(seed);
  return () => {
    state = (state * 6364136223846793005n + 1442695040888963407n) & 0xffff_ffff_ffff_ffffn;
    return Number(state >> 40n) / 0x100_0000;
  };
}

function randomVector(length: number, random: () => number): Rational[] {
  const next = (): Rational => Rational.of(Math.floor(random() * 2001) - 1000, 1 + Math.floor(random() * 30));
  return Array.from({ length }, next);
}

const dot = (a: Vector, b: Vector): Rational =>
  a.reduce((sum, value, i) => sum.add(value.multiply(b[i] ?? zero)), zero);
const apply = (matrix: Matrix, vector: Vector): Rational[] => matrix.map((row) => dot(row, vector));

describe('Rational', () => {
  it('is in lowest terms with a positive denominator', () => {
    expect(Rational.of(6, -4).toString()).toBe('-3/2');
    expect(Rational.of(0, -7).equals(zero)).toBe(true);
    expect(Rational.of(1, 3).add(Rational.of(1, 6)).toString()).toBe('1/2');
    expect(Rational.of(2, 3).divide(Rational.of(-4, 9)).toString()).toBe('-3/2');
    expect(() => Rational.of(1, 0)).toThrow(RangeError);
    expect(() => one.divide(zero)).toThrow(RangeError);
  });

  it('rounds to float32 once, ties to even', () => {
    expect(Rational.of(-2, 9).toFloat32()).toBe(Math.fround(-2 / 9));
    expect(Rational.of(2 ** 25 + 2, 2).toFloat32()).toBe(2 ** 24);
    expect(Rational.of(2 ** 25 + 6, 2).toFloat32()).toBe(2 ** 24 + 4);
    expect(Rational.of(2 ** 25 - 1, 2).toFloat32()).toBe(2 ** 24);
    // A double rounds this to the tie between two floats, from where it would go down.
    const aboveTie = Rational.of(1, 2n ** 24n)
      .add(one)
      .add(Rational.of(1, 2n ** 80n));
    expect(aboveTie.toFloat32()).toBe(1 + 2 ** -23);
    expect(Rational.of(1, 2n ** 126n).toFloat32()).toBe(2 ** -126);
    expect(() => Rational.of(1, 2n ** 127n).toFloat32()).toThrow(RangeError);
    expect(() => Rational.of(2n ** 128n).toFloat32()).toThrow(RangeError);
  });
});

describe('winogradMatrices', () => {
  it.each(shapes)('$name is the correlation with three taps, exactly', ({ m, points }) => {
    const { BT, G, AT } = winogradMatrices(m, points);
    const random = randomNumbers(m);
    for (let repetition = 0; repetition < 20; repetition++) {
      const [d, g] = [randomVector(m + 2, random), randomVector(3, random)];
      const transformed = apply(BT, d);
      const product = apply(G, g).map((value, j) => value.multiply(transformed[j] ?? zero));
      const direct = Array.from({ length: m }, (_, i) => dot(g, d.slice(i, i + 3)));
      expect(apply(AT, product).map(String)).toEqual(direct.map(String));
    }
  });

  it.each(shapes)('$name has all ones in the row of A for the point 1', ({ m, points }) => {
    const A = transpose(winogradMatrices(m, points).AT);
    expect(A[1]?.map(String)).toEqual(Array.from({ length: m }, () => '1'));
    expect(points[1]?.equals(one)).toBe(true);
  });

  it.each(shapes)('$name has in BT and A only numbers that float32 holds', ({ m, points }) => {
    const { BT, AT } = winogradMatrices(m, points);
    for (const value of [...BT, ...AT].flat()) expect(value.denominator & (value.denominator - 1n)).toBe(0n);
  });

  it('makes the matrices of Lavin and Gray for F(4, 3), up to signs common to a row of BT and of G', () => {
    const { BT, G } = winogradMatrices(4, tiles.conv4.points);
    expect(strings(BT)).toEqual([
      ['4', '0', '-5', '0', '1', '0'],
      ['0', '4', '4', '-1', '-1', '0'],
      ['0', '-4', '4', '1', '-1', '0'],
      ['0', '-2', '-1', '2', '1', '0'],
      ['0', '2', '-1', '-2', '1', '0'],
      ['0', '4', '0', '-5', '0', '1'],
    ]);
    expect(strings(G)).toEqual([
      ['1/4', '0', '0'],
      ['1/6', '1/6', '1/6'],
      ['1/6', '-1/6', '1/6'],
      ['1/24', '1/12', '1/6'],
      ['1/24', '-1/12', '1/6'],
      ['0', '0', '1'],
    ]);
  });

  it('refuses points that are too few or not different', () => {
    expect(() => winogradMatrices(4, [zero, one])).toThrow(RangeError);
    expect(() => winogradMatrices(2, [zero, one, one])).toThrow(RangeError);
  });
});

/** Additions and multiplications of each transform. A smaller number is progress: write it down. */
const allowed: Readonly<Record<string, readonly [adds: number, muls: number]>> = {
  inputTransform6: [24, 10],
  outputTransform6: [20, 10],
  outputAdjoint6: [18, 10],
  inputAdjoint6: [24, 10],
  weightTransform6: [9, 8],
  weightAdjoint6: [14, 8],
  inputTransform5: [20, 13],
  outputTransform5: [16, 8],
  outputAdjoint5: [14, 8],
  inputAdjoint5: [20, 13],
  weightTransform5: [8, 10],
  weightAdjoint5: [12, 10],
  inputTransform4: [12, 5],
  outputTransform4: [10, 3],
  outputAdjoint4: [8, 3],
  inputAdjoint4: [12, 5],
  weightTransform4: [6, 6],
  weightAdjoint4: [9, 6],
  inputTransform2: [4, 0],
  outputTransform2: [4, 0],
  outputAdjoint2: [2, 0],
  inputAdjoint2: [4, 0],
  weightTransform2: [3, 2],
  weightAdjoint2: [4, 2],
};

const transforms = shapes.flatMap((tile) => transformsOf(tile));

/** Prints what a program computes, in the notation of the kernels, from the names of the inputs. */
const text: Arithmetic<string> = {
  add: (left, right) => `f32x4.add(${left}, ${right})`,
  subtract: (left, right) => `f32x4.sub(${left}, ${right})`,
  multiply: (left, by) => `f32x4.mul(${left}, f32x4.splat(${String(by.toFloat32())}))`,
};

/** The lines of a printed function. */
function bodyOf(source: string, name: string): string[] {
  const body = source.split(`function ${name}(`)[1]?.split('\n}')[0] ?? '';
  return body.split('\n').slice(1);
}

/** What is stored at each y_j of a printed function, with every named value and every factor written out. */
function storedExpressions(source: string, name: string): { to: string; expression: string }[] {
  const constants = (/const constants = memory.data<f32>\(\[(.*)\]\);/.exec(source)?.[1] ?? '').split(', ');
  const named = new Map<string, string>();
  const writtenOut = (expression: string): string =>
    expression.replace(/\b[tk]\d+\w*\b/g, (value) => named.get(value) ?? `undefined ${value}`);
  const stored: { to: string; expression: string }[] = [];
  for (const line of bodyOf(source, name)) {
    const factor = /const (k\w+) = v128\.load32_splat\(constants, (\d+)\);/.exec(line);
    const value = /const (t\w+) = (.*);/.exec(line);
    const store = /v128\.store\(([^,]*), (.*?)(, 16)?\);$/.exec(line);
    if (factor) named.set(factor[1] ?? '', `f32x4.splat(${constants[Number(factor[2]) / 4] ?? ''})`);
    else if (value) named.set(value[1] ?? '', writtenOut(value[2] ?? ''));
    else if (store) stored.push({ to: `${store[1] ?? ''}${store[3] ?? ''}`, expression: writtenOut(store[2] ?? '') });
  }
  return stored;
}

/** `src + 2 * srcStride` */
function addressOf(pointer: string, i: number): string {
  return i === 0 ? pointer : `${pointer} + ${i === 1 ? '' : `${String(i)} * `}${pointer}Stride`;
}

describe('the emitted transforms', () => {
  const source = transformsSource();

  it.each(transforms)('$name computes its matrix', ({ matrix, program }) => {
    expect(strings(programMatrix(program))).toEqual(strings(matrix));
  });

  it.each(transforms)('$name is printed from its program', ({ name, program }) => {
    const inputs = Array.from({ length: program.inputs }, (_, i) => `x${String(i)}`);
    expect(storedExpressions(source, name)).toEqual(
      runProgram(program, inputs, text).map((expression, j) => ({ to: addressOf('dst', j), expression })),
    );
    expect(bodyOf(source, name).slice(0, inputs.length)).toEqual(
      inputs.map((x, i) => `  const ${x} = v128.load(${addressOf('src', i)});`),
    );
  });

  it.each(transforms)('$name of pairs computes both alike, and stores the higher vector first', ({ name, program }) => {
    const halves = [
      { half: 'b', bytes: ', 16' },
      { half: 'a', bytes: '' },
    ];
    const outputs = halves.map(({ half }) =>
      runProgram(
        program,
        Array.from({ length: program.inputs }, (_, i) => `x${String(i)}${half}`),
        text,
      ),
    );
    const expected = program.outputs.flatMap((_, j) =>
      halves.map(({ bytes }, i) => ({ to: `${addressOf('dst', j)}${bytes}`, expression: outputs[i]?.[j] })),
    );
    expect(storedExpressions(source, `${name}Pair`)).toEqual(expected);
    const loads = Array.from({ length: program.inputs }, (_, i) =>
      [...halves]
        .reverse()
        .map(({ half, bytes }) => `  const x${String(i)}${half} = v128.load(${addressOf('src', i)}${bytes});`),
    );
    expect(bodyOf(source, `${name}Pair`).slice(0, 2 * program.inputs)).toEqual(loads.flat());
  });

  it.each(transforms)('$name takes no more operations than it did', ({ name, program }) => {
    const { adds, muls, negations } = countOperations(program);
    const [mostAdds, mostMuls] = allowed[name] ?? [0, 0];
    expect(adds).toBeLessThanOrEqual(mostAdds);
    expect(muls).toBeLessThanOrEqual(mostMuls);
    expect(negations).toBe(0);
  });

  it.each(transforms)('$name computes nothing that it does not use', ({ program }) => {
    const used = new Set([...program.outputs, ...program.operations.flatMap(operands)]);
    expect(program.operations.filter((_, i) => !used.has(program.inputs + i))).toEqual([]);
  });

  it('are the same text every time', () => {
    expect(transformsSource()).toBe(source);
    expect(Object.keys(allowed).sort()).toEqual(transforms.map(({ name }) => name).sort());
  });

  it('keep float32 within 1e-5 of the correlation (relative L2 norm, one dimension)', () => {
    const float32: Arithmetic<number> = {
      add: (left, right) => Math.fround(left + right),
      subtract: (left, right) => Math.fround(left - right),
      multiply: (left, by) => Math.fround(left * by.toFloat32()),
    };
    const random = randomNumbers(1);
    const floats = (length: number): number[] => Array.from({ length }, () => Math.fround(random() - 0.5));
    for (const tile of shapes) {
      const [input, output, , , weights] = transformsOf(tile);
      if (input === undefined || output === undefined || weights === undefined) throw new Error('six transforms');
      let [error, norm] = [0, 0];
      for (let repetition = 0; repetition < 300; repetition++) {
        const [d, g] = [floats(tile.m + 2), floats(3)];
        const [v, u] = [runProgram(input.program, d, float32), runProgram(weights.program, g, float32)];
        const product = v.map((value, j) => Math.fround(value * (u[j] ?? NaN)));
        for (const [i, y] of runProgram(output.program, product, float32).entries()) {
          const direct = g.reduce((sum, tap, k) => sum + tap * (d[i + k] ?? NaN), 0);
          error += (y - direct) ** 2;
          norm += direct ** 2;
        }
      }
      expect(Math.sqrt(error / norm), tile.name).toBeLessThan(1e-5);
    }
  });
});

describe('transposeProgram', () => {
  it('negates where a column has no positive coefficient', () => {
    const builder = new ProgramBuilder(2);
    const sum = builder.sum([term(0, one.negate()), term(1, one.negate())]);
    const program = builder.build([sum, 1]);
    expect(strings(programMatrix(program))).toEqual([
      ['-1', '-1'],
      ['0', '1'],
    ]);
    expect(strings(programMatrix(transposeProgram(program)))).toEqual([
      ['-1', '0'],
      ['-1', '1'],
    ]);
  });
});

/**
 * The source text of the one-dimensional Winograd transforms, in AssemblyScript: for each tile F(m, 3) of `tiles`, the
 * products with BT, AT, G and their transposes, as programs with few operations and then as text.
 */
import { countOperations, operands, ProgramBuilder, term, transposeProgram } from './linear-program.js';
import type { LinearProgram, Term } from './linear-program.js';
import { one, zero } from './rational.js';
import type { Rational } from './rational.js';
import { lagrangeWeight, monic, multiplyPolynomials, power, tiles, transpose, winogradMatrices } from './winograd.js';
import type { Matrix, Polynomial, Tile } from './winograd.js';

export interface Transform {
  /** What it does in any tile, such as inputTransform. */
  readonly kind: string;
  /** The name of the function, such as inputTransform6. */
  readonly name: string;
  /** Which matrix: for the reader of the text. */
  readonly formula: string;
  readonly matrix: Matrix;
  readonly program: LinearProgram;
}

/** The points but 0. */
interface PointKinds {
  /** The positive one of each pair ±p. */
  readonly pairs: readonly Rational[];
  /** Those without their negative. */
  readonly singles: readonly Rational[];
}

const x: Polynomial = [zero, one];
const squareMinus = (roots: readonly Rational[]): Polynomial => monic(roots.flatMap((root) => [root, root.negate()]));
const without = (points: readonly Rational[], ...left: readonly Rational[]): Rational[] =>
  points.filter((point) => !left.some((other) => other.equals(point)));
const indexOf = (points: readonly Rational[], point: Rational): number => points.findIndex((p) => p.equals(point));

function pointKinds(points: readonly Rational[]): PointKinds {
  const hasNegative = (point: Rational): boolean => indexOf(points, point.negate()) >= 0;
  const singles = without(points, zero).filter((point) => !hasNegative(point));
  if (indexOf(points, zero) < 0 || indexOf(points, one) < 0 || !hasNegative(one) || singles.length > 1) {
    throw new RangeError('the points must be 0, ±1, other pairs ±p and at most one more');
  }
  return { pairs: without(points, zero, ...singles).filter((point) => !point.isNegative()), singles };
}

/** The terms of polynomial · sequence: Σ_k c_k sequence[k]. */
function termsOf(polynomial: Polynomial, sequence: readonly number[], scale = one): Term[] {
  const terms = polynomial.map((c, k) => term(sequence[k]!, c.multiply(scale)));
  return terms.filter(({ by }) => !by.isZero());
}

/** The sequence on which a polynomial stands for its product with `factor` on `sequence`. */
function filtered(builder: ProgramBuilder, sequence: readonly number[], factor: Polynomial): number[] {
  const count = sequence.length - factor.length + 1;
  return Array.from({ length: count }, (_, i) => builder.sum(termsOf(factor, sequence.slice(i))));
}

const signOfRow = (points: readonly Rational[], point: Rational): Rational =>
  lagrangeWeight(points, point).isNegative() ? one.negate() : one;

/**
 * y = BT x. Row j is ±M_j(x) as a filter, and the rows' polynomials have most of their factors in common. So the inputs
 * are filtered by (x - h), h a point without its negative, and then by (x^2 - 1), which multiplies nothing; what is left
 * of a row is short. For a pair, M_p = (x + p) x R(x^2) and M_-p = (x - p) x R(x^2): the even part e and the odd part o
 * are shared, rows e + o and e - o.
 */
export function inputProgram({ m, points }: Tile): LinearProgram {
  const n = m + 2;
  const { pairs, singles } = pointKinds(points);
  const builder = new ProgramBuilder(n);
  const inputs = Array.from({ length: n }, (_, i) => i);
  const afterSingles = singles.reduce<number[]>((sequence, h) => filtered(builder, sequence, monic([h])), inputs);
  const others = without(pairs, one);
  const afterOnes = filtered(builder, afterSingles, squareMinus([one]));

  const outputs = Array.from({ length: n }, () => -1);
  outputs[indexOf(points, zero)] = builder.sum(termsOf(squareMinus(others), afterOnes, signOfRow(points, zero)));
  for (const p of pairs) {
    const [sequence, rest] = p.equals(one) ? [afterSingles, others] : [afterOnes, without(others, p)];
    const odd = multiplyPolynomials(x, squareMinus(rest));
    const sign = signOfRow(points, p);
    const e = builder.sum(termsOf(multiplyPolynomials(x, odd), sequence, sign));
    const o = builder.sum(termsOf(odd, sequence, sign.multiply(p)));
    const sameSign = sign.equals(signOfRow(points, p.negate()));
    outputs[indexOf(points, p)] = builder.add(e, o);
    outputs[indexOf(points, p.negate())] = sameSign ? builder.subtract(e, o) : builder.subtract(o, e);
  }
  for (const h of singles) {
    const polynomial = multiplyPolynomials(x, squareMinus(pairs));
    outputs[indexOf(points, h)] = builder.sum(termsOf(polynomial, inputs, signOfRow(points, h)));
  }
  outputs[n - 1] = builder.sum(termsOf(multiplyPolynomials(x, squareMinus(others)), afterOnes));
  return builder.build(outputs);
}

/** y = AT x, y_i = Σ_j p_j^i x_j: of a pair, s = x_p + x_-p stands in the even rows and d = x_p - x_-p in the odd ones. */
export function outputProgram({ m, points }: Tile): LinearProgram {
  const n = m + 2;
  const { pairs, singles } = pointKinds(points);
  const builder = new ProgramBuilder(n);
  const sums = pairs.map((p) => {
    const [left, right] = [indexOf(points, p), indexOf(points, p.negate())];
    return { p, s: builder.add(left, right), d: builder.subtract(left, right) };
  });
  const outputs = Array.from({ length: m }, (_, i) => {
    const terms = sums.map(({ p, s, d }) => term(i % 2 === 0 ? s : d, power(p, i)));
    if (i === 0) terms.unshift(term(indexOf(points, zero)));
    terms.push(...singles.map((h) => term(indexOf(points, h), power(h, i))));
    if (i === m - 1) terms.push(term(n - 1));
    return builder.sum(terms);
  });
  return builder.build(outputs);
}

/**
 * y = G x, row j = |w_j| [1, p_j, p_j^2]: for a pair e = x_0 + p^2 x_2 and o = p x_1, rows e + o and e - o; |w| is in e
 * and o already where it is the same for both.
 */
export function weightProgram({ m, points }: Tile): LinearProgram {
  const { pairs, singles } = pointKinds(points);
  const builder = new ProgramBuilder(3);
  const weight = (point: Rational): Rational => lagrangeWeight(points, point).abs();
  const outputs = Array.from({ length: m + 2 }, () => 2);
  outputs[indexOf(points, zero)] = builder.multiply(0, weight(zero));
  for (const p of pairs) {
    const [w, v] = [weight(p), weight(p.negate())];
    const shared = w.equals(v) ? w : one;
    const e = builder.sum([term(0, shared), term(2, shared.multiply(power(p, 2)))]);
    const o = builder.multiply(1, shared.multiply(p));
    outputs[indexOf(points, p)] = builder.multiply(builder.add(e, o), w.divide(shared));
    outputs[indexOf(points, p.negate())] = builder.multiply(builder.subtract(e, o), v.divide(shared));
  }
  for (const h of singles) {
    const w = weight(h);
    const terms = [0, 1, 2].map((k) => term(k, w.multiply(power(h, k))));
    outputs[indexOf(points, h)] = builder.sum(terms);
  }
  return builder.build(outputs);
}

/** The six transforms of a tile. The adjoints' programs are the transposes of the others, as their matrices are. */
export function transformsOf(tile: Tile): Transform[] {
  const { BT, G, AT } = winogradMatrices(tile.m, tile.points);
  const [input, output, weights] = [inputProgram(tile), outputProgram(tile), weightProgram(tile)];
  const named = (kind: string, formula: string, matrix: Matrix, program: LinearProgram): Transform => ({
    kind,
    name: `${kind}${String(tile.m)}`,
    formula,
    matrix,
    program,
  });
  return [
    named('inputTransform', 'y = BT x', BT, input),
    named('outputTransform', 'y = AT x', AT, output),
    named('outputAdjoint', 'y = A x', transpose(AT), transposeProgram(output)),
    named('inputAdjoint', 'y = B x', transpose(BT), transposeProgram(input)),
    named('weightTransform', 'y = G x', G, weights),
    named('weightAdjoint', 'y = GT x', transpose(G), transposeProgram(weights)),
  ];
}

/** A vector of four equal floats, the nearest to `value`: a placeholder that `withConstants` replaces. */
function splat(value: Rational): string {
  return `f32x4.splat(${String(value.toFloat32())})`;
}

/** The factors of all transforms, in static memory: a broadcast from there is one instruction, a constant three. */
class Constants {
  readonly #values: string[] = [];

  /** A statement in front of which the factors that it needs are loaded; `name` keeps apart what it names. */
  load(statement: readonly string[], name: string): string[] {
    const loads: string[] = [];
    const names = new Map<string, string>();
    const replaced = statement.map((line) =>
      line.replace(/f32x4\.splat\(([^)]*)\)/g, (_, value: string) => {
        const known = names.get(value);
        if (known !== undefined) return known;
        const constant = `${name}${String(names.size)}`;
        names.set(value, constant);
        loads.push(`const ${constant} = v128.load32_splat(constants, ${String(4 * this.#placeOf(value))});`);
        return constant;
      }),
    );
    return [...loads, ...replaced];
  }

  get source(): string {
    return `const constants = memory.data<f32>([${this.#values.join(', ')}]);`;
  }

  #placeOf(value: string): number {
    const place = this.#values.indexOf(value);
    return place >= 0 ? place : this.#values.push(value) - 1;
  }
}

/**
 * The expression of each value: its name where it is an input or is used more than once (`statements` then define it), and
 * the operation itself where it is used once. A name is never more than one sum and its products away.
 */
function expressionsOf(program: LinearProgram): { statements: string[]; expressions: string[] } {
  const { inputs, operations, outputs } = program;
  const uses = Array.from({ length: inputs + operations.length }, () => 0);
  const use = (value: number): void => {
    uses[value] = uses[value]! + 1;
  };
  outputs.forEach(use);
  operations.flatMap(operands).forEach(use);
  const expressions = Array.from({ length: inputs }, (_, i) => `x${String(i)}`);
  const statements: string[] = [];
  for (const operation of operations) {
    const expression = expressionOf(operation, expressions);
    if (uses[expressions.length]! <= 1) {
      expressions.push(expression);
    } else {
      const name = `t${String(statements.length)}`;
      statements.push(`const ${name} = ${expression};`);
      expressions.push(name);
    }
  }
  return { statements, expressions };
}

function expressionOf(operation: LinearProgram['operations'][number], expressions: readonly string[]): string {
  const left = expressions[operation.left]!;
  if (operation.kind === 'multiply') {
    return operation.by.equals(one.negate()) ? `f32x4.neg(${left})` : `f32x4.mul(${left}, ${splat(operation.by)})`;
  }
  return `f32x4.${operation.kind === 'add' ? 'add' : 'sub'}(${left}, ${expressions[operation.right]!})`;
}

/** `x0 - 21/4 x2 + x4`. */
function rowText(row: readonly Rational[]): string {
  const text = row.map((c, i) => {
    if (c.isZero()) return '';
    const size = c.abs().equals(one) ? '' : `${c.abs().toString()} `;
    return ` ${c.isNegative() ? '-' : '+'} ${size}x${String(i)}`;
  });
  return text.join('').replace(/^ \+ /, '').replace(/^ - /, '-');
}

function address(pointer: string, index: number): string {
  if (index === 0) return pointer;
  return `${pointer} + ${index === 1 ? '' : `${String(index)} * `}${pointer}Stride`;
}

/**
 * A function on vectors of four floats, or on pairs of such vectors side by side: each statement then stands there twice. Of
 * a pair the higher vector is stored first: V8, which makes one of the two, keeps what a trap between them would leave behind,
 * and where the lower one goes first, stores it once by itself and once more with the other.
 */
function functionText(
  { name, formula, matrix, program }: Transform,
  halves: readonly string[],
  constants: Constants,
): string {
  const { statements, expressions } = expressionsOf(program);
  const { adds, muls } = countOperations(program);
  const each = (lines: (half: string, bytes: string) => string): string[] =>
    halves.map((half, i) => lines(half, i === 0 ? '' : `, ${String(16 * i)}`));
  const named = (text: string, half: string): string => text.replace(/\b[xt]\d+\b/g, (value) => value + half);
  const loads = Array.from({ length: program.inputs }, (_, i) =>
    each((half, bytes) => `const x${String(i)}${half} = v128.load(${address('src', i)}${bytes});`),
  );
  const sums = statements.map((statement) => each((half) => named(statement, half)));
  const stores = program.outputs.map((value, j) =>
    each((half, bytes) => `v128.store(${address('dst', j)}, ${named(expressions[value]!, half)}${bytes});`).reverse(),
  );
  return [
    `// ${formula}: ${String(adds)} additions, ${String(muls)} multiplications.`,
    ...matrix.map((row, j) => `//   y${String(j)} = ${rowText(row)}`),
    '// @ts-ignore: decorator',
    '@inline',
    `function ${name}${halves.length === 1 ? '' : 'Pair'}(${parameters}): void {`,
    ...[...loads, ...[...sums, ...stores].map((lines, i) => constants.load(lines, `k${String(i)}_`))]
      .flat()
      .map((line) => `  ${line}`),
    '}',
  ].join('\n');
}

const parameters = 'src: usize, srcStride: usize, dst: usize, dstStride: usize';

/**
 * The transform of that kind of eight channels, for the tile size `m`: a constant where it is called, so that the compiler
 * keeps one branch.
 */
function choiceText(kind: string, sizes: readonly number[]): string {
  const branches = sizes.map((m) => {
    const name = `${kind}${String(m)}`;
    return [
      `if (m == ${String(m)}) {`,
      `    if (wide) ${name}Pair(src, srcStride, dst, dstStride);`,
      '    else {',
      `      ${name}(src, srcStride, dst, dstStride);`,
      `      ${name}(src + 16, srcStride, dst + 16, dstStride);`,
      '    }',
      '  }',
    ].join('\n');
  });
  return [
    '// @ts-ignore: decorator',
    '@inline',
    `export function ${kind}(m: i32, ${parameters}): void {`,
    `  ${[...branches, 'unreachable();'].join(' else ')}`,
    '}',
  ].join('\n');
}

/**
 * The text of assembly/generated/transforms.ts: functions (src, srcStride, dst, dstStride) with x_i at src + i * srcStride and
 * y_j at dst + j * dstStride, in bytes. Every load comes before the first store, so dst may be src. What is exported takes
 * the tile size first and transforms eight channels: by one function of pairs, or four and four.
 */
export function transformsSource(): string {
  const header = [
    '// Generated by scripts/generate-kernels.mjs from the points in winograd.ts.',
    '//',
    '// x_i is the vector at src + i * srcStride and y_j the one at dst + j * dstStride, strides in bytes.',
    '// All x are loaded before the first y is stored.',
    "import { wide } from '../width';",
  ].join('\n');
  const constants = new Constants();
  const transforms = Object.values(tiles).map((tile) => ({ tile, functions: transformsOf(tile) }));
  const sections = transforms.map(({ tile, functions }) => {
    const points = [...tile.points.map(String), 'infinity'].join(', ');
    const texts = functions.flatMap((each) => [
      functionText(each, [''], constants),
      functionText(each, ['a', 'b'], constants),
    ]);
    return [`// F(${String(tile.m)}, 3) at ${points}`, ...texts].join('\n\n');
  });
  const sizes = transforms.map(({ tile }) => tile.m);
  const kinds = new Set(transforms.flatMap(({ functions }) => functions.map(({ kind }) => kind)));
  const choices = [...kinds].map((kind) => choiceText(kind, sizes));
  return `${[header, constants.source, ...sections, '// By the tile size', ...choices].join('\n\n')}\n`;
}

/**
 * The one-dimensional Winograd transforms as programs with few operations: for each tile F(m, 3) of `tiles`, the products with
 * BT, AT, G and their transposes. Each engine prints them in the language of its kernels.
 */
import { ProgramBuilder, term, transposeProgram } from './linear-program.js';
import type { LinearProgram, Term } from './linear-program.js';
import { one, zero } from './rational.js';
import type { Rational } from './rational.js';
import { lagrangeWeight, monic, multiplyPolynomials, power, transpose, winogradMatrices } from './winograd.js';
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

/** `x0 - 21/4 x2 + x4`. */
export function rowText(row: readonly Rational[]): string {
  const text = row.map((c, i) => {
    if (c.isZero()) return '';
    const size = c.abs().equals(one) ? '' : `${c.abs().toString()} `;
    return ` ${c.isNegative() ? '-' : '+'} ${size}x${String(i)}`;
  });
  return text.join('').replace(/^ \+ /, '').replace(/^ - /, '-');
}

/**
 * The matrices of Winograd's minimal filtering F(m, 3): m outputs of a 3-tap correlation from n = m + 2 inputs by n
 * multiplications. Construction of Toom and Cook: polynomials are multiplied by their values at n points.
 * Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2015), arXiv:1509.09308.
 */
import { one, Rational, zero } from './rational.js';

export type Matrix = readonly (readonly Rational[])[];

/** Coefficients from the constant term up. */
export type Polynomial = readonly Rational[];

export interface Tile {
  /** Outputs of the tile in one dimension. */
  readonly m: number;
  /** The m + 1 finite points; infinity is the last one always and is not listed. */
  readonly points: readonly Rational[];
}

/** Y = AT[(G g) ⊙ (BT d)] gives Y_i = Σ_k g_k d_{i+k}. */
export interface WinogradMatrices {
  /** n x n. */
  readonly BT: Matrix;
  /** n x 3. */
  readonly G: Matrix;
  /** m x n. */
  readonly AT: Matrix;
}

const taps = 3;
const integer = (value: number): Rational => Rational.of(value);
const plusMinus = (value: Rational): Rational[] => [value, value.negate()];
const half = Rational.of(1, 2);

/**
 * The tile of each convolution. Small points and their reciprocals, because float32's error grows with the powers of a
 * point; in each dimension 4, 2, 2 and 1 tiles cover the outputs (24, 10, 8 and 2) without remainder.
 */
export const tiles: Readonly<Record<'conv2' | 'conv3' | 'conv4' | 'conv5', Tile>> = {
  conv2: { m: 6, points: [zero, ...plusMinus(one), ...plusMinus(integer(2)), ...plusMinus(half)] },
  conv3: { m: 5, points: [zero, ...plusMinus(one), ...plusMinus(integer(2)), half] },
  conv4: { m: 4, points: [zero, ...plusMinus(one), ...plusMinus(integer(2))] },
  conv5: { m: 2, points: [zero, ...plusMinus(one)] },
};

/** The product of the two. */
export function multiplyPolynomials(a: Polynomial, b: Polynomial): Polynomial {
  const product = Array.from({ length: a.length + b.length - 1 }, () => zero);
  for (const [i, left] of a.entries()) {
    for (const [j, right] of b.entries()) product[i + j] = product[i + j]!.add(left.multiply(right));
  }
  return product;
}

/** Π (x - root). */
export function monic(roots: readonly Rational[]): Polynomial {
  return roots.reduce<Polynomial>((product, root) => multiplyPolynomials(product, [root.negate(), one]), [one]);
}

export function power(base: Rational, exponent: number): Rational {
  let result = one;
  for (let i = 0; i < exponent; i++) result = result.multiply(base);
  return result;
}

export function transpose(matrix: Matrix): Matrix {
  return (matrix[0] ?? []).map((_, column) => matrix.map((row) => row[column]!));
}

/** 1 / Π_{k≠j} (p_j - p_k): the weight of point j in Lagrange's interpolation. */
export function lagrangeWeight(points: readonly Rational[], point: Rational): Rational {
  const others = points.filter((other) => !other.equals(point));
  return one.divide(others.reduce((product, other) => product.multiply(point.subtract(other)), one));
}

/**
 * The matrices of F(m, 3) at `points`, m + 1 different ones, and at infinity. With w_j the weight of Lagrange,
 * M(x) = Π_k (x - p_k) and M_j(x) = Π_{k≠j} (x - p_k):
 *
 *     A row j = [1, p_j, .., p_j^(m-1)]     infinity: [0, .., 0, 1]
 *     G row j = |w_j| [1, p_j, p_j^2]       infinity: [0, 0, 1]
 *     BT row j = sign(w_j) M_j              infinity: M
 *
 * A has no scale, so its row for the point 1 is all ones, and a bias gradient can be read off there. The scale of a row
 * may stand in G or in BT: all of it but the sign is in G, which leaves dyadic numbers in BT for dyadic points (no
 * coefficient is rounded), and the sign is in BT, where it turns a sum into a difference and costs nothing.
 */
export function winogradMatrices(m: number, points: readonly Rational[]): WinogradMatrices {
  const n = m + taps - 1;
  if (points.length !== n - 1 || new Set(points.map(String)).size !== points.length) {
    throw new RangeError(`F(${String(m)}, 3) needs ${String(n - 1)} different finite points`);
  }
  const powers = (point: Rational, count: number): Rational[] =>
    Array.from({ length: count }, (_, exponent) => power(point, exponent));
  const last = (length: number): Rational[] => [...Array.from({ length: length - 1 }, () => zero), one];
  const A = [...points.map((point) => powers(point, m)), last(m)];
  const G = points.map((point) => {
    const weight = lagrangeWeight(points, point).abs();
    return powers(point, taps).map((value) => value.multiply(weight));
  });
  const BT = points.map((point) => {
    const polynomial = monic(points.filter((other) => !other.equals(point)));
    const signed = lagrangeWeight(points, point).isNegative() ? polynomial.map((c) => c.negate()) : polynomial;
    return [...signed, zero];
  });
  return { BT: [...BT, monic(points)], G: [...G, last(taps)], AT: transpose(A) };
}

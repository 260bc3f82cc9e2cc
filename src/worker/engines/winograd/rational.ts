/** Exact fractions of integers of any size: what a generated constant is computed in before its one rounding to float32. */

function gcd(a: bigint, b: bigint): bigint {
  while (b !== 0n) [a, b] = [b, a % b];
  return a < 0n ? -a : a;
}

/** An immutable fraction in lowest terms, denominator > 0; so equal numbers have equal fields. */
export class Rational {
  readonly numerator: bigint;
  readonly denominator: bigint;

  private constructor(numerator: bigint, denominator: bigint) {
    this.numerator = numerator;
    this.denominator = denominator;
  }

  /** numerator / denominator, which are safe integers or bigints; a RangeError for a denominator of zero. */
  static of(numerator: number | bigint, denominator: number | bigint = 1n): Rational {
    const [n, d] = [BigInt(numerator), BigInt(denominator)];
    if (d === 0n) throw new RangeError(`${String(n)}/0 is not a number`);
    const divisor = d < 0n ? -gcd(n, d) : gcd(n, d);
    return new Rational(n / divisor, d / divisor);
  }

  add(other: Rational): Rational {
    return Rational.of(
      this.numerator * other.denominator + other.numerator * this.denominator,
      this.denominator * other.denominator,
    );
  }

  subtract(other: Rational): Rational {
    return this.add(other.negate());
  }

  multiply(other: Rational): Rational {
    return Rational.of(this.numerator * other.numerator, this.denominator * other.denominator);
  }

  divide(other: Rational): Rational {
    return Rational.of(this.numerator * other.denominator, this.denominator * other.numerator);
  }

  negate(): Rational {
    return Rational.of(-this.numerator, this.denominator);
  }

  abs(): Rational {
    return this.isNegative() ? this.negate() : this;
  }

  equals(other: Rational): boolean {
    return this.numerator === other.numerator && this.denominator === other.denominator;
  }

  isZero(): boolean {
    return this.numerator === 0n;
  }

  isNegative(): boolean {
    return this.numerator < 0n;
  }

  /** `-5`, `21/4`. */
  toString(): string {
    return this.denominator === 1n ? String(this.numerator) : `${String(this.numerator)}/${String(this.denominator)}`;
  }

  /**
   * The nearest float32, ties to even: one rounding, where Math.fround of a quotient of doubles has two. A RangeError
   * outside of float32's normal numbers (and zero).
   */
  toFloat32(): number {
    if (this.isZero()) return 0;
    let [n, d, scale] = [this.abs().numerator, this.denominator, 1];
    // n/d * scale keeps its value while n/d moves into [2^23, 2^24), where float32 is the integers.
    for (; n < d << 23n; scale /= 2) n <<= 1n;
    for (; n >= d << 24n; scale *= 2) d <<= 1n;
    let quotient = n / d;
    const twiceRest = 2n * (n % d);
    if (twiceRest > d || (twiceRest === d && quotient % 2n === 1n)) quotient++;
    const value = Number(quotient) * scale;
    if (value < leastNormal || Math.fround(value) !== value) {
      throw new RangeError(`${this.toString()} is not among float32's normal numbers`);
    }
    return this.isNegative() ? -value : value;
  }
}

/** 2^-126. */
const leastNormal = 1.1754943508222875e-38;

export const zero = Rational.of(0);
export const one = Rational.of(1);

/**
 * Linear maps as straight-line programs of additions, subtractions and multiplications by constants. The text of a kernel
 * is printed from a program, and a test computes the same program exactly: what is proved is what is printed.
 */
import { one, zero } from './rational.js';
import type { Rational } from './rational.js';

/** A value is known by its index: first the inputs, then the result of each operation. */
export type Operation =
  | { readonly kind: 'add' | 'subtract'; readonly left: number; readonly right: number }
  | { readonly kind: 'multiply'; readonly left: number; readonly by: Rational };

/** Every value is used: by an operation or as an output. */
export interface LinearProgram {
  readonly inputs: number;
  /** operations[i] makes value inputs + i from earlier values. */
  readonly operations: readonly Operation[];
  /** The value that each output is. */
  readonly outputs: readonly number[];
}

/** by * value; `by` is not zero. */
export interface Term {
  readonly value: number;
  readonly by: Rational;
}

/** A value, or its negation that nothing has had to compute yet. */
export interface Signed {
  readonly value: number;
  readonly negative: boolean;
}

/** The values that `operation` reads. */
export function operands(operation: Operation): number[] {
  return operation.kind === 'multiply' ? [operation.left] : [operation.left, operation.right];
}

export const term = (value: number, by = one): Term => ({ value, by });

/** Writes a program operation by operation. What has been computed once is not computed again. */
export class ProgramBuilder {
  readonly inputs: number;
  readonly #operations: Operation[] = [];
  readonly #known = new Map<string, number>();

  constructor(inputs: number) {
    this.inputs = inputs;
  }

  add(left: number, right: number): number {
    return this.#emit({ kind: 'add', left, right }, `${String(left)} + ${String(right)}`);
  }

  subtract(left: number, right: number): number {
    return this.#emit({ kind: 'subtract', left, right }, `${String(left)} - ${String(right)}`);
  }

  multiply(left: number, by: Rational): number {
    if (by.equals(one)) return left;
    return this.#emit({ kind: 'multiply', left, by }, `${String(left)} * ${by.toString()}`);
  }

  /**
   * The sum of `terms` (at least one), of which those with the same |by| are added first and multiplied once. A positive
   * term goes first, so that no other is negated; where there is none, the result is the negation of the sum of the rest.
   */
  signedSum(terms: readonly Term[]): Signed {
    const sizes = new Map<string, Term[]>();
    for (const each of terms) {
      const size = each.by.abs().toString();
      sizes.set(size, [...(sizes.get(size) ?? []), each]);
    }
    const parts = [...sizes.values()].flatMap((group) => {
      const signed = group.map(({ value, by }) => ({ value, negative: by.isNegative() }));
      const by = group[0]!.by.abs();
      if (by.equals(one)) return signed;
      const sum = this.#chain(signed);
      return [{ value: this.multiply(sum.value, by), negative: sum.negative }];
    });
    return this.#chain(parts);
  }

  sum(terms: readonly Term[]): number {
    return this.positive(this.signedSum(terms));
  }

  /**
   * The value with its sign. A difference is taken the other way round and a factor takes the sign; only what is left is
   * negated, as a multiplication by -1.
   */
  positive({ value, negative }: Signed): number {
    if (!negative) return value;
    const operation = this.#operations[value - this.inputs];
    if (operation?.kind === 'subtract') return this.subtract(operation.right, operation.left);
    if (operation?.kind === 'multiply') return this.multiply(operation.left, operation.by.negate());
    return this.multiply(value, one.negate());
  }

  /** The program without the operations that no output needs. */
  build(outputs: readonly number[]): LinearProgram {
    const needed = new Set(outputs);
    for (let i = this.#operations.length - 1; i >= 0; i--) {
      if (needed.has(this.inputs + i)) operands(this.#operations[i]!).forEach((value) => needed.add(value));
    }
    const renamed = Array.from({ length: this.inputs }, (_, i) => i);
    const operations: Operation[] = [];
    for (const [i, operation] of this.#operations.entries()) {
      if (!needed.has(this.inputs + i)) continue;
      renamed[this.inputs + i] = this.inputs + operations.length;
      const left = renamed[operation.left]!;
      operations.push(
        operation.kind === 'multiply'
          ? { ...operation, left }
          : { ...operation, left, right: renamed[operation.right]! },
      );
    }
    return { inputs: this.inputs, operations, outputs: outputs.map((value) => renamed[value]!) };
  }

  #chain(parts: readonly Signed[]): Signed {
    const first = parts.find(({ negative }) => !negative) ?? parts[0]!;
    const rest = parts.filter((part) => part !== first);
    const added = rest.filter(({ negative }) => negative === first.negative);
    const subtracted = rest.filter(({ negative }) => negative !== first.negative);
    let value = first.value;
    for (const part of added) value = this.add(value, part.value);
    for (const part of subtracted) value = this.subtract(value, part.value);
    return { value, negative: first.negative };
  }

  #emit(operation: Operation, key: string): number {
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const value = this.inputs + this.#operations.push(operation) - 1;
    this.#known.set(key, value);
    return value;
  }
}

/**
 * The program of the transposed matrix, by Tellegen's principle: read every edge backwards, so that a value that was used
 * often becomes a sum. No more multiplications than in `program`, and outputs - inputs more additions. Of an intermediate
 * sum, s or -s may be the one computed; the choice matters where it spares a negation later, so each is tried in turn.
 */
export function transposeProgram(program: LinearProgram): LinearProgram {
  let flipped = new Set<number>();
  let best = transposeWith(program, flipped);
  for (let i = program.operations.length - 1; i >= 0; i--) {
    const candidates = new Set(flipped).add(program.inputs + i);
    const candidate = transposeWith(program, candidates);
    if (candidate.operations.length < best.operations.length) [best, flipped] = [candidate, candidates];
  }
  return best;
}

/** The transposed program that computes the values `flipped` with the sign other than a sum would choose, where it can. */
function transposeWith({ inputs, operations, outputs }: LinearProgram, flipped: ReadonlySet<number>): LinearProgram {
  const builder = new ProgramBuilder(outputs.length);
  const minusOne = one.negate();
  // From the last use to the first, so reversed where they are read.
  const contributions = Array.from({ length: inputs + operations.length }, (): Term[] => []);
  for (const [output, value] of outputs.entries()) contributions[value]!.push(term(output));
  for (let value = inputs + operations.length - 1; value >= inputs; value--) {
    const flip = flipped.has(value) ? minusOne : one;
    const terms = contributions[value]!.reverse().map((each) => term(each.value, each.by.multiply(flip)));
    const operation = operations[value - inputs]!;
    const sum = builder.signedSum(terms);
    const sign = sum.negative ? flip.negate() : flip;
    if (operation.kind === 'multiply') {
      contributions[operation.left]!.push(term(sum.value, operation.by.multiply(sign)));
    } else {
      contributions[operation.left]!.push(term(sum.value, sign));
      contributions[operation.right]!.push(term(sum.value, operation.kind === 'add' ? sign : sign.negate()));
    }
  }
  return builder.build(contributions.slice(0, inputs).map((terms) => builder.sum(terms.reverse())));
}

/** What a program computes with: Rational for proofs, rounded numbers for errors. */
export interface Arithmetic<T> {
  add(left: T, right: T): T;
  subtract(left: T, right: T): T;
  multiply(left: T, by: Rational): T;
}

/** The outputs of `program` for `inputs`. */
export function runProgram<T>(program: LinearProgram, inputs: readonly T[], arithmetic: Arithmetic<T>): T[] {
  const values = [...inputs];
  for (const operation of program.operations) {
    const left = values[operation.left]!;
    if (operation.kind === 'multiply') values.push(arithmetic.multiply(left, operation.by));
    else values.push(arithmetic[operation.kind](left, values[operation.right]!));
  }
  return program.outputs.map((value) => values[value]!);
}

export const exactArithmetic: Arithmetic<Rational> = {
  add: (left, right) => left.add(right),
  subtract: (left, right) => left.subtract(right),
  multiply: (left, by) => left.multiply(by),
};

/** The matrix that `program` multiplies by, a column for each unit vector. */
export function programMatrix(program: LinearProgram): Rational[][] {
  const columns = Array.from({ length: program.inputs }, (_, column) =>
    runProgram(
      program,
      Array.from({ length: program.inputs }, (__, row) => (row === column ? one : zero)),
      exactArithmetic,
    ),
  );
  return program.outputs.map((_, row) => columns.map((column) => column[row]!));
}

/** Additions and subtractions, multiplications, and negations among the multiplications. */
export function countOperations({ operations }: LinearProgram): { adds: number; muls: number; negations: number } {
  const products = operations.flatMap((operation) => (operation.kind === 'multiply' ? [operation.by] : []));
  const negations = products.filter((by) => by.equals(one.negate())).length;
  return { adds: operations.length - products.length, muls: products.length, negations };
}

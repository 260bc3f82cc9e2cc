/**
 * The source text of the one-dimensional Winograd transforms, in AssemblyScript: the programs of winograd/transforms.ts, each for
 * one vector and for a pair of them.
 */
import { countOperations, operands } from '../../winograd/linear-program.js';
import type { LinearProgram } from '../../winograd/linear-program.js';
import { one } from '../../winograd/rational.js';
import type { Rational } from '../../winograd/rational.js';
import { rowText, transformsOf, type Transform } from '../../winograd/transforms.js';
import { tiles } from '../../winograd/winograd.js';

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

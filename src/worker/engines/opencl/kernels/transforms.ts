/** The one-dimensional Winograd transforms in OpenCL C, printed from the same programs as those of the wasm kernels. */
import { countOperations, type LinearProgram } from '../../winograd/linear-program.js';
import { one, type Rational } from '../../winograd/rational.js';
import { rowText, transformsOf, type Transform } from '../../winograd/transforms.js';
import { tiles } from '../../winograd/winograd.js';

/** A float32 as OpenCL C has it: the nearest to `value`. */
function literal(value: Rational): string {
  const text = String(value.toFloat32());
  return /[.e]/.test(text) ? `${text}f` : `${text}.0f`;
}

/** One statement for each operation: without contraction the compiler may join none of them. */
function statementsOf({ inputs, operations }: LinearProgram): string[] {
  return operations.map((operation, i) => {
    const left = `v${String(operation.left)}`;
    const result = `const float v${String(inputs + i)}`;
    if (operation.kind === 'multiply') {
      return `${result} = ${operation.by.equals(one.negate()) ? `-${left}` : `${left} * ${literal(operation.by)}`};`;
    }
    return `${result} = ${left} ${operation.kind === 'add' ? '+' : '-'} v${String(operation.right)};`;
  });
}

/** y_j at y[j * yStride] from x_i at x[i * xStride]; all x are read before the first y is written. */
function functionText({ name, formula, matrix, program }: Transform): string {
  const { adds, muls } = countOperations(program);
  const at = (array: string, i: number): string => `${array}[${String(i)} * ${array}Stride]`;
  const lines = [
    ...Array.from({ length: program.inputs }, (_, i) => `const float v${String(i)} = ${at('x', i)};`),
    ...statementsOf(program),
    ...program.outputs.map((value, j) => `${at('y', j)} = v${String(value)};`),
  ];
  return [
    `// ${formula}: ${String(adds)} additions, ${String(muls)} multiplications.`,
    ...matrix.map((row, j) => `//   y${String(j)} = ${rowText(row)}`),
    `static inline void ${name}(__private const float *x, const int xStride, __private float *y, const int yStride) {`,
    ...lines.map((line) => `  ${line}`),
    '}',
  ].join('\n');
}

export const transformsSource = `\n${Object.values(tiles)
  .flatMap((tile) => transformsOf(tile).map(functionText))
  .join('\n\n')}\n`;

/**
 * The source text of the register tiles, in AssemblyScript: the innermost loops of the matrix products and of conv1, which
 * keep a block of sums in registers. How many fit depends on how wide registers are, so each tile is printed in two shapes
 * from one description: eight accumulators of 128 bits, or eight to ten of 256, which V8 makes of pairs of them.
 *
 * A sum takes its products one after the other in either shape, so both give the same bits.
 */

/** A block of sums, `rows` x 16: the accumulators c00, c01, ... of four columns each. */
interface Shape {
  readonly rows: number;
}

/** Narrow and wide. */
type Shapes = readonly [Shape, Shape];

/** Of products, and of conv1's pixels. */
const products: Shapes = [{ rows: 2 }, { rows: 4 }];
/** Rows are taps, of which there are ten with the bias. */
const conv1Gradient: Shapes = [{ rows: 2 }, { rows: 5 }];

const lineBytes = 64;
const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
const columns = range(4);
const name = (row: number, column: number): string => `c${String(row)}${String(column)}`;
const indent = (lines: readonly string[], levels = 1): string[] => lines.map((line) => '  '.repeat(levels) + line);

/** The arguments of a load or store: four columns of a row, rows so many bytes apart. */
function place(address: string, row: number, column: number, rowBytes = lineBytes): string {
  const bytes = row * rowBytes + column * 16;
  return bytes === 0 ? address : `${address}, ${String(bytes)}`;
}

/** `let c00 = .., c01 = ..;`: what each begins with. */
function declare(shape: Shape, value: (row: number, column: number) => string): string {
  const rows = range(shape.rows).map((row) => columns.map((column) => `${name(row, column)} = ${value(row, column)}`));
  return `let ${rows.flat().join(', ')};`;
}

/** c += x b: a factor for each row from `rows`, addresses (null: the factor is 1), and for each column from `factorsAt`. */
function multiplyAdd(rows: readonly (string | null)[], factorsAt: string): string[] {
  const factors = columns.map((j) => `b${String(j)} = v128.load(${place(factorsAt, 0, j)})`);
  const sums = rows.flatMap((address, i) => {
    const x = `x${String(i)}`;
    const updates = columns.map((j) => {
      const b = `b${String(j)}`;
      return `${name(i, j)} = f32x4.add(${name(i, j)}, ${address === null ? b : `f32x4.mul(${x}, ${b})`});`;
    });
    return address === null ? updates : [`const ${x} = v128.load32_splat(${address});`, ...updates];
  });
  return [`const ${factors.join(', ')};`, ...sums];
}

/** c = node + c: earlier leaves stand on the left. */
function merge(shape: Shape, node: string): string[] {
  return range(shape.rows).flatMap((i) =>
    columns.map((j) => `${name(i, j)} = f32x4.add(v128.load(${place(node, i, j)}), ${name(i, j)});`),
  );
}

/**
 * Of two vectors side by side the higher goes first: V8 keeps what a trap between the two would leave behind, and where the
 * lower one is the first, stores it once by itself and once more with the other.
 */
function store(shape: Shape, address: string, value = (c: string): string => c): string[] {
  return range(shape.rows).flatMap((i) =>
    columns.map((position) => {
      const j = position ^ 1;
      const [target, bytes] = place(address, i, j).split(', ');
      return `v128.store(${[target, value(name(i, j)), bytes].filter((part) => part !== undefined).join(', ')});`;
    }),
  );
}

/** C = A B, of a panel of B. */
function productTile(shape: Shape): string[] {
  const rows = range(shape.rows).map((row) => place('x', row, 0));
  return [
    declare(shape, () => 'f32x4.splat(0)'),
    'for (let panel = 0; panel < kPanels; panel++) {',
    '  let x = a;',
    '  const end = a + 64;',
    '  do {',
    ...indent(multiplyAdd(rows, 'b'), 2),
    '    x += 4;',
    '    b += 64;',
    '  } while (x != end);',
    '  a += aPanel;',
    '}',
    ...store(shape, 'c'),
  ];
}

/** The segments of a group: what weightGradient in products.ts does for a tile of G. */
function weightTile(shape: Shape): string[] {
  const rows = range(shape.rows).map((row) => place('x', row, 0, 4));
  const bytes = String(shape.rows * lineBytes);
  return [
    `let from = zeros, open = zeros + ${bytes};`,
    'for (let segment = group; segment != next; segment += segmentBytes) {',
    `  ${declare(shape, (i, j) => `v128.load(${place('from', i, j)})`)}`,
    '  let x = a + inputOf(segment), y = d + outputOf(segment);',
    '  const stop = y + bytesOf(segment);',
    '  do {',
    ...indent(multiplyAdd(rows, 'y'), 2),
    '    x += 64;',
    '    y += 64;',
    '  } while (y != stop);',
    '  for (let merge = mergesOf(segment); merge; merge--) {',
    `    open -= ${bytes};`,
    ...indent(merge(shape, 'open'), 2),
    '  }',
    '  let to = open;',
    '  if (segment + segmentBytes == next) {',
    '    let left = top;',
    '    for (let merge: usize = 0; merge < merges; merge++) {',
    '      left -= nodeBytes;',
    ...indent(merge(shape, 'left'), 3),
    '    }',
    '    to = target;',
    '  }',
    ...indent(store(shape, 'to')),
    '  const goesOn = goesOnOf(segment);',
    '  from = goesOn ? open : zeros;',
    `  open += goesOn ? 0 : ${bytes};`,
    '}',
  ];
}

/** relu(bias + sum over the taps) of neighbouring pixels of one panel, and the signs of that. */
function conv1Tile(shape: Shape): string[] {
  const rows = range(shape.rows).map((row) => place('x', row, 0, 4));
  return [
    declare(shape, (_, j) => `v128.load(w, ${String(9 * lineBytes + j * 16)})`),
    'let x = image, b = w;',
    'for (let row = 0; row < 3; row++) {',
    '  const end = x + 12;',
    '  do {',
    ...indent(multiplyAdd(rows, 'b'), 2),
    '    x += 4;',
    '    b += 64;',
    '  } while (x != end);',
    '  x += 100;',
    '}',
    'const zero = f32x4.splat(0);',
    ...store(shape, 'target', (c) => `f32x4.max(${c}, zero)`),
    ...range(shape.rows).map((i) => {
      const sums = columns.map((j) => name(i, j)).join(', ');
      return `store<u16>(bits, <u16>signsOf(${sums}), ${String(8 * i)});`;
    }),
  ];
}

/**
 * Adds the products of a line of the image at `image` and a line of delta at `d` to the gradients of one panel, a few taps at a
 * time. The bias is the tenth tap: there delta is added as it is.
 */
function conv1LineGradient(shape: Shape): string[] {
  const taps = [...range(9).map((tap) => Math.floor(tap / 3) * 112 + (tap % 3) * 4), null];
  return range(taps.length / shape.rows).flatMap((group) => {
    const first = group * shape.rows;
    const rows = taps.slice(first, first + shape.rows).map((bytes) => (bytes === null ? null : `x, ${String(bytes)}`));
    const sums = first === 0 ? 'g' : `g + ${String(first * lineBytes)}`;
    return [
      '{',
      ...indent([
        `const sums = ${sums}, end = d + 1664;`,
        'let x = image, y = d;',
        declare(shape, (i, j) => `v128.load(${place('sums', i, j)})`),
        'do {',
        ...indent(multiplyAdd(rows, 'y')),
        '  x += 4;',
        '  y += 64;',
        '} while (y != end);',
        ...store(shape, 'sums'),
      ]),
      '}',
    ];
  });
}

function functionText(title: string, body: readonly string[], inlined = true): string {
  const decorator = inlined ? ['// @ts-ignore: decorator', '@inline'] : [];
  return [...decorator, `export function ${title}: void {`, ...indent(body), '}'].join('\n');
}

const productParameters = 'a: usize, aPanel: usize, kPanels: i32, b: usize, c: usize';
const weightParameters =
  'a: usize, d: usize, group: usize, next: usize, zeros: usize, top: usize, merges: usize, nodeBytes: usize, target: usize';

/** The text of assembly/generated/tiles.ts: each tile in both shapes, named by its rows and columns. */
export function tilesSource(): string {
  const functions = [
    ...products.map((shape) => functionText(`product${sizeOf(shape)}(${productParameters})`, productTile(shape))),
    ...products.map((shape) => functionText(`weights${sizeOf(shape)}(${weightParameters})`, weightTile(shape))),
    ...products.map((shape) =>
      functionText(`conv1Pixels${sizeOf(shape)}(image: usize, w: usize, target: usize, bits: usize)`, conv1Tile(shape)),
    ),
    ...conv1Gradient.map((shape) =>
      functionText(`conv1Line${sizeOf(shape)}(image: usize, d: usize, g: usize)`, conv1LineGradient(shape), false),
    ),
  ];
  return `${['// Generated by scripts/generate-kernels.mjs from the shapes in emitters/emit-tiles.ts.', imports, ...functions].join('\n\n')}\n`;
}

const imports =
  "import { bytesOf, goesOnOf, inputOf, mergesOf, outputOf, segmentBytes } from './segments';\nimport { signsOf } from '../signs';";
const sizeOf = ({ rows }: Shape): string => `${String(rows)}x16`;

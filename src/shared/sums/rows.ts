/** Sums over rows of float64 in the order of a tree's merges. */
import type { Merge } from './tree.js';

export function mergeRows(rows: Float64Array, length: number, merges: readonly Merge[]): void {
  for (const { target, source } of merges) addRow(rows, target * length, source * length, length);
}

export function addRow(rows: Float64Array, to: number, from: number, length: number): void {
  for (let i = 0; i < length; i++) rows[to + i]! += rows[from + i]!;
}

export function copyRow(source: Float64Array, from: number, target: Float64Array, to: number, length: number): void {
  for (let i = 0; i < length; i++) target[to + i] = source[from + i]!;
}

const column: number[] = [];

/** total[j] = the tree over `count` rows, `stride` apart from `base` on, at column j; the rows are only read. */
export function sumTree(
  rows: Float64Array,
  base: number,
  stride: number,
  length: number,
  count: number,
  merges: readonly Merge[],
  total: Float64Array,
): void {
  for (let j = 0; j < length; j++) {
    for (let i = 0; i < count; i++) column[i] = rows[base + i * stride + j]!;
    for (const { target, source } of merges) column[target]! += column[source]!;
    total[j] = column[0]!;
  }
}

/** Which rows each batch takes: a function of the seed alone. */
import { Philox } from '../../shared/model/philox.js';

/** Rows of the training split, each list in order. */
export interface HeldOut {
  readonly trained: Uint32Array;
  readonly heldOut: Uint32Array;
}

/** Which `count` rows of `total` are held out: drawn by Fisher-Yates from the end, as functions of the seed and both numbers. */
export function holdOut(total: number, count: number, seed: number): HeldOut {
  const random = new Philox(seed, 'validation', 0);
  const rows = Uint32Array.from({ length: total }, (_, row) => row);
  for (let i = total - 1; i >= total - count; i--) swap(rows, i, random.below(i + 1));
  return { trained: rows.slice(0, total - count).sort(), heldOut: rows.slice(total - count).sort() };
}

/**
 * The order of an epoch's rows: Fisher-Yates from the end, into `target` (uint32, one value a row). Every row exactly once.
 * @param trained the rows, in order
 */
export function fillPermutation(target: Uint32Array, trained: Uint32Array, seed: number, epoch: number): void {
  const random = new Philox(seed, 'permutation', epoch);
  target.set(trained);
  for (let i = target.length - 1; i > 0; i--) {
    swap(target, i, random.below(i + 1));
  }
}

function swap(values: Uint32Array, i: number, j: number): void {
  const held = values[i]!;
  values[i] = values[j]!;
  values[j] = held;
}

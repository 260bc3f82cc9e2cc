/** Sums by the tree's definition, over values for which no other order of additions gives the same bits. */
import { Philox } from '../../../src/shared/model/philox.js';

/** The tree by its definition: splits at the largest power of two below the number of leaves. */
export function serialSum(leaves: readonly number[], round: (value: number) => number): number {
  const [first = NaN] = leaves;
  if (leaves.length <= 1) return first;
  let split = 1;
  while (split * 2 < leaves.length) split *= 2;
  return round(serialSum(leaves.slice(0, split), round) + serialSum(leaves.slice(split), round));
}

/** Values of very different sizes, so that any other order of additions gives other bits. */
export function wildValues(length: number, index: number): number[] {
  const random = new Philox(11, 'initialisation', index);
  return Array.from({ length }, () => Math.fround((2 * random.uniform() - 1) * 10 ** random.below(8)));
}

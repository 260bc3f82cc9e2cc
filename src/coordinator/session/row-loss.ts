/**
 * The loss of one row that was evaluated, with the same bits on every machine: which network is the best may hang on
 * it. So it takes no function of Math that machines compute differently, and sums do not depend on their order.
 */

import type { Loss } from '../../shared/model/config.js';

/** What losses are counted in: sums of 2^23 rows are whole numbers that float64 holds. */
const unit = 1 / 0x1000_0000;
/** The middle of what the exponentials of ten probabilities add up to, and its logarithm. */
const middle = 11.4;
const logarithmOfMiddle = 2.4336133554004498;
const logarithmOf2 = 0.6931471805599453;
const root2 = 1.4142135623730951;
const leastFloat = 1.401298464324817e-45;

/**
 * A loss in units to be added up: of `double-softmax` the cross-entropy of the softmax of the probabilities, log(sum_j exp(p_j)) -
 * p_label; of `cross-entropy` -log(p_label), where what is too small for float32 counts as its smallest number.
 * @param probabilities float32 [..][classes], of which those from `start` on are the row's; each 0..1, in all 1
 */
export function lossUnits(
  loss: Loss,
  probabilities: Float32Array,
  start: number,
  classes: number,
  label: number,
): number {
  const own = probabilities[start + label]!;
  if (loss === 'cross-entropy') return Math.round(-logarithm(Math.max(own, leastFloat)) / unit);
  let sum = 0;
  for (let j = 0; j < classes; j++) sum += exponential(probabilities[start + j]!);
  return Math.round((logarithm(sum) - own) / unit);
}

/** The mean over rows from the sum of their units. */
export function meanLoss(units: number, rows: number): number {
  return (units * unit) / rows;
}

/** For 0..1: Taylor's series to the last bit or two. */
function exponential(x: number): number {
  let result = 1;
  for (let k = 17; k >= 1; k--) result = 1 + (result * x) / k;
  return result;
}

/** log(x) = log(m) + 2 artanh((x - m) / (x + m)), where x is made to lie near m by factors of 2. */
function logarithm(x: number): number {
  let [near, twos] = [x, 0];
  for (; near < middle / root2; near *= 2) twos--;
  for (; near > middle * root2; near /= 2) twos++;
  const z = (near - middle) / (near + middle);
  let series = 0;
  for (let k = 21; k >= 1; k -= 2) series = series * z * z + 1 / k;
  return twos * logarithmOf2 + (logarithmOfMiddle + 2 * z * series);
}

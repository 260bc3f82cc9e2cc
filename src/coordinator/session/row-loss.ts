/**
 * The workload's loss of one row that was evaluated, with the same bits on every machine: which network is the best may hang on
 * it. So it takes no function of Math that machines compute differently, and sums do not depend on their order.
 */

/** What losses are counted in: sums of 2^23 rows are whole numbers that float64 holds. */
const unit = 1 / 0x1000_0000;
/** The middle of what the exponentials of ten probabilities add up to, and its logarithm. */
const middle = 11.4;
const logarithmOfMiddle = 2.4336133554004498;

/**
 * The cross-entropy of the softmax of the probabilities, log(sum_j exp(p_j)) - p_label, in units to be added up.
 * @param probabilities float32 [..][classes], of which those from `start` on are the row's; each 0..1, in all 1
 */
export function lossUnits(probabilities: Float32Array, start: number, classes: number, label: number): number {
  let sum = 0;
  for (let j = 0; j < classes; j++) sum += exponential(probabilities[start + j]!);
  return Math.round((logarithm(sum) - probabilities[start + label]!) / unit);
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

/** Near `middle`: log(s) = log(m) + 2 artanh((s - m) / (s + m)). */
function logarithm(sum: number): number {
  const z = (sum - middle) / (sum + middle);
  let series = 0;
  for (let k = 13; k >= 1; k -= 2) series = series * z * z + 1 / k;
  return logarithmOfMiddle + 2 * z * series;
}

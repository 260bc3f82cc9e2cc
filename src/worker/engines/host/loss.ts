/**
 * Softmax and the workload's loss: cross-entropy applied to softmax outputs as if they were logits (a double softmax), so
 * its floor is -ln(e / (e + 9)) = 1.46115 and not 0. All in float64.
 */

export interface LossReport {
  /** Sum over the rows. */
  readonly loss: number;
  /** Gradient of the summed loss with respect to the logits, [rows][classes]. */
  readonly logitsGradient: Float64Array;
}

/** @returns softmax of each row of [rows][classes] */
export function softmax(rows: number, logits: Float64Array): Float64Array {
  const classes = logits.length / rows;
  const output = new Float64Array(logits.length);
  for (let n = 0; n < rows; n++) {
    const row = logits.subarray(n * classes, (n + 1) * classes);
    const largest = Math.max(...row);
    const exponentials = row.map((value) => Math.exp(value - largest));
    const sum = exponentials.reduce((total, value) => total + value, 0);
    output.set(
      exponentials.map((value) => value / sum),
      n * classes,
    );
  }
  return output;
}

/**
 * loss = log(sum_j exp(p_j)) - p_label with p = softmax(logits). Twice the chain rule of a softmax:
 * dp = softmax(p) - oneHot(label), dLogits = p * (dp - sum_j dp_j p_j).
 * @param probabilities softmax of the logits, [rows][classes]
 * @param labels [rows]
 */
export function doubleSoftmaxCrossEntropy(rows: number, probabilities: Float64Array, labels: Uint8Array): LossReport {
  const classes = probabilities.length / rows;
  const second = softmax(rows, probabilities);
  const logitsGradient = new Float64Array(probabilities.length);
  let loss = 0;
  for (let n = 0; n < rows; n++) {
    const row = probabilities.subarray(n * classes, (n + 1) * classes);
    const label = labels[n]!;
    loss -= Math.log(second[n * classes + label]!);
    const rowGradient = second.slice(n * classes, (n + 1) * classes);
    rowGradient[label]! -= 1;
    const projection = rowGradient.reduce((sum, value, j) => sum + value * row[j]!, 0);
    for (let j = 0; j < classes; j++) logitsGradient[n * classes + j] = row[j]! * (rowGradient[j]! - projection);
  }
  return { loss, logitsGradient };
}

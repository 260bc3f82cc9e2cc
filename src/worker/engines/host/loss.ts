/**
 * Softmax and the losses. That of the reference program is cross-entropy applied to softmax outputs as if they were logits (a double
 * softmax), so its floor is -ln(e / (e + 9)) = 1.46115 and not 0. All in float64.
 */
import type { Loss } from '../../../shared/model/config.js';

export interface LossReport {
  /** Sum over the rows. */
  readonly loss: number;
  /** Gradient of the summed loss with respect to the logits, [rows][classes]. */
  readonly logitsGradient: Float64Array;
}

/**
 * @param probabilities softmax of the logits, [rows][classes]
 * @param labels [rows]
 */
export type LossFunction = (rows: number, probabilities: Float64Array, labels: Uint8Array) => LossReport;

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

/** loss = -log p_label with p = softmax(logits), dLogits = p - oneHot(label). */
function crossEntropy(rows: number, probabilities: Float64Array, labels: Uint8Array): LossReport {
  const classes = probabilities.length / rows;
  const logitsGradient = probabilities.slice();
  let loss = 0;
  labels.forEach((label, n) => {
    loss -= Math.log(probabilities[n * classes + label]!);
    logitsGradient[n * classes + label]! -= 1;
  });
  return { loss, logitsGradient };
}

export const lossFunctions: Readonly<Record<Loss, LossFunction>> = {
  'double-softmax': doubleSoftmaxCrossEntropy,
  'cross-entropy': crossEntropy,
};

/** What the network made of the test set: counts and ranks, from labels and probabilities alone. */
import { classes } from '../shared/model/network.js';

/** Which digit was how often taken for which. */
export interface Confusion {
  /** uint32 [classes][classes]: rows are labels, columns what the network said. */
  readonly counts: Uint32Array;
  readonly correct: number;
  readonly total: number;
}

export interface DigitScore {
  readonly digit: number;
  /** Images of this digit, and of those the ones that were found. */
  readonly images: number;
  readonly correct: number;
  /** Found of all images of this digit, 0..1; null where there is none. */
  readonly recall: number | null;
  /** Right of all that the network said to be this digit, 0..1; null where it never did. */
  readonly precision: number | null;
}

export interface Mistake {
  /** Of the test set, from 0. */
  readonly row: number;
  readonly label: number;
  readonly said: number;
  /** Probability of what was said, and of the label. */
  readonly confidence: number;
  readonly labelProbability: number;
}

/**
 * @param labels uint8 [total], each less than `classes`
 * @param probabilities float32 [total][classes]
 */
export function confusionOf(labels: Uint8Array, probabilities: Float32Array): Confusion {
  const counts = new Uint32Array(classes * classes);
  let correct = 0;
  labels.forEach((label, row) => {
    const said = mostProbable(probabilities, row);
    const cell = label * classes + said;
    counts[cell] = (counts[cell] ?? 0) + 1;
    if (said === label) correct++;
  });
  return { counts, correct, total: labels.length };
}

/** Recall and precision of each digit, in order. */
export function scoresOf({ counts }: Confusion): DigitScore[] {
  const digits = Array.from({ length: classes }, (_, digit) => digit);
  const at = (label: number, said: number): number => counts[label * classes + said] ?? 0;
  return digits.map((digit) => {
    const correct = at(digit, digit);
    const images = digits.reduce((sum, said) => sum + at(digit, said), 0);
    const said = digits.reduce((sum, label) => sum + at(label, digit), 0);
    const recall = images === 0 ? null : correct / images;
    return { digit, images, correct, recall, precision: said === 0 ? null : correct / said };
  });
}

/** All rows that were taken for another digit, the most confident first; of equals the first in the test set. */
export function mistakesOf(labels: Uint8Array, probabilities: Float32Array): Mistake[] {
  const mistakes: Mistake[] = [];
  labels.forEach((label, row) => {
    const said = mostProbable(probabilities, row);
    if (said === label) return;
    const [confidence = 0, labelProbability = 0] = [said, label].map((digit) => probabilities[row * classes + digit]);
    mistakes.push({ row, label, said, confidence, labelProbability });
  });
  return mistakes.sort((a, b) => b.confidence - a.confidence || a.row - b.row);
}

/** A row that not all of several networks read alike. */
export interface Disagreement {
  readonly row: number;
  readonly label: number;
  /** By the average of their probabilities, and that. */
  readonly said: number;
  readonly confidence: number;
  /** What each of them says. */
  readonly members: readonly number[];
}

/**
 * All such rows, the least certain first; of equals the first in the test set.
 * @param members of each network, float32 [total][classes]; `average` of all of them
 */
export function disagreementsOf(
  labels: Uint8Array,
  members: readonly Float32Array[],
  average: Float32Array,
): Disagreement[] {
  const found: Disagreement[] = [];
  labels.forEach((label, row) => {
    const each = members.map((probabilities) => mostProbable(probabilities, row));
    if (each.every((digit) => digit === each[0])) return;
    const said = mostProbable(average, row);
    found.push({ row, label, said, confidence: average[row * classes + said] ?? 0, members: each });
  });
  return found.sort((a, b) => a.confidence - b.confidence || a.row - b.row);
}

/**
 * Where the accuracy on endlessly many such images lies, with 95 % confidence: Wilson's score interval (1927), which stays
 * within 0..1 for any count.
 * @param total at least 1
 */
export function accuracyInterval(correct: number, total: number): readonly [low: number, high: number] {
  const z = 1.959964;
  const share = correct / total;
  const centre = share + (z * z) / (2 * total);
  const margin = z * Math.sqrt((share * (1 - share) + (z * z) / (4 * total)) / total);
  const scale = 1 + (z * z) / total;
  return [Math.max(0, (centre - margin) / scale), Math.min(1, (centre + margin) / scale)];
}

/** The class that the network says; of equals the first, as evaluation counts it. */
function mostProbable(probabilities: Float32Array, row: number): number {
  const start = row * classes;
  let best = 0;
  for (let j = 1; j < classes; j++) if ((probabilities[start + j] ?? 0) > (probabilities[start + best] ?? 0)) best = j;
  return best;
}

/** Several networks as one: their probabilities, averaged. */
import { argmax } from '../../coordinator/session/evaluation.js';
import { at } from '../../shared/errors.js';
import { classes } from '../../shared/model/network.js';

/**
 * The mean of each probability over the members, float32 [rows][classes]. What is added is put in order first, so that the bits do
 * not depend on that of the members.
 * @param members of each network, float32 [rows][classes]; at least one
 */
export function averageProbabilities(members: readonly Float32Array[]): Float32Array {
  const average = at(members, 0).slice();
  if (members.length === 1) return average;
  const values = new Float64Array(members.length);
  for (let i = 0; i < average.length; i++) {
    members.forEach((member, m) => {
      values[m] = member[i] ?? NaN;
    });
    values.sort();
    let sum = 0;
    for (const value of values) sum += value;
    average[i] = sum / members.length;
  }
  return average;
}

/** Rows that not all members read as the same digit, in order. */
export function disagreements(members: readonly Float32Array[]): number[] {
  const rows = at(members, 0).length / classes;
  return Array.from({ length: rows }, (_, row) => row).filter((row) => {
    const [first, ...others] = members.map((probabilities) => argmax(probabilities, row));
    return others.some((said) => said !== first);
  });
}

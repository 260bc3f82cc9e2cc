/** Exact evaluation: every test row counted once, whichever rank computes it. */
import { batchNormChannels, classes } from '../shared/network.js';
import { poolStatistics, shardRows } from './batch-norm.js';
import type { TrainConfig } from '../shared/config.js';
import type { Launched } from './launch.js';

export interface Accuracy {
  readonly correct: number;
  readonly total: number;
  /** In percent. */
  readonly accuracy: number;
}

/**
 * Scores the committed state of a group on the test set. Batch-norm statistics are synchronised first: with `local`, those
 * of the ranks that trained are pooled.
 * @param statistics of the ranks that trained
 */
export async function evaluateGroup(
  launched: Launched,
  config: TrainConfig,
  statistics: readonly Float32Array[],
): Promise<Accuracy> {
  const { group, layout, buffer } = launched;
  const view = new Float32Array(buffer, layout.evaluationStatistics, 2 * batchNormChannels);
  if (config.batchNorm === 'sync') view.set(statistics[0] ?? []);
  else poolStatistics(statistics, shardRows(config.batchSize, config.microBatch, statistics.length), view);
  const total = layout.test.count;
  await group.run({ name: 'evaluate', first: 0, end: total });
  const probabilities = new Float32Array(buffer, layout.probabilities, total * classes);
  const labels = new Uint8Array(buffer, layout.test.labels, total);
  let correct = 0;
  for (let row = 0; row < total; row++) {
    if (argmax(probabilities, row * classes) === labels[row]) correct++;
  }
  return { correct, total, accuracy: (100 * correct) / total };
}

function argmax(values: Float32Array, start: number): number {
  let best = 0;
  for (let j = 1; j < classes; j++) if ((values[start + j] ?? 0) > (values[start + best] ?? 0)) best = j;
  return best;
}

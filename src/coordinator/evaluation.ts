/** Exact evaluation: every test row counted once, whichever rank of whichever process computes it. */
import { batchNormChannels, classes, imagePixels } from '../shared/network.js';
import { alone, shardOf } from '../shared/tree.js';
import { sumOver } from './agreement.js';
import type { Launched } from './launch.js';

export interface Accuracy {
  readonly correct: number;
  readonly total: number;
  /** In percent. */
  readonly accuracy: number;
}

/** The test split of a group after an evaluation: views of its shared memory. */
export interface TestSplit {
  /** uint8 [count][784] */
  readonly images: Uint8Array;
  /** uint8 [count] */
  readonly labels: Uint8Array;
  /** float32 [count][classes], the softmax of each row. */
  readonly probabilities: Float32Array;
}

/**
 * Scores the committed state of a group on its test split.
 * @param statistics float32 [2][batchNormChannels], see `synchroniseStatistics`
 */
export async function evaluateGroup(launched: Launched, statistics: Float32Array): Promise<Accuracy> {
  const { group, layout, buffer, job } = launched;
  new Float32Array(buffer, layout.evaluationStatistics, 2 * batchNormChannels).set(statistics);
  const total = layout.test.count;
  const { process, processes } = job ?? alone;
  const share = shardOf(total, process, processes);
  await group.run({ name: 'evaluate', first: share.start, end: share.end });
  const { labels, probabilities } = testSplit(launched);
  let own = 0;
  for (let row = share.start; row < share.end; row++) if (argmax(probabilities, row) === labels[row]) own++;
  const correct = await sumOver(job, own);
  return { correct, total, accuracy: (100 * correct) / total };
}

export function testSplit({ buffer, layout: { test, probabilities } }: Launched): TestSplit {
  return {
    images: new Uint8Array(buffer, test.images, test.count * imagePixels),
    labels: new Uint8Array(buffer, test.labels, test.count),
    probabilities: new Float32Array(buffer, probabilities, test.count * classes),
  };
}

/** The most probable class of a row; of equals the first. */
export function argmax(probabilities: Float32Array, row: number): number {
  const start = row * classes;
  let best = 0;
  for (let j = 1; j < classes; j++) if ((probabilities[start + j] ?? 0) > (probabilities[start + best] ?? 0)) best = j;
  return best;
}

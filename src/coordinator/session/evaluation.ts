/** Exact evaluation: every row counted once, whichever rank of whichever process computes it. */
import { OperationalError } from '../../shared/errors.js';
import type { Job } from '../../shared/group/job.js';
import type { MemoryLayout } from '../../shared/group/memory.js';
import type { Loss, TrainConfig } from '../../shared/model/config.js';
import { batchNormChannels, classes, imagePixels } from '../../shared/model/network.js';
import { alone, shardOf } from '../../shared/sums/tree.js';
import { CommonEnd, gatherValues } from './agreement.js';
import { lossUnits, meanLoss } from './row-loss.js';
import type { WorkerGroup } from './worker-group.js';

export interface Accuracy {
  readonly correct: number;
  readonly total: number;
  /** In percent. */
  readonly accuracy: number;
  /** Mean over the rows. */
  readonly loss: number;
}

/** Accuracy in percent. */
export function percentCorrect({ correct, total }: Pick<Accuracy, 'correct' | 'total'>): number {
  return (100 * correct) / total;
}

/** What is scored: the test set, or the rows of the training split that are held out. */
export const splits = ['test', 'validation'] as const;
export type Split = (typeof splits)[number];

/** The test split of a group after an evaluation: views of its shared memory. */
export interface TestSplit {
  /** uint8 [count][784] */
  readonly images: Uint8Array;
  /** uint8 [count] */
  readonly labels: Uint8Array;
  /** float32 [count][classes], the softmax of each row. */
  readonly probabilities: Float32Array;
}

/** The shared memory of a group, and where things lie in it. */
export interface GroupMemory {
  readonly buffer: ArrayBufferLike;
  readonly layout: MemoryLayout;
}

/**
 * Scores the committed state of a group.
 * @param statistics float32 [2][batchNormChannels], see `synchroniseStatistics`
 * @returns null where this process or another one of its job was asked to stop before the end
 * @throws OperationalError NOT_FINITE, in a job CommonEnd with it, where the network has no answer to an image
 */
export async function evaluateGroup(
  memory: GroupMemory & { readonly job: Job | null; readonly config: Pick<TrainConfig, 'loss'> },
  group: WorkerGroup,
  statistics: Float32Array,
  split: Split,
): Promise<Accuracy | null> {
  const { layout, buffer, job, config } = memory;
  new Float32Array(buffer, layout.evaluationStatistics, 2 * batchNormChannels).set(statistics);
  const { testCount, validationCount = 0 } = layout.shape;
  const [before, total] = split === 'test' ? [0, testCount] : [testCount, validationCount];
  const { process, processes } = job ?? alone;
  const share = shardOf(total, process, processes);
  const [first, end] = [before + share.start, before + share.end];
  await group.run({ name: 'evaluate', first, end });
  const stopped = group.control.stopRequested;
  const own = stopped ? null : scoreRows(rowsOf(memory, layout.test.count), config.loss, first, end);
  const scores = job === null ? [own] : await gatherValues(job, own);
  let [correct, unanswered, units] = [0, 0, 0];
  for (const score of scores) {
    if (score === null) return null;
    correct += score.correct;
    unanswered += score.unanswered;
    units += score.lossUnits;
  }
  if (unanswered > 0) {
    const error = notFinite(unanswered, total);
    throw job === null ? error : new CommonEnd(error);
  }
  return { correct, total, accuracy: percentCorrect({ correct, total }), loss: meanLoss(units, total) };
}

/**
 * Scores probabilities that were computed before.
 * @throws OperationalError NOT_FINITE
 */
export function accuracyOf(test: TestSplit, loss: Loss): Accuracy {
  const total = test.labels.length;
  const { correct, unanswered, lossUnits: units } = scoreRows(test, loss, 0, total);
  if (unanswered > 0) throw notFinite(unanswered, total);
  return { correct, total, accuracy: percentCorrect({ correct, total }), loss: meanLoss(units, total) };
}

interface Score {
  readonly correct: number;
  /** Rows whose logits are infinite or NaN, which no class wins. */
  readonly unanswered: number;
  /** See `lossUnits`. */
  readonly lossUnits: number;
}

function scoreRows({ labels, probabilities }: TestSplit, loss: Loss, first: number, end: number): Score {
  let [correct, unanswered, units] = [0, 0, 0];
  for (let row = first; row < end; row++) {
    if (!isAnswer(probabilities.subarray(row * classes, (row + 1) * classes))) {
      unanswered++;
      continue;
    }
    if (argmax(probabilities, row) === labels[row]) correct++;
    units += lossUnits(loss, probabilities, row * classes, classes, labels[row]!);
  }
  return { correct, unanswered, lossUnits: units };
}

/** Whether the softmax of one row, [classes], is one: it is NaN where a logit was NaN or infinite. */
export function isAnswer(probabilities: ArrayLike<number>): boolean {
  for (let j = 0; j < classes; j++) if (!Number.isFinite(probabilities[j])) return false;
  return true;
}

function notFinite(count: number, total: number): OperationalError {
  return new OperationalError(
    'NOT_FINITE',
    `the network computes infinite values or NaN for ${String(count)} of ${String(total)} images, so it cannot be used: ` +
      'its training diverged; train again with a smaller learning rate, or choose an earlier checkpoint',
  );
}

export function testSplit(memory: GroupMemory): TestSplit {
  return rowsOf(memory, memory.layout.shape.testCount);
}

/** The first rows of those that can be evaluated. */
function rowsOf({ buffer, layout: { test, probabilities } }: GroupMemory, count: number): TestSplit {
  return {
    images: new Uint8Array(buffer, test.images, count * imagePixels),
    labels: new Uint8Array(buffer, test.labels, count),
    probabilities: new Float32Array(buffer, probabilities, count * classes),
  };
}

/** Copies rows of the training split behind the test split, where they can be evaluated. */
export function placeHeldOut({ buffer, layout: { train, test, shape } }: GroupMemory, rows: Uint32Array): void {
  const bytes = new Uint8Array(buffer);
  rows.forEach((row, i) => {
    const place = shape.testCount + i;
    const image = train.images + row * imagePixels;
    bytes.copyWithin(test.images + place * imagePixels, image, image + imagePixels);
    bytes.copyWithin(test.labels + place, train.labels + row, train.labels + row + 1);
  });
}

/** The most probable class of a row; of equals the first. */
export function argmax(probabilities: Float32Array, row: number): number {
  const start = row * classes;
  let best = 0;
  for (let j = 1; j < classes; j++) if (probabilities[start + j]! > probabilities[start + best]!) best = j;
  return best;
}

/** Answers of a smaller probability are marked. */
const leastCertain = 0.95;

/** Whether the most probable class of a row, of this probability, is to be doubted. */
export function isUncertain(probability: number): boolean {
  return probability < leastCertain;
}

/** `predict`: a trained network, or several as one, on pictures of digits. */
import type { OpenDataset } from '../coordinator/node/dataset-files.js';
import { argmax, isUncertain } from '../coordinator/session/evaluation.js';
import { newestRun } from '../coordinator/node/run-folder.js';
import { readPictures, type PictureSource } from '../images/pictures.js';
import { classes } from '../shared/model/network.js';
import { usageError, type ErrorCode } from '../shared/errors.js';
import { averageProbabilities } from './network/committee.js';
import { inferEach } from './network/inference.js';
import { areTexts, checkOptions, type GroupOptions, type OptionKinds } from './options.js';
import { openEach, scoredNetwork } from './network/weights.js';

export interface PredictOptions extends Omit<GroupOptions, 'data'> {
  /**
   * Pictures (PNG, JPEG, WebP, GIF, TIFF, AVIF) of one number each, and IDX files of images, told apart by their contents; `-` is
   * stdin.
   */
  readonly files: readonly string[];
  /**
   * A run's folder, a checkpoint, or a PyTorch or safetensors file, or several, whose probabilities are averaged; default the newest
   * run under `runs/`.
   */
  readonly checkpoint?: string | readonly string[] | undefined;
  /** As in `evaluate`. */
  readonly best?: boolean | undefined;
  /** Rows of the IDX files, from 0, such as `0,5-9`; default all. */
  readonly rows?: string | undefined;
}

/** What one picture, or one row of an IDX file, shows. */
export interface Prediction {
  readonly file: string;
  /** Of an IDX file, from 0; null for a picture. */
  readonly row: number | null;
  /** The digits from left to right, such as `2048`; null where there is an error. */
  readonly number: string | null;
  /** One or more; none where there is an error. */
  readonly digits: readonly DigitPrediction[];
  /** Why nothing could be read, in one line that names the file; null where something was. */
  readonly error: { readonly code: ErrorCode; readonly message: string } | null;
}

export interface DigitPrediction {
  readonly digit: number;
  /** Of the digits 0 to 9, from the softmax. */
  readonly probabilities: readonly number[];
  /** Whether the network gives it less than 95 %: of its mistakes many are among these. */
  readonly uncertain: boolean;
  /** Where it is in the picture, in pixels of the upright file; null for a row of an IDX file. */
  readonly box: { readonly left: number; readonly top: number; readonly width: number; readonly height: number } | null;
}

/**
 * Reads pictures, in their order. A file that is missing, broken or blank costs its own prediction, which says why, and no other.
 * Throws OperationalError for options and weights that cannot be taken, and for stdin or IDX rows that cannot be meant.
 */
export async function predict(options: PredictOptions): Promise<Prediction[]> {
  checkOptions(options, optionKinds);
  if (!Array.isArray(options.files) || !options.files.every((file) => typeof file === 'string')) {
    throw usageError('the option `files` is an array of paths');
  }
  if (options.files.length === 0) throw usageError('name at least one picture or IDX file');
  const checkpoint: unknown = options.checkpoint ?? (await newestRun());
  const checkpoints = Array.isArray(checkpoint) ? checkpoint : [checkpoint];
  if (!areTexts(checkpoints) || checkpoints.length === 0) {
    throw usageError('the option `checkpoint` is a text that is not empty, or an array of them');
  }
  const opened = await openEach(checkpoints, options);
  if (options.checkpoint === undefined) options.onNote?.(`reading with ${opened.map(({ path }) => path).join()}`);
  const networks = opened.map(scoredNetwork);
  const { images, sources } = await readPictures(options.files, options.rows);
  const count = sources.reduce((sum, { boxes }) => sum + boxes.length, 0);
  const probabilities =
    count === 0
      ? new Float32Array(0)
      : averageProbabilities(
          (await inferEach(networks, datasetOfRows(images, count), options)).map(({ test }) => test.probabilities),
        );
  let next = 0;
  return sources.map((source) => {
    const first = next;
    next += source.boxes.length;
    return predictionOf(source, probabilities.subarray(first * classes, next * classes));
  });
}

/** @param probabilities [boxes][classes] */
function predictionOf({ file, row, boxes, error }: PictureSource, probabilities: Float32Array): Prediction {
  if (error !== null)
    return { file, row, number: null, digits: [], error: { code: error.code, message: error.message } };
  const digits = boxes.map((box, i): DigitPrediction => {
    const digit = argmax(probabilities, i);
    const own = [...probabilities.subarray(i * classes, (i + 1) * classes)];
    const { left, top, right, bottom } = box ?? { left: 0, top: 0, right: 0, bottom: 0 };
    return {
      digit,
      probabilities: own,
      uncertain: isUncertain(own[digit] ?? 0),
      box: box && { left, top, width: right - left, height: bottom - top },
    };
  });
  return { file, row, number: digits.map(({ digit }) => String(digit)).join(''), digits, error: null };
}

/** Pictures as the test split of a data set that has nothing to train on, and no labels worth a look. */
function datasetOfRows(images: Uint8Array, count: number): OpenDataset {
  return {
    trainCount: 0,
    testCount: count,
    load: (buffer, offsets) => {
      new Uint8Array(buffer, offsets.testImages, images.length).set(images);
      return Promise.resolve('pictures');
    },
  };
}

const optionKinds: OptionKinds<PredictOptions> = {
  workers: 'other',
  engine: 'other',
  onNote: 'function',
  files: 'other',
  checkpoint: 'other',
  best: 'other',
  rows: 'text',
};

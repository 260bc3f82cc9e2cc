/** What a data set is, wherever its bytes come from: four IDX files, what must agree between them, and its name. */
import { invalidIdx, type IdxHeader, type IdxKind } from '../../shared/idx.js';
import { classes } from '../../shared/model/network.js';
import { hexSha256 } from '../../shared/sha256.js';

/** The four files, in the order in which their sums name a data set. */
export const datasetParts = ['trainImages', 'trainLabels', 'testImages', 'testLabels'] as const;
export type DatasetPart = (typeof datasetParts)[number];
export type EachPart<T> = Readonly<Record<DatasetPart, T>>;

/** Where the rows of each file begin in the shared buffer, in bytes: uint8 [count][784] and uint8 [count]. */
export type DatasetOffsets = EachPart<number>;

export interface OpenDataset {
  readonly trainCount: number;
  readonly testCount: number;
  /**
   * Brings all rows into the buffer and checks what headers cannot show: lengths of compressed files, and labels in 0..9.
   * @returns the name of the data set: `mnist`, or the hex SHA-256 of the hex sums of the four files joined by newlines
   * @throws OperationalError DATA_INVALID or DATA_MISSING
   */
  readonly load: (buffer: SharedArrayBuffer, offsets: DatasetOffsets) => Promise<string>;
}

/** SHA-256 of MNIST's decompressed files, headers included. */
const mnistSums: EachPart<string> = {
  trainImages: 'ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db',
  trainLabels: '65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5',
  testImages: '0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7',
  testLabels: 'ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2',
};

/** Whether a part holds images or labels. */
export function kindOf(part: DatasetPart): IdxKind {
  return part === 'trainImages' || part === 'testImages' ? 'images' : 'labels';
}

/** One part after the other, in the order of `datasetParts`. */
export async function mapParts<T>(map: (part: DatasetPart) => Promise<T>): Promise<EachPart<T>> {
  return {
    trainImages: await map('trainImages'),
    trainLabels: await map('trainLabels'),
    testImages: await map('testImages'),
    testLabels: await map('testLabels'),
  };
}

/**
 * The rows of both splits.
 * @param names how to name the files in an error
 * @throws OperationalError DATA_INVALID where images and labels differ in number, or a split is empty
 */
export function countRows(
  names: EachPart<string>,
  headers: EachPart<IdxHeader>,
): Pick<OpenDataset, 'trainCount' | 'testCount'> {
  return {
    trainCount: pairedCount(names.trainImages, headers.trainImages, names.trainLabels, headers.trainLabels),
    testCount: pairedCount(names.testImages, headers.testImages, names.testLabels, headers.testLabels),
  };
}

function pairedCount(images: string, imageHeader: IdxHeader, labels: string, labelHeader: IdxHeader): number {
  const [imageCount, labelCount] = [imageHeader.count, labelHeader.count];
  if (imageCount !== labelCount) {
    const counts = `${String(labelCount)} labels, but ${images} holds ${String(imageCount)} images`;
    throw invalidIdx(labels, `holds ${counts}`);
  }
  if (imageCount === 0) throw invalidIdx(images, 'holds no images');
  return imageCount;
}

/** Throws DATA_INVALID, naming the first row whose label is no class. */
export function checkLabels(file: string, labels: Uint8Array): void {
  const row = labels.findIndex((label) => label >= classes);
  if (row < 0) return;
  const found = `has label ${String(labels[row])} in row ${String(row)}`;
  throw invalidIdx(file, `${found}, but labels are 0..${String(classes - 1)}`);
}

/** The name of the data set whose files have these hex SHA-256 sums, decompressed. */
export async function nameOf(sums: EachPart<string>): Promise<string> {
  if (datasetParts.every((part) => sums[part] === mnistSums[part])) return 'mnist';
  return hexSha256(new TextEncoder().encode(datasetParts.map((part) => sums[part]).join('\n')));
}

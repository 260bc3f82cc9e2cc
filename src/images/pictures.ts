/** Pictures as rows that the network takes, whatever they come from. */
import { basename } from 'node:path';
import { OperationalError, usageError } from '../shared/errors.js';
import { isEmnistName } from '../shared/idx.js';
import { decodePicture } from './decode.js';
import { findDigits } from './digits.js';
import { parseRows, readIdxRows, type RowRange } from './idx-rows.js';
import { openInput } from './input.js';
import type { Box } from './ink/strokes.js';

export interface PictureSource {
  readonly file: string;
  /** Of an IDX file, from 0; null for a picture, and where the file cannot be read. */
  readonly row: number | null;
  /** Where each of its digits is, from left to right, in pixels of the upright picture; null for a row of an IDX file. */
  readonly boxes: readonly (Box | null)[];
  /** Why there are no digits; null where there are. */
  readonly error: OperationalError | null;
}

export interface Pictures {
  /** uint8 [boxes of all sources][784], owned by the caller. */
  readonly images: Uint8Array;
  readonly sources: readonly PictureSource[];
}

/** Rows for a part of the sources. */
interface Part {
  readonly images: readonly Uint8Array[];
  readonly sources: readonly PictureSource[];
}

/** All digits and rows of one call: 196 MB. */
const maxRows = 250_000;
/** What falls into more parts is no number. */
const maxDigits = 100;

/**
 * Reads pictures of one number each, and IDX files of images, plain or compressed with gzip. A picture's digits become as MNIST
 * would hold them; rows of IDX files stay as they are. What is wrong with one file is kept as its error, and costs no other.
 * @param files paths, and `-` for stdin, at most once
 * @param rows of each IDX file, such as `0,5-9`; default all
 * @throws OperationalError USAGE
 */
export async function readPictures(files: readonly string[], rows?: string): Promise<Pictures> {
  const ranges = rows === undefined ? null : parseRows(rows);
  if (files.filter((file) => file === '-').length > 1)
    throw usageError('- is stdin, which can be read once: name it once');
  const parts: Part[] = [];
  let room = maxRows;
  for (const file of files) {
    const part = await partOf(file, ranges, room).catch(keepError(file));
    parts.push(part);
    room -= part.sources.reduce((sum, { boxes }) => sum + boxes.length, 0);
  }
  const sources = parts.flatMap((part) => part.sources);
  if (ranges !== null && sources.every(({ row, error }) => row === null && error === null)) {
    throw usageError('`rows` chooses rows of IDX files, but none of the files is one');
  }
  return { images: joined(parts.flatMap((part) => part.images)), sources };
}

function keepError(file: string): (error: unknown) => Part {
  return (error) => {
    if (!(error instanceof OperationalError) || error.code === 'USAGE') throw error;
    return { images: [], sources: [{ file, row: null, boxes: [], error }] };
  };
}

async function partOf(file: string, ranges: readonly RowRange[] | null, room: number): Promise<Part> {
  const input = await openInput(file);
  if (input.kind !== 'picture') {
    refuseEmnist(file);
    const { images, rows } = await readIdxRows(input, ranges, room);
    return { images: [images], sources: rows.map((row) => ({ file, row, boxes: [null], error: null })) };
  }
  const { picture, scale } = await decodePicture(input.name, await input.contents());
  const digits = findDigits(picture);
  if (digits.length === 0) {
    throw invalid(
      `${input.name} shows no digit that stands out from its background; name a picture with more contrast`,
    );
  }
  if (digits.length > maxDigits) {
    throw invalid(`${input.name} shows more than ${String(maxDigits)} digits or other things; cut out the number`);
  }
  if (digits.length > room)
    throw usageError(`more than ${String(maxRows)} digits cannot be taken at once; name fewer files`);
  const boxes = digits.map(({ box }) => scaled(box, scale));
  return { images: digits.map(({ row }) => row), sources: [{ file, row: null, boxes, error: null }] };
}

function scaled({ left, top, right, bottom }: Box, scale: number): Box {
  const [l, t, r, b] = [left, top, right, bottom].map((value) => Math.round(value * scale)) as [
    number,
    number,
    number,
    number,
  ];
  return { left: l, top: t, right: r, bottom: b };
}

function joined(images: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(images.reduce((sum, { length }) => sum + length, 0));
  let offset = 0;
  for (const image of images) {
    all.set(image, offset);
    offset += image.length;
  }
  return all;
}

/** What only a name tells: a network that reads upright digits would read these, and wrongly. */
function refuseEmnist(file: string): void {
  if (!isEmnistName(basename(file))) return;
  throw invalid(`${file} is of EMNIST by its name, whose images are transposed; write them upright into another file`);
}

function invalid(message: string): OperationalError {
  return new OperationalError('IMAGE_INVALID', message);
}

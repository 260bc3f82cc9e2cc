/** Rows of IDX files of images, plain or compressed with gzip. */
import { createGunzip } from 'node:zlib';
import { IrregularFileError } from '../files/regular-file.js';
import { OperationalError, usageError } from '../shared/errors.js';
import { checkIdxExpansion, checkIdxLength, idxHeaderLength, invalidIdx, parseIdxHeader } from '../shared/idx.js';
import type { IdxHeader } from '../shared/idx.js';
import { imagePixels } from '../shared/model/network.js';
import type { Input } from './input.js';

export interface RowRange {
  readonly first: number;
  /** Exclusive. */
  readonly end: number;
}

/**
 * Parses numbers of rows such as `0,5-9`.
 * @returns ranges in ascending order that do not touch: a row that is named twice is taken once
 * @throws OperationalError USAGE
 */
export function parseRows(text: string): RowRange[] {
  const ranges = text.split(',').map((part): RowRange => {
    const [, first, last = first] = /^\s*(\d{1,10})(?:-(\d{1,10}))?\s*$/.exec(part) ?? [];
    const range = { first: Number(first), end: Number(last) + 1 };
    if (range.first < range.end) return range;
    throw usageError(`\`rows\` takes numbers and ranges of rows, from 0, such as 0,5-9, not "${text}"`);
  });
  const merged: RowRange[] = [];
  for (const range of ranges.sort((a, b) => a.first - b.first)) {
    const before = merged.at(-1);
    if (before === undefined || before.end < range.first) merged.push(range);
    else merged.splice(-1, 1, { first: before.first, end: Math.max(before.end, range.end) });
  }
  return merged;
}

export interface IdxRows {
  /** uint8 [rows.length][784], owned by the caller. */
  readonly images: Uint8Array;
  /** Their numbers in the file, ascending. */
  readonly rows: readonly number[];
}

/**
 * Reads rows of a file; the rest of it is checked and dropped. Memory is for the rows that are taken, and only after the
 * file is found to be large enough for what its header declares.
 * @param ranges as `parseRows` gives them; null for all rows
 * @param room the most rows to take
 * @throws OperationalError DATA_INVALID (no whole IDX file of images), USAGE (rows that it does not have, or more than there
 *   is room for), IMAGE_INVALID (no rows at all, or it cannot be read)
 */
export async function readIdxRows(file: Input, ranges: readonly RowRange[] | null, room: number): Promise<IdxRows> {
  const reader = new RowReader(file, ranges, room);
  const source = await file.open().catch((error: unknown) => {
    throw readFailure(file.name, error);
  });
  const contents = file.kind === 'gzip' ? source.pipe(createGunzip()) : source;
  source.on('error', (error) => contents.destroy(error));
  try {
    for await (const piece of contents) reader.take(piece as Uint8Array);
  } catch (error) {
    throw readFailure(file.name, error);
  } finally {
    source.destroy();
  }
  return reader.finish();
}

/** Takes the bytes of one file in order, and keeps those of the rows that are asked for. */
class RowReader {
  private head = new Uint8Array(0);
  private header: IdxHeader | null = null;
  private ranges: readonly RowRange[] = [];
  private position = 0;
  private images = new Uint8Array(0);
  private filled = 0;

  constructor(
    private readonly file: Input,
    private readonly asked: readonly RowRange[] | null,
    private readonly room: number,
  ) {}

  take(piece: Uint8Array): void {
    const rest = this.header === null ? this.takeHead(piece) : piece;
    const { header } = this;
    if (header === null) return;
    // Before it is kept, or a compressed file could go on for ever.
    if (this.position + rest.length > header.totalLength) {
      checkIdxLength(header, this.file.name, this.position + rest.length);
    }
    for (const { first, end } of this.ranges) {
      const start = header.headerLength + first * imagePixels - this.position;
      const stop = header.headerLength + end * imagePixels - this.position;
      if (start < rest.length && stop > 0) this.keep(rest.subarray(Math.max(0, start), stop));
    }
    this.position += rest.length;
  }

  finish(): IdxRows {
    const header = this.header ?? this.parse();
    checkIdxLength(header, this.file.name, this.position);
    const rows = this.ranges.flatMap(({ first, end }) => Array.from({ length: end - first }, (_, i) => first + i));
    return { images: this.images, rows };
  }

  private keep(part: Uint8Array): void {
    this.images.set(part, this.filled);
    this.filled += part.length;
  }

  /** Returns what comes after the header. */
  private takeHead(piece: Uint8Array): Uint8Array {
    const missing = idxHeaderLength.images - this.head.length;
    this.head = Uint8Array.from([...this.head, ...piece.subarray(0, missing)]);
    if (this.head.length < idxHeaderLength.images) return piece.subarray(piece.length);
    this.header = this.parse();
    this.ranges = this.rangesWithin(this.header.count);
    this.images = new Uint8Array(imagePixels * countOf(this.ranges));
    this.position = this.head.length;
    return piece.subarray(missing);
  }

  private parse(): IdxHeader {
    const { name, length, kind } = this.file;
    const header = parseIdxHeader('images', name, this.head, kind === 'gzip' ? null : length);
    if (kind === 'gzip') checkIdxExpansion(header, name, length);
    return header;
  }

  private rangesWithin(count: number): readonly RowRange[] {
    const { asked, room } = this;
    const { name } = this.file;
    if (count === 0) throw new OperationalError('IMAGE_INVALID', `${name} holds no rows; name another file`);
    const ranges = asked ?? [{ first: 0, end: count }];
    const beyond = ranges.find(({ end }) => end > count);
    if (beyond !== undefined) {
      const row = String(Math.max(beyond.first, count));
      throw usageError(`\`rows\` names row ${row}, but ${name} has ${String(count)} rows: 0 to ${String(count - 1)}`);
    }
    if (countOf(ranges) <= room) return ranges;
    throw usageError(`${name} brings the pictures to more than can be taken at once; choose fewer rows with \`rows\``);
  }
}

function countOf(ranges: readonly RowRange[]): number {
  return ranges.reduce((sum, { first, end }) => sum + end - first, 0);
}

function readFailure(file: string, error: unknown): unknown {
  if (error instanceof OperationalError || !(error instanceof Error)) return error;
  if (error instanceof IrregularFileError)
    return new OperationalError('IMAGE_INVALID', error.message, { cause: error });
  const code = 'code' in error ? String(error.code) : '';
  if (code.startsWith('Z_')) return invalidIdx(file, `cannot be decompressed (${error.message})`, error);
  const message = `cannot read ${file} (${code}); check the file and its permissions`;
  return 'syscall' in error ? new OperationalError('IMAGE_INVALID', message, { cause: error }) : error;
}

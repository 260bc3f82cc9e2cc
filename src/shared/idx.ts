/**
 * Headers of IDX files, the format of MNIST: big-endian uint32 numbers, then the bytes of the values.
 *
 *   images: 0x00000803, count, 28, 28, then uint8 [count][28][28]
 *   labels: 0x00000801, count,         then uint8 [count]
 *
 * Pure: it looks at the first bytes only and allocates nothing that a header asks for.
 */
import { OperationalError } from './errors.js';
import { imagePixels, imageSize } from './model/network.js';

export type IdxKind = 'images' | 'labels';

export interface IdxHeader {
  readonly kind: IdxKind;
  /** Rows that the file declares. */
  readonly count: number;
  /** Bytes before the first row. */
  readonly headerLength: number;
  /** Bytes of the whole file as declared, header included. */
  readonly totalLength: number;
}

/** Bytes of the header of each kind: how much of a file `parseIdxHeader` needs to see. */
export const idxHeaderLength = { images: 16, labels: 8 } as const satisfies Record<IdxKind, number>;

const magicOf = { images: 0x803, labels: 0x801 } as const satisfies Record<IdxKind, number>;
/** No deflate stream expands further than this; so the size of a compressed file bounds what its header may declare. */
const deflateRatio = 1032;

/** What is found where IDX files belong: how it begins, and what it is. */
const foreign: readonly (readonly [begins: RegExp, what: string])[] = [
  [/^\s*<[!?a-z]/i, 'is a web page, as a download that failed leaves behind'],
  [/^\x1f\x8b/, 'is compressed with gzip more than once'],
  [/^PK/, 'is a zip archive: unpack it'],
  [/^version /, 'is a pointer of Git LFS: get the file itself with git lfs pull'],
  [/^\x89PNG|^\xff\xd8\xff/, 'is a picture, not an IDX file'],
  [/^\d+,/, 'is a table in text, not an IDX file'],
];

/** Whether a file is compressed with gzip: its first bytes say so, and not its name. */
export function isGzip([first, second]: Uint8Array): boolean {
  return first === 0x1f && second === 0x8b;
}

/**
 * Whether a file has a name of EMNIST, all of whose files hold images transposed: what is upright in MNIST lies there.
 * @param name without its folder
 */
export function isEmnistName(name: string): boolean {
  return /^emnist-[a-z]+-(train|test)-(images|labels)/i.test(name);
}

/**
 * Reads and checks the header of an IDX file.
 * @param file how to name it in an error
 * @param head its first bytes: the whole header, or less where the file is shorter
 * @param totalLength bytes of the whole file; null where that is not known yet (a compressed file)
 * @throws OperationalError DATA_INVALID, saying which file, what is wrong and what to do
 */
export function parseIdxHeader(kind: IdxKind, file: string, head: Uint8Array, totalLength: number | null): IdxHeader {
  const headerLength = idxHeaderLength[kind];
  checkMagic(kind, file, head);
  if (head.length < headerLength) {
    const there = String(head.length);
    throw invalidIdx(file, `ends after ${there} bytes, inside its header of ${String(headerLength)}`);
  }
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  const count = view.getUint32(4);
  if (kind === 'images') checkImageSize(file, view.getUint32(8), view.getUint32(12));
  const declared = headerLength + count * (kind === 'images' ? imagePixels : 1);
  const header: IdxHeader = { kind, count, headerLength, totalLength: declared };
  if (totalLength !== null) checkIdxLength(header, file, totalLength);
  return header;
}

/**
 * Checks the length of a whole (decompressed) file against its header.
 * @param totalLength what has been read of it, where that is more than the header declares
 * @throws OperationalError DATA_INVALID where it is cut short or goes on after its last row
 */
export function checkIdxLength(header: IdxHeader, file: string, totalLength: number): void {
  if (totalLength === header.totalLength) return;
  const declared = `its header declares ${String(header.count)} ${header.kind}, so ${String(header.totalLength)} bytes`;
  if (totalLength < header.totalLength) {
    throw invalidIdx(file, `is cut short: ${declared}, but it has ${String(totalLength)}`);
  }
  throw invalidIdx(file, `goes on after its last row: ${declared}, but it has more`);
}

/**
 * Checks a header against the size of the compressed file that it was read from.
 * @throws OperationalError DATA_INVALID where those bytes cannot hold what it declares
 */
export function checkIdxExpansion(header: IdxHeader, file: string, compressedLength: number): void {
  if (header.totalLength <= compressedLength * deflateRatio) return;
  const declared = `declares ${String(header.count)} ${header.kind}`;
  throw invalidIdx(file, `${declared}, more than its ${String(compressedLength)} compressed bytes can hold`);
}

/** The error of a file that is there but cannot be used. `problem` goes on from the file's name. */
export function invalidIdx(file: string, problem: string, cause?: unknown): OperationalError {
  const message = `${file} ${problem}; replace the file, or choose another`;
  return new OperationalError('DATA_INVALID', message, { cause });
}

function checkMagic(kind: IdxKind, file: string, head: Uint8Array): void {
  if (head.length < 4) throw invalidIdx(file, `ends after ${String(head.length)} bytes, inside its magic number`);
  const magic = new DataView(head.buffer, head.byteOffset, head.byteLength).getUint32(0);
  if (magic === magicOf[kind]) return;
  const other: IdxKind = kind === 'images' ? 'labels' : 'images';
  if (magic === magicOf[other]) throw invalidIdx(file, `holds ${other} where ${kind} belong`);
  const begin = String.fromCharCode(...head.subarray(0, idxHeaderLength.images));
  const what = foreign.find(([begins]) => begins.test(begin))?.[1];
  if (what !== undefined) throw invalidIdx(file, what);
  const found = hexOf(magic);
  throw invalidIdx(file, `starts with ${found}, but an IDX file of ${kind} starts with ${hexOf(magicOf[kind])}`);
}

function checkImageSize(file: string, rows: number, columns: number): void {
  if (rows === imageSize && columns === imageSize) return;
  const expected = `${String(imageSize)}x${String(imageSize)}`;
  throw invalidIdx(file, `holds images of ${String(rows)}x${String(columns)}, but the network takes ${expected}`);
}

function hexOf(magic: number): string {
  return `0x${magic.toString(16).padStart(8, '0')}`;
}

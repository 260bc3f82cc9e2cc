/** Files of pictures as rows that the network takes, whatever the files are. */
import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { IrregularFileError, openRegularFile, readRegularFile } from '../files/regular-file.js';
import { OperationalError, usageError } from '../shared/errors.js';
import { isEmnistName } from '../shared/idx.js';
import { imagePixels } from '../shared/model/network.js';
import { centreDigit } from './centre.js';
import { decodePicture } from './decode.js';
import { parseRows, readIdxRows, type RowRange } from './idx-rows.js';

export interface PictureSource {
  readonly file: string;
  /** Of an IDX file, from 0; null for a PNG or JPEG file. */
  readonly row: number | null;
}

export interface Pictures {
  /** uint8 [sources.length][784], owned by the caller. */
  readonly images: Uint8Array;
  readonly sources: readonly PictureSource[];
}

type FileKind = 'picture' | 'idx' | 'gzip';

/** Bytes of a PNG or JPEG file. */
const maxFileBytes = 128 * 1024 * 1024;
/** All pictures and rows of one call: 196 MB. */
const maxRows = 250_000;
/** Bytes that tell the kind of a file. */
const headLength = 64;

/** How files begin that are taken, and those that are refused by name. */
const kinds: readonly (readonly [begins: RegExp, kind: FileKind])[] = [
  [/^\x89PNG\r\n\x1a\n/, 'picture'],
  [/^\xff\xd8\xff/, 'picture'],
  [/^\x1f\x8b/, 'gzip'],
  [/^\0\0[\x08-\x0e][\x01-\x04]/, 'idx'],
];
const refused: readonly (readonly [begins: RegExp, name: string, advice?: string])[] = [
  [/^GIF8/, 'a GIF file'],
  [/^RIFF....WEBP/s, 'a WebP file'],
  [/^....ftyp/s, 'a HEIC or AVIF file'],
  [/^(II\*\0|MM\0\*)/, 'a TIFF file'],
  [/^BM/, 'a BMP file'],
  [/^%PDF/, 'a PDF file'],
  [/^\s*<(!doctype\s+html|html|head|body)/i, 'a web page', 'download it again'],
  [/^\s*<(\?xml|svg|!)/i, 'an SVG file'],
  [/^version https:\/\/git-lfs/, 'a pointer of Git LFS', 'get the file itself with git lfs pull'],
];

/**
 * Reads PNG and JPEG pictures of one digit each, and IDX files of images, plain or compressed with gzip: told apart by their
 * contents, not their names. A picture becomes as MNIST would hold it; rows of IDX files stay as they are.
 * @param rows of each IDX file, such as `0,5-9`; default all
 * @throws OperationalError IMAGE_INVALID, DATA_INVALID or USAGE, naming the file; nothing is returned unless all can be read
 */
export async function readPictures(files: readonly string[], rows?: string): Promise<Pictures> {
  const ranges = rows === undefined ? null : parseRows(rows);
  const parts: Uint8Array[] = [];
  const sources: PictureSource[] = [];
  for (const file of files) {
    const part = await readFileRows(file, ranges, maxRows - sources.length);
    parts.push(part.images);
    for (const row of part.rows) sources.push({ file, row });
  }
  if (ranges !== null && sources.every(({ row }) => row === null)) {
    throw usageError('`rows` chooses rows of IDX files, but none of the files is one');
  }
  const images = new Uint8Array(sources.length * imagePixels);
  let offset = 0;
  for (const part of parts) {
    images.set(part, offset);
    offset += part.length;
  }
  return { images, sources };
}

async function readFileRows(
  file: string,
  ranges: readonly RowRange[] | null,
  room: number,
): Promise<{ images: Uint8Array; rows: readonly (number | null)[] }> {
  const { kind, length } = await kindOf(file);
  if (kind !== 'picture') {
    refuseEmnist(file);
    return readIdxRows({ path: file, length, gzip: kind === 'gzip' }, ranges, room);
  }
  if (room < 1) throw usageError(`more than ${String(maxRows)} pictures cannot be taken at once; name fewer files`);
  const picture = await decodePicture(file, await readRegularFile(file).catch(refuseUnreadable(file)));
  const row = centreDigit(picture);
  if (row !== null) return { images: row, rows: [null] };
  throw invalid(`${file} shows no digit that stands out from its background; name a picture with more contrast`);
}

/** What only a name tells: a network that reads upright digits would read these, and wrongly. */
function refuseEmnist(file: string): void {
  if (!isEmnistName(basename(file))) return;
  throw invalid(`${file} is of EMNIST by its name, whose images are transposed; write them upright into another file`);
}

async function kindOf(file: string): Promise<{ kind: FileKind; length: number }> {
  const stats = await stat(file).catch(refuseUnreadable(file));
  const head = await headOf(file).catch(refuseUnreadable(file));
  const kind = kinds.find(([begins]) => begins.test(head))?.[1];
  if (kind === 'picture' && stats.size > maxFileBytes) {
    const most = `${String(stats.size)} bytes, more than ${String(maxFileBytes)}`;
    throw invalid(`${file} has ${most}; scale the picture down`);
  }
  if (kind !== undefined) return { kind, length: stats.size };
  const [, name = 'something else', advice = 'convert it'] = refused.find(([begins]) => begins.test(head)) ?? [];
  const found = head === '' ? 'is empty' : `is ${name}`;
  throw invalid(`${file} ${found}; predict takes PNG, JPEG and IDX files: ${advice}`);
}

/** The first bytes, each as one character. */
async function headOf(file: string): Promise<string> {
  const handle = await openRegularFile(file);
  try {
    const { buffer, bytesRead } = await handle.read(new Uint8Array(headLength), 0, headLength, 0);
    return String.fromCharCode(...buffer.subarray(0, bytesRead));
  } finally {
    await handle.close();
  }
}

function refuseUnreadable(file: string): (error: unknown) => never {
  return (error) => {
    if (error instanceof IrregularFileError) throw invalid(error.message);
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    const hint = code === 'ENOENT' ? 'there is no such file: check its name' : 'check the file and its permissions';
    throw new OperationalError('IMAGE_INVALID', `cannot read ${file} (${code}); ${hint}`, { cause: error });
  };
}

function invalid(message: string): OperationalError {
  return new OperationalError('IMAGE_INVALID', message);
}

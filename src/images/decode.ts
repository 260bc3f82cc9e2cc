/** Files of pictures as grey values, upright, by sharp (libvips): PNG, JPEG, WebP, GIF, TIFF and AVIF. */
import type { Metadata, Sharp, SharpOptions } from 'sharp';
import { messageOf, OperationalError } from '../shared/errors.js';
import { greyOf, type GreyPicture } from './grey.js';

/** What a file may at most declare: a decoder may need several bytes for each pixel. */
const maxPixels = 50_000_000;
/** A decoder may hold some whole rows, and resize them in one go. */
const maxSide = 32_768;
/**
 * Deflate, which PNG uses, makes at most 1032 bytes of one, and a byte may be eight pixels; JPEG and GIF come to less. In the other
 * formats a few bytes may rightly be a large empty picture.
 */
const maxPixelsPerByte = 8 * 1032;
const boundByBytes = ['png', 'jpeg', 'gif'];
/** What sharp may decode of what it knows. */
const formats = [...boundByBytes, 'webp', 'tiff', 'heif'];
/** What 50 million pixels take in the slowest of these formats is less on any machine. */
const maxSeconds = 30;
/** A decoder goes over all pixels in each scan of a progressive JPEG, which may be a few bytes: cameras make ten of them. */
const maxScannedPixels = 20 * maxPixels;
/** GIF's decoder looks for all frames first, which takes it long where there are very many. */
const maxGifBytes = 8 * 1024 * 1024;
/** So does TIFF's for all pages. */
const maxPages = 1000;
const [endOfImage, startOfScan] = [0xd9, 0xda];
/** The longer side of what comes out; a digit is told from its background and its strokes measured at this size. */
const workingSize = 512;

type SharpFactory = (bytes: Uint8Array, options: SharpOptions) => Sharp;

/** sharp is loaded here and nowhere else: it brings a native library, which no other command should wait for. */
async function loadSharp(): Promise<SharpFactory> {
  return (await import('sharp')).default;
}

export interface DecodedPicture {
  readonly picture: GreyPicture;
  /** Pixels of the upright file that one of the picture's is wide and tall, 1 or more. */
  readonly scale: number;
}

/**
 * Decodes a picture, the first where a file has several: upright as EXIF says, transparency filled with its background, at most
 * 512 pixels a side.
 * @param file how to name it in an error
 * @param bytes contents that begin as files of `formats` do
 * @throws OperationalError IMAGE_INVALID where it is cut short, corrupt or too large, or where sharp does not work
 */
export async function decodePicture(file: string, bytes: Uint8Array, load = loadSharp): Promise<DecodedPicture> {
  const sharp = await load().catch((error: unknown) => {
    const where = `${process.platform}-${process.arch}`;
    const message = `cannot decode ${file}: the npm package sharp does not load on ${where} (${lineOf(error)})`;
    throw new OperationalError('IMAGE_INVALID', `${message}; install it with npm install sharp, or name IDX files`);
  });
  try {
    checkParts(file, bytes);
    const header = await sharp(bytes, { limitInputPixels: false }).metadata();
    if (!formats.includes(header.format)) throw new Error(`it is ${header.format}`);
    checkSize(file, header, bytes);
    const { data, info } = await sharp(bytes, { failOn: 'error', autoOrient: true, limitInputPixels: maxPixels })
      // A triangle as the filter: sharper ones leave rings around the strokes.
      .resize(workingSize, workingSize, { fit: 'inside', withoutEnlargement: true, kernel: 'linear' })
      .toColourspace('srgb')
      .ensureAlpha()
      .raw({ depth: 'uchar' })
      .timeout({ seconds: maxSeconds })
      .toBuffer({ resolveWithObject: true });
    const scale = Math.max(header.width, header.height) / Math.max(info.width, info.height);
    return { picture: greyOf(data, info.width, info.height), scale };
  } catch (error) {
    if (error instanceof OperationalError) throw error;
    const message = `cannot decode ${file} (${lineOf(error)}); it is cut short or damaged: save the picture again`;
    throw new OperationalError('IMAGE_INVALID', message, { cause: error });
  }
}

/** Refuses what would take long before its header is known: files of very many pictures, of which the first would be read. */
function checkParts(file: string, bytes: Uint8Array): void {
  const begins = String.fromCharCode(...bytes.subarray(0, 3));
  const advice = 'save the picture alone, as PNG';
  if (begins === 'GIF' && bytes.length > maxGifBytes) {
    const size = `${String(bytes.length)} bytes, more than ${String(maxGifBytes)}`;
    throw new OperationalError('IMAGE_INVALID', `${file} is a GIF file of ${size}; ${advice}`);
  }
  if (/^(II|MM)/.test(begins) && pagesOf(bytes) > maxPages) {
    throw new OperationalError('IMAGE_INVALID', `${file} has more than ${String(maxPages)} pages; ${advice}`);
  }
}

/** Pages of a TIFF file, counted up to one too many: each is a count of entries of 12 bytes, these, and the place of the next page. */
function pagesOf(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const isLittle = bytes[0] === 0x49;
  let [pages, next] = [0, 4];
  while (pages <= maxPages && next + 4 <= bytes.length) {
    const page = view.getUint32(next, isLittle);
    if (page === 0 || page + 2 > bytes.length) break;
    pages++;
    next = page + 2 + 12 * view.getUint16(page, isLittle);
  }
  return pages;
}

/** Refuses what would take much memory or time, before it does. */
function checkSize(file: string, { width, height, format }: Metadata, bytes: Uint8Array): void {
  const pixels = width * height;
  const size = `${file} is a picture of ${String(width)}x${String(height)} pixels`;
  if (pixels > maxPixels) {
    throw new OperationalError('IMAGE_INVALID', `${size}, more than ${String(maxPixels / 1e6)} million; scale it down`);
  }
  if (Math.max(width, height) > maxSide) {
    throw new OperationalError('IMAGE_INVALID', `${size}, more than ${String(maxSide)} a side; scale it down`);
  }
  if (boundByBytes.includes(format) && pixels > maxPixelsPerByte * bytes.length) {
    const held = `more than its ${String(bytes.length)} bytes can hold`;
    throw new OperationalError('IMAGE_INVALID', `${size}, ${held}; it is cut short or damaged: save the picture again`);
  }
  const scans = scansOf(bytes);
  if (pixels * scans > maxScannedPixels) {
    throw new OperationalError(
      'IMAGE_INVALID',
      `${size} in ${String(scans)} scans, which would take long; save it again`,
    );
  }
}

/**
 * Scans of a JPEG file's first picture; 0 of another file. It is segments, each 0xff, a marker and mostly a length, which
 * thumbnails lie in; behind the header of a scan its data go on to the next marker.
 */
function scansOf(bytes: Uint8Array): number {
  if (bytes[0] !== 0xff || bytes[1] !== 0xd8) return 0;
  let scans = 0;
  let at = bytes.indexOf(0xff, 2);
  while (at >= 0 && at + 3 < bytes.length) {
    const marker = bytes[at + 1] ?? 0;
    if (marker === endOfImage) break;
    if (marker === startOfScan) scans++;
    if (marker === 0xff) at++;
    else if (hasNoLength(marker)) at += 2;
    else at += 2 + Math.max(2, ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0));
    at = bytes.indexOf(0xff, at);
  }
  return scans;
}

/** Of stuffing and restarts, which lie in the data of scans. */
function hasNoLength(marker: number): boolean {
  return marker <= 1 || (marker >= 0xd0 && marker <= 0xd8);
}

/** libvips gives a line for each layer that failed; of what npm would say, the beginning is enough. */
function lineOf(error: unknown): string {
  const text = messageOf(error);
  return text
    .replace(/[:\s]+$/, '')
    .replaceAll(/:?\s*\n\s*/g, ': ')
    .slice(0, 160);
}

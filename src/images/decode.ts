/** PNG and JPEG files as grey pictures, upright, by sharp (libvips). */
import type { Sharp, SharpOptions } from 'sharp';
import { messageOf, OperationalError } from '../shared/errors.js';
import type { GreyPicture } from './lighting.js';

/** What a file may at most declare: a decoder may need several bytes for each pixel. */
const maxPixels = 50_000_000;
/** A decoder may hold some whole rows, and resize them in one go. */
const maxSide = 32_768;
/** Deflate, which PNG uses, makes at most 1032 bytes of one, and a byte may be eight pixels; JPEG comes to less. */
const maxPixelsPerByte = 8 * 1032;
/** A decoder goes over all pixels in each scan of a progressive JPEG, which may be a few bytes: cameras make ten of them. */
const maxScannedPixels = 20 * maxPixels;
const [endOfImage, startOfScan] = [0xd9, 0xda];
/** The longer side of what comes out; a digit is told from its background and its strokes measured at this size. */
const workingSize = 512;

type SharpFactory = (bytes: Uint8Array, options: SharpOptions) => Sharp;

/** sharp is loaded here and nowhere else: it brings a native library, which no other command should wait for. */
async function loadSharp(): Promise<SharpFactory> {
  return (await import('sharp')).default;
}

/**
 * Decodes a picture: upright as EXIF says, transparency filled with its background, at most 512 pixels a side.
 * @param file how to name it in an error
 * @param bytes contents that begin as PNG or JPEG files do
 * @throws OperationalError IMAGE_INVALID where it is cut short, corrupt or too large, or where sharp does not work
 */
export async function decodePicture(file: string, bytes: Uint8Array, load = loadSharp): Promise<GreyPicture> {
  const sharp = await load().catch((error: unknown) => {
    const where = `${process.platform}-${process.arch}`;
    const message = `cannot decode ${file}: the npm package sharp does not load on ${where} (${lineOf(error)})`;
    throw new OperationalError('IMAGE_INVALID', `${message}; install it with npm install sharp, or name IDX files`);
  });
  try {
    const header = await sharp(bytes, { limitInputPixels: false }).metadata();
    checkSize(file, header.width, header.height, bytes);
    const { data, info } = await sharp(bytes, { failOn: 'error', autoOrient: true, limitInputPixels: maxPixels })
      // A triangle as the filter: sharper ones leave rings around the strokes.
      .resize(workingSize, workingSize, { fit: 'inside', withoutEnlargement: true, kernel: 'linear' })
      .toColourspace('srgb')
      .ensureAlpha()
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true });
    return flatten(data, info.width, info.height);
  } catch (error) {
    if (error instanceof OperationalError) throw error;
    const message = `cannot decode ${file} (${lineOf(error)}); it is cut short or damaged: save the picture again`;
    throw new OperationalError('IMAGE_INVALID', message, { cause: error });
  }
}

/** Refuses what would take much memory or time, before it does. */
function checkSize(file: string, width: number, height: number, bytes: Uint8Array): void {
  const pixels = width * height;
  const size = `${file} is a picture of ${String(width)}x${String(height)} pixels`;
  if (pixels > maxPixels) {
    throw new OperationalError('IMAGE_INVALID', `${size}, more than ${String(maxPixels / 1e6)} million; scale it down`);
  }
  if (Math.max(width, height) > maxSide) {
    throw new OperationalError('IMAGE_INVALID', `${size}, more than ${String(maxSide)} a side; scale it down`);
  }
  if (pixels > maxPixelsPerByte * bytes.length) {
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
 * Scans of a JPEG file's first picture; 0 of a PNG. A file is segments, each 0xff, a marker and mostly a length, which
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

/**
 * Grey values over a background for what is transparent: where the picture's edge is, that is what the digit is drawn on, and
 * it becomes black or white, whichever is farther from what is drawn; else it becomes as the opaque edge.
 * @param rgba uint8 [height][width][4]
 */
function flatten(rgba: Uint8Array, width: number, height: number): GreyPicture {
  const drawn = meanOf(rgba, width * height, (i) => i);
  const edge = meanOf(rgba, 2 * (width + height), (i) => edgePixel(i, width, height));
  const contrasting = drawn.grey < 128 ? 255 : 0;
  const background = edge.opacity < 0.5 ? contrasting : edge.grey;
  const pixels = new Float32Array(width * height);
  for (let at = 0; at < pixels.length; at++) {
    const opacity = rgba[4 * at + 3]! / 255;
    pixels[at] = background + opacity * (luma(rgba, 4 * at) - background);
  }
  return { width, height, pixels };
}

/** The pixels of the four sides one after the other. */
function edgePixel(i: number, width: number, height: number): number {
  if (i < 2 * width) return i < width ? i : (height - 2) * width + i;
  const j = i - 2 * width;
  return j < height ? j * width : (j - height) * width + width - 1;
}

/** Of some pixels: their mean opacity, and their mean grey as far as they are opaque. */
function meanOf(rgba: Uint8Array, count: number, pixelAt: (i: number) => number): { grey: number; opacity: number } {
  let [sum, opacity] = [0, 0];
  for (let i = 0; i < count; i++) {
    const at = 4 * pixelAt(i);
    sum += luma(rgba, at) * rgba[at + 3]!;
    opacity += rgba[at + 3]!;
  }
  return { grey: opacity === 0 ? 0 : sum / opacity, opacity: opacity / (255 * count) };
}

/** Source: ITU-R BT.601. */
function luma(rgba: Uint8Array, at: number): number {
  return 0.299 * rgba[at]! + 0.587 * rgba[at + 1]! + 0.114 * rgba[at + 2]!;
}

/** libvips gives a line for each layer that failed; of what npm would say, the beginning is enough. */
function lineOf(error: unknown): string {
  const text = messageOf(error);
  return text
    .replace(/[:\s]+$/, '')
    .replaceAll(/:?\s*\n\s*/g, ': ')
    .slice(0, 160);
}

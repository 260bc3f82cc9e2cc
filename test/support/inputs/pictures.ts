/** MNIST's digits as the pictures that people have: larger, inverted, moved, on unevenly lit paper. */
import { crc32 } from 'node:zlib';
import sharp, { type Sharp } from 'sharp';
import { randomBits } from './random.js';

/** A row, uint8 [784], as a picture of `size` x `size`: bright on black. */
export function drawing(row: Uint8Array, size: number): Sharp {
  const raw = { width: 28, height: 28, channels: 1 } as const;
  return sharp(row, { raw }).resize(size, size, { kernel: 'cubic' }).toColourspace('b-w');
}

/** The same, dark on white. */
export function inkOnPaper(row: Uint8Array, size: number): Sharp {
  return drawing(row, size).negate();
}

export interface PhotoOptions {
  readonly size?: number;
  readonly left?: number;
  readonly top?: number;
  /** Grey levels by which the light falls off from the left to the right, and to the corners. */
  readonly slope?: number;
  readonly vignette?: number;
  /** Largest noise of the sensor, in grey levels. */
  readonly noise?: number;
}

/** A row as ink on paper, photographed: 480x360, uint8 [360][480]. */
export async function photo(row: Uint8Array, options: PhotoOptions = {}): Promise<Sharp> {
  const { size = 180, left = 170, top = 60, slope = 80, vignette = 40, noise = 12 } = options;
  const [width, height] = [480, 360];
  const digit = await drawing(row, size).raw().toBuffer();
  const random = randomBits(7);
  const pixels = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [u, v] = [(2 * x) / width - 1, (2 * y) / height - 1];
      const light = 190 - (slope / 2) * u - (vignette / 2) * (u * u + v * v);
      const inside = x >= left && x < left + size && y >= top && y < top + size;
      const ink = inside ? (digit[(y - top) * size + x - left] ?? 0) / 255 : 0;
      const grain = noise * (random() / 32768 - 1);
      pixels[y * width + x] = Math.max(0, Math.min(255, Math.round(light * (1 - 0.7 * ink) + grain)));
    }
  }
  return sharp(pixels, { raw: { width, height, channels: 1 } }).toColourspace('b-w');
}

/**
 * Pearson's correlation of two rows, the best over shifts of the second by at most one pixel: the place of a digit in whole
 * pixels is a matter of rounding.
 */
export function similarity(row: Uint8Array, other: Uint8Array): number {
  const shifts = [-1, 0, 1].flatMap((dy) => [-1, 0, 1].map((dx) => 28 * dy + dx));
  return Math.max(...shifts.map((shift) => correlation(row, (at) => other[at + shift] ?? 0)));
}

function correlation(row: Uint8Array, other: (at: number) => number): number {
  let [a, b, ab, aa, bb] = [0, 0, 0, 0, 0];
  for (const [at, value] of row.entries()) {
    const second = other(at);
    a += value;
    b += second;
    ab += value * second;
    aa += value * value;
    bb += second * second;
  }
  const n = row.length;
  return (n * ab - a * b) / Math.sqrt((n * aa - a * a) * (n * bb - b * b));
}

/** The file of a PNG picture of 8-bit grey that declares a size and has no pixels. */
export function emptyPng(width: number, height: number): Uint8Array {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.writeUInt8(8, 8);
  const signature = Buffer.from('\x89PNG\r\n\x1a\n', 'latin1');
  return Buffer.concat([signature, pngChunk('IHDR', header), pngChunk('IDAT', Buffer.alloc(0))]);
}

/** A chunk of a PNG file, with its checksum. */
export function pngChunk(type: string, data: Uint8Array): Buffer {
  const checked = Buffer.concat([Buffer.from(type), data]);
  const numbers = Buffer.alloc(8);
  numbers.writeUInt32BE(data.length, 0);
  numbers.writeUInt32BE(crc32(checked), 4);
  return Buffer.concat([numbers.subarray(0, 4), checked, numbers.subarray(4)]);
}

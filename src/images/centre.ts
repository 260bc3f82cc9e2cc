/**
 * A picture of a digit as MNIST would hold it. MNIST's digits were scaled, with their proportions kept, to fit a box of
 * 20x20, which gave them grey levels, and placed in 28x28 with their centre of mass in the centre.
 * Source: Y. LeCun, C. Cortes, C. Burges, The MNIST database of handwritten digits.
 *
 * Portable: nothing of Node here.
 */
import { imagePixels, imageSize } from '../shared/model/network.js';

/** Ink on a grid: float32 [height][width], 0 where there is none. */
interface Ink {
  readonly width: number;
  readonly height: number;
  readonly values: Float32Array;
}

/** The side of the box that MNIST's digits fill. */
const digitSize = 20;
/** Ink weaker than this share of the strongest is what blur and compression leave around a stroke. */
const haloShare = 0.1;
/** The pixel, from 0, that the centre of mass of MNIST's rows rounds to, across and down. */
const centre = 14;

/**
 * Makes a row of the ink of one digit, in any size.
 * @param ink some of which is not 0
 * @returns uint8 [784], owned by the caller, bright on black; what has MNIST's size already comes back the same but for its
 *   faintest pixels
 */
export function centred(ink: Ink): Uint8Array {
  return place(fit(ink));
}

/** Cuts the bounding box out of the ink stronger than `least`. */
function cut({ width, height, values }: Ink, least: number): Ink {
  let [left, top, right, bottom] = [width, height, 0, 0];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (values[y * width + x]! <= least) continue;
      [left, top] = [Math.min(left, x), Math.min(top, y)];
      [right, bottom] = [Math.max(right, x + 1), Math.max(bottom, y + 1)];
    }
  }
  const box = new Float32Array((right - left) * (bottom - top));
  for (let y = top; y < bottom; y++) {
    box.set(values.subarray(y * width + left, y * width + right), (y - top) * (right - left));
  }
  return { width: right - left, height: bottom - top, values: box };
}

/** Scales ink so that its longer side, without a halo, is that of MNIST's box. What has this size already is not blurred. */
function fit(ink: Ink): Ink {
  const whole = cut(ink, 0);
  if (hasDigitSize(whole)) return whole;
  const peak = whole.values.reduce((most, value) => Math.max(most, value), 0);
  const box = cut(whole, haloShare * peak);
  if (hasDigitSize(box)) return box;
  const ratio = Math.max(box.width, box.height) / digitSize;
  return averageAcross(averageAcross(box, ratio), ratio);
}

function hasDigitSize({ width, height }: Ink): boolean {
  const longer = Math.max(width, height);
  return longer === digitSize || longer === digitSize - 1;
}

/**
 * Resamples each line to pixels that are `ratio` of its own wide, each the mean of what it covers, and transposes: twice
 * gives both directions.
 */
function averageAcross({ width, height, values }: Ink, ratio: number): Ink {
  // Rounding must not add a pixel that covers nothing.
  const newWidth = Math.max(1, Math.ceil(width / ratio - 1e-6));
  const transposed = new Float32Array(newWidth * height);
  for (let x = 0; x < newWidth; x++) {
    const [from, to] = [x * ratio, Math.min((x + 1) * ratio, width)];
    for (let y = 0; y < height; y++) {
      let sum = 0;
      for (let i = Math.floor(from); i < to; i++) {
        sum += (Math.min(i + 1, to) - Math.max(i, from)) * values[y * width + i]!;
      }
      transposed[x * height + y] = sum / ratio;
    }
  }
  return { width: height, height: newWidth, values: transposed };
}

/** Puts ink of at most 20x20 into 28x28, its centre of mass in the centre, its darkest pixel at 255. */
function place({ width, height, values }: Ink): Uint8Array {
  let [mass, massX, massY, peak] = [0, 0, 0, 0];
  for (const [at, value] of values.entries()) {
    mass += value;
    massX += value * (at % width);
    massY += value * Math.floor(at / width);
    peak = Math.max(peak, value);
  }
  const left = inside(Math.round(centre - massX / mass), width);
  const top = inside(Math.round(centre - massY / mass), height);
  const row = new Uint8Array(imagePixels);
  for (const [at, value] of values.entries()) {
    const [x, y] = [left + (at % width), top + Math.floor(at / width)];
    row[y * imageSize + x] = Math.round((255 * value) / peak);
  }
  return row;
}

/** The nearest offset at which so many pixels lie within the row's 28. */
function inside(offset: number, size: number): number {
  return Math.max(0, Math.min(imageSize - size, offset));
}

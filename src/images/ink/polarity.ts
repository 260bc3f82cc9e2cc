/**
 * Whether ink is darker or lighter than what it is on, whatever the light and however much of the picture it fills: strokes are
 * thinner than what lies between them. Portable: nothing of Node here.
 */
import type { GreyPicture } from '../grey.js';
import { closed } from './morphology.js';

/** Told on a picture whose shorter side has at most so many pixels, with windows of up to this radius. */
const coarseSide = 72;
const mostRadius = 8;
/** Grey levels that are added before the logarithm, in which a shadow is as deep in light ink as in dark. */
const floor = 16;

/**
 * Compares what closing fills in the picture and in its negative, over windows of growing size: each size counts by the ratio of the
 * two, so that small windows, which nothing but strokes is filled by, are not outvoted.
 */
export function isInkDark(picture: GreyPicture): boolean {
  const { width, height, pixels } = shrunk(picture);
  const light = pixels.map((value) => Math.log(value + floor));
  const dark = light.map((value) => -value);
  let balance = 0;
  for (let radius = 1; radius <= mostRadius; radius++) {
    const [inLight, inDark] = [light, dark].map((pixels) => filled({ width, height, pixels }, radius)) as [
      number,
      number,
    ];
    balance += Math.log((inLight + 1e-6) / (inDark + 1e-6));
  }
  return balance > 0;
}

/** The sum of the squares of what closing adds. */
function filled(picture: GreyPicture, radius: number): number {
  return closed(picture, radius).reduce((sum, value, at) => sum + (value - picture.pixels[at]!) ** 2, 0);
}

/** Each pixel the mean of the whole square of pixels that it stands for. */
function shrunk({ width, height, pixels }: GreyPicture): GreyPicture {
  const stride = Math.ceil(Math.min(width, height) / coarseSide);
  const [newWidth, newHeight] = [Math.ceil(width / stride), Math.ceil(height / stride)];
  const small = new Float32Array(newWidth * newHeight);
  for (let y = 0; y < newHeight; y++) {
    for (let x = 0; x < newWidth; x++) {
      let [sum, count] = [0, 0];
      for (let j = y * stride; j < Math.min(height, (y + 1) * stride); j++) {
        for (let i = x * stride; i < Math.min(width, (x + 1) * stride); i++) {
          sum += pixels[j * width + i]!;
          count++;
        }
      }
      small[y * newWidth + x] = sum / count;
    }
  }
  return { width: newWidth, height: newHeight, pixels: small };
}

/**
 * The background of a picture under light with hard edges, such as a shadow of the hand or the telephone: at each place what
 * lies around it, in a window wider than a stroke. A straight edge of a shadow stays where it is, a stroke goes.
 *
 * Portable: nothing of Node here.
 */
import type { GreyPicture } from '../grey.js';
import type { WithoutLighting } from './lighting.js';
import { closed } from './morphology.js';
import { isInkDark } from './polarity.js';

/** Half the side of the window, as a share of the picture's shorter side. */
const windowShare = 0.22;
/** A background that is further off is none: too much of the picture is ink. */
const mostNoise = 12;
/** A normal distribution's standard deviation over the median of its absolute values. */
const deviationOfMedian = 1.4826;

/**
 * Subtracts the background. Dark ink is measured as a share of the light that the paper around it reflects, times 255: it is
 * as dark in the shadow as beside it.
 * @returns null where too much of the picture is ink: there is no telling, and hardly a shadow
 */
export function subtractShadow(picture: GreyPicture): WithoutLighting | null {
  const { width, height } = picture;
  const pixels = smoothed(picture);
  const radius = Math.max(1, Math.floor(windowShare * Math.min(width, height)));
  const dark = isInkDark(picture);
  const signed = dark ? pixels : pixels.map((value) => -value);
  const background = closed({ width, height, pixels: signed }, radius);
  const departure = background.map((value, at) => {
    const depth = value - signed[at]!;
    return dark ? (-255 * depth) / Math.max(value, 1) : depth;
  });
  // The largest of many noisy pixels is above what they are about.
  const bias = median(departure);
  const distances = departure.map((value) => Math.abs(value - bias));
  const noise = deviationOfMedian * median(distances);
  return noise > mostNoise ? null : { departure: departure.map((value) => value - bias), noise };
}

/** The mean of each pixel and its neighbours: a sensor's grains would lift the background. */
function smoothed({ width, height, pixels }: GreyPicture): Float32Array {
  const smooth = new Float32Array(width * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      let [sum, count] = [0, 0];
      for (let j = Math.max(0, y - 1); j <= Math.min(height - 1, y + 1); j++) {
        for (let i = Math.max(0, x - 1); i <= Math.min(width - 1, x + 1); i++) {
          sum += pixels[j * width + i]!;
          count++;
        }
      }
      smooth[y * width + x] = sum / count;
    }
  }
  return smooth;
}

function median(values: Float32Array): number {
  return values.toSorted()[values.length >> 1] ?? 0;
}

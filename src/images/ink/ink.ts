/**
 * Which part of a grey picture is ink: dark on light or light on dark, under any light, without printed lines.
 *
 *   lighting  the picture minus its background, which is smooth; where what is left covers much of the picture's edge, the light
 *             has a hard edge, and the background is taken from what is around each place
 *   polarity  ink is on the side to which the picture departs further from its background
 *   lines     what is printed on the paper goes
 *
 * Portable: nothing of Node here.
 */
import type { GreyPicture } from '../grey.js';
import { subtractLighting, type WithoutLighting } from './lighting.js';
import { withoutLines } from './lines.js';
import { subtractShadow } from './shadow.js';
import { largest, type Ink } from './strokes.js';

/** Ink departs by more than so many standard deviations of the background... */
const noiseReach = 3;
/**
 * ...and by more than this share of the strongest departure: less is the halo of JPEG's compression, or, of light with a hard edge, how
 * far the light changes within a window.
 */
const leastShareOfPeak = { smooth: 0.02, hard: 0.15 };
/** Ink that is thicker than this share of the picture's height is no stroke of a digit in it. */
const mostThickness = 0.33;
/** Nor is it a smooth background that strays so many times as far as neighbouring pixels do. */
const mostStraying = 4;
/** A picture of fewer pixels a side is a drawing, which has no shadow. */
const leastSide = 48;
/** Ink on more of the picture's edge is doubted. */
const mostEdge = 0.04;
/** Another background is better if it leaves less than this share of the ink on the edge. */
const betterEdge = 0.5;

/** The ink of a picture; a new array, whatever the picture shows. */
export function inkOf(picture: GreyPicture): Ink {
  const lighting = subtractLighting(picture);
  const smooth = withoutLines(departing(picture, lighting, leastShareOfPeak.smooth));
  if (Math.min(picture.width, picture.height) < leastSide) return smooth;
  const isSmooth = lighting.noise <= 2 + mostStraying * grainOf(picture);
  if (isSmooth && edgeShare(smooth) <= mostEdge && !hasBlob(smooth)) return smooth;
  const shadowless = subtractShadow(picture);
  if (shadowless === null) return smooth;
  const hard = withoutLines(departing(picture, shadowless, leastShareOfPeak.hard));
  return edgeShare(hard) < betterEdge * edgeShare(smooth) ? hard : smooth;
}

/** How far a pixel is from its neighbour to the right, mostly, as a standard deviation. */
function grainOf({ width, pixels }: GreyPicture): number {
  const steps = Float32Array.from(pixels.subarray(1), (value, at) =>
    (at + 1) % width === 0 ? 0 : Math.abs(value - pixels[at]!),
  );
  return (1.4826 / Math.SQRT2) * (steps.sort()[steps.length >> 1] ?? 0);
}

/** Whether there is a square of ink as large as no stroke is thick. */
function hasBlob({ width, height, values, least }: Ink): boolean {
  const side = Math.ceil(mostThickness * height);
  // The side of the largest square of ink that ends at each pixel.
  let above = new Uint16Array(width);
  for (let y = 0; y < height; y++) {
    const row = new Uint16Array(width);
    for (let x = 0; x < width; x++) {
      if (values[y * width + x]! <= least) continue;
      row[x] = 1 + Math.min(above[x]!, x === 0 ? 0 : row[x - 1]!, x === 0 ? 0 : above[x - 1]!);
      if (row[x]! >= side) return true;
    }
    above = row;
  }
  return false;
}

function departing({ width, height }: GreyPicture, { departure, noise }: WithoutLighting, leastShare: number): Ink {
  orient(departure, noiseReach * noise);
  const least = Math.max(noiseReach * noise, leastShare * largest(departure));
  return { width, height, values: departure, least };
}

/** Negates the departures where ink is darker than its background: where those beyond `reach` have the greater energy. */
function orient(departure: Float32Array, reach: number): void {
  let balance = 0;
  for (const value of departure) if (Math.abs(value) > reach) balance += value * Math.abs(value);
  if (balance >= 0) return;
  for (let at = 0; at < departure.length; at++) departure[at] = -departure[at]!;
}

/** Which share of the pixels on the picture's edge is ink. */
function edgeShare({ width, height, values, least }: Ink): number {
  let [ink, all] = [0, 0];
  for (let y = 0; y < height; y++) {
    const step = y === 0 || y === height - 1 ? 1 : Math.max(1, width - 1);
    for (let x = 0; x < width; x += step) {
      all++;
      if (values[y * width + x]! > least) ink++;
    }
  }
  return ink / all;
}

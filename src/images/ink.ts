/**
 * Which part of a grey picture is the digit's ink: dark on light or light on dark, evenly lit or not.
 *
 *   polarity  ink is on the side to which the picture departs further from its background
 *   strokes   what departs beyond the noise and hangs together with something beyond Otsu's threshold
 *   digit     the strokes without specks, and without what lines the picture's edge
 *
 * Portable: nothing of Node here.
 */
import { subtractLighting, type GreyPicture } from './lighting.js';

export type { GreyPicture } from './lighting.js';

/** What hangs together. */
interface Stroke {
  readonly pixels: readonly number[];
  /** Sum of the departures. */
  readonly mass: number;
  /** Whether some pixel is beyond the threshold; else it is a stain at most. */
  readonly strong: boolean;
  /** Its pixels on the picture's edge. */
  readonly edgePixels: number;
}

/** A picture that departs from its background by fewer grey levels shows nothing. */
const leastContrast = 12;
/** Ink departs by more than so many standard deviations of the background... */
const noiseReach = 3;
/** ...and by more than this share of the strongest departure: less is the halo of JPEG's compression. */
const leastShareOfPeak = 0.02;
/** A digit covers at least this share of the picture, and a detached stroke has at least this share of its ink. */
const leastShareOfPicture = 5e-4;
const leastShareOfDigit = 0.05;
/** A digit's stroke may run out of the picture; what takes more of its edge is the table beside the paper, or a shadow. */
const mostShareOfEdge = 0.1;

/**
 * Finds the digit's ink.
 * @returns float32 [height][width], owned by the caller: how far each pixel of the digit departs from its background, and 0
 *   elsewhere; null where the picture shows nothing
 */
export function inkOf(picture: GreyPicture): Float32Array | null {
  const { departure, noise } = subtractLighting(picture);
  orient(departure, noiseReach * noise);
  const peak = largest(departure);
  if (peak < leastContrast) return null;
  const low = Math.max(noiseReach * noise, leastShareOfPeak * peak);
  const high = otsuThreshold(departure, low, peak);
  const digit = digitOf(strokesOf(departure, picture.width, low, high), picture);
  if (digit.length === 0) return null;
  const ink = new Float32Array(departure.length);
  for (const { pixels } of digit) for (const at of pixels) ink[at] = departure[at]!;
  return ink;
}

/** Negates the departures where ink is darker than its background: where those beyond `reach` have the greater energy. */
function orient(departure: Float32Array, reach: number): void {
  let balance = 0;
  for (const value of departure) if (Math.abs(value) > reach) balance += value * Math.abs(value);
  if (balance >= 0) return;
  for (let at = 0; at < departure.length; at++) departure[at] = -departure[at]!;
}

function largest(values: Float32Array): number {
  return values.reduce((most, value) => Math.max(most, value), 0);
}

/**
 * The threshold among values in low..high that leaves the two sides most distinct: it maximises the variance between them.
 * Source: N. Otsu, A threshold selection method from gray-level histograms, 1979.
 */
function otsuThreshold(values: Float32Array, low: number, high: number): number {
  const bins = 256;
  const counts = new Array<number>(bins).fill(0);
  for (const value of values) {
    if (value <= low) continue;
    const bin = Math.min(bins - 1, Math.floor((bins * (value - low)) / (high - low)));
    counts[bin] = counts[bin]! + 1;
  }
  const total = counts.reduce((sum, count) => sum + count, 0);
  const totalSum = counts.reduce((sum, count, bin) => sum + bin * count, 0);
  let [below, sumBelow, best, threshold] = [0, 0, 0, 0];
  counts.forEach((count, bin) => {
    below += count;
    sumBelow += bin * count;
    const above = total - below;
    if (below === 0 || above === 0) return;
    const distance = sumBelow / below - (totalSum - sumBelow) / above;
    const between = below * above * distance * distance;
    if (between > best) [best, threshold] = [between, bin + 1];
  });
  return low + (threshold / bins) * (high - low);
}

/** The parts that hang together, diagonals included, of the pixels beyond `low`. */
function strokesOf(departure: Float32Array, width: number, low: number, high: number): Stroke[] {
  const height = departure.length / width;
  const waiting = departure.map((value) => (value > low ? 1 : 0));
  const strokes: Stroke[] = [];
  for (let start = waiting.indexOf(1); start >= 0; start = waiting.indexOf(1, start + 1)) {
    const pixels = [start];
    waiting[start] = 0;
    let [mass, strong, edgePixels] = [0, false, 0];
    // `pixels` grows while it is walked.
    for (const at of pixels) {
      const value = departure[at]!;
      const [x, y] = [at % width, Math.floor(at / width)];
      mass += value;
      strong ||= value >= high;
      if (x === 0 || y === 0 || x === width - 1 || y === height - 1) edgePixels++;
      for (const neighbour of neighboursOf(x, y, width, height)) {
        if (waiting[neighbour] !== 1) continue;
        waiting[neighbour] = 0;
        pixels.push(neighbour);
      }
    }
    strokes.push({ pixels, mass, strong, edgePixels });
  }
  return strokes;
}

function neighboursOf(x: number, y: number, width: number, height: number): number[] {
  const neighbours: number[] = [];
  for (let j = Math.max(0, y - 1); j <= Math.min(height - 1, y + 1); j++) {
    for (let i = Math.max(0, x - 1); i <= Math.min(width - 1, x + 1); i++) neighbours.push(j * width + i);
  }
  return neighbours;
}

/** Leaves out specks and stains, and what lines the picture's edge where there is something else. */
function digitOf(strokes: readonly Stroke[], { width, height }: GreyPicture): Stroke[] {
  const leastPixels = leastShareOfPicture * width * height;
  const mostEdgePixels = mostShareOfEdge * 2 * (width + height);
  const visible = strokes.filter(({ strong, pixels }) => strong && pixels.length >= leastPixels);
  const inside = visible.filter(({ edgePixels }) => edgePixels <= mostEdgePixels);
  const candidates = inside.length > 0 ? inside : visible;
  const heaviest = candidates.reduce((most, { mass }) => Math.max(most, mass), 0);
  return candidates.filter(({ mass }) => mass >= leastShareOfDigit * heaviest);
}

/**
 * Strokes: what hangs together in a picture's ink, beyond the noise and with something in it beyond Otsu's threshold, without
 * specks and without what lines the picture's edge. Portable: nothing of Node here.
 */
import { otsuThreshold } from './threshold.js';

/** How far each pixel departs from its background to the side of the ink: more than `least` is no noise. */
export interface Ink {
  readonly width: number;
  readonly height: number;
  /** float32 [height][width]. */
  readonly values: Float32Array;
  readonly least: number;
}

/** What hangs together. */
export interface Stroke {
  readonly pixels: readonly number[];
  /** Sum of the departures. */
  readonly mass: number;
  readonly box: Box;
}

/** In pixels; the right and the bottom are exclusive. */
export interface Box {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

/** Of a stroke, what tells a digit's from others. */
interface Found extends Stroke {
  /** Whether some pixel is beyond the threshold; else it is a stain at most. */
  readonly strong: boolean;
  /** Its pixels on the picture's edge. */
  readonly edgePixels: number;
}

/** A picture that departs from its background by fewer grey levels shows nothing. */
const leastContrast = 12;
/** A digit covers at least this share of the picture. */
const leastShareOfPicture = 5e-4;
/** A digit's stroke may run out of the picture; what takes more of its edge is the table beside the paper, or a shadow. */
const mostShareOfEdge = 0.1;

/** The strokes that may be of a digit; none where the picture shows nothing. */
export function strokesOf(ink: Ink): readonly Stroke[] {
  const { values, width, height, least } = ink;
  const peak = largest(values);
  if (peak < leastContrast) return [];
  const found = hangingTogether(ink, otsuThreshold(values, least, peak));
  const visible = found.filter(({ strong, pixels }) => strong && pixels.length >= leastShareOfPicture * width * height);
  const inside = visible.filter(({ edgePixels }) => edgePixels <= mostShareOfEdge * 2 * (width + height));
  return inside.length > 0 ? inside : visible;
}

export function largest(values: Float32Array): number {
  return values.reduce((most, value) => Math.max(most, value), 0);
}

/** The parts that hang together, diagonals included, of the pixels that are no noise. */
function hangingTogether({ values, width, height, least }: Ink, high: number): Found[] {
  const waiting = values.map((value) => (value > least ? 1 : 0));
  const strokes: Found[] = [];
  for (let start = waiting.indexOf(1); start >= 0; start = waiting.indexOf(1, start + 1)) {
    const pixels = [start];
    waiting[start] = 0;
    let [mass, strong, edgePixels] = [0, false, 0];
    let [left, top, right, bottom] = [width, height, 0, 0];
    // `pixels` grows while it is walked.
    for (const at of pixels) {
      const value = values[at]!;
      const [x, y] = [at % width, Math.floor(at / width)];
      mass += value;
      strong ||= value >= high;
      if (x === 0 || y === 0 || x === width - 1 || y === height - 1) edgePixels++;
      [left, top] = [Math.min(left, x), Math.min(top, y)];
      [right, bottom] = [Math.max(right, x + 1), Math.max(bottom, y + 1)];
      for (const neighbour of neighboursOf(x, y, width, height)) {
        if (waiting[neighbour] !== 1) continue;
        waiting[neighbour] = 0;
        pixels.push(neighbour);
      }
    }
    strokes.push({ pixels, mass, box: { left, top, right, bottom }, strong, edgePixels });
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

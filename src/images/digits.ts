/**
 * The digits of a picture, from left to right: strokes that lie over one another are one digit, and small ones belong to the
 * digit that they are nearest to. Portable: nothing of Node here.
 */
import { centred } from './centre.js';
import type { GreyPicture } from './grey.js';
import { inkOf } from './ink/ink.js';
import { strokesOf, type Box, type Ink, type Stroke } from './ink/strokes.js';

export interface FoundDigit {
  /** uint8 [784], bright on black, as MNIST's are. */
  readonly row: Uint8Array;
  /** Where it is in the picture. */
  readonly box: Box;
}

/** A digit has a stroke of at least this share of the height of the tallest, and of the ink of the heaviest. */
const leastHeight = 0.5;
const leastMass = 0.08;
/** Strokes that share so much of the narrower one's width lie over one another. */
const leastOverlap = 0.5;
/** A detached stroke has this share of its digit's ink, and is at most so far from it, in heights of the tallest. */
const leastShareOfDigit = 0.05;
const mostDistance = 0.35;

/**
 * Finds the digits of a picture, in any size.
 * @returns from left to right; none where nothing stands out from the background. What is an MNIST row already comes back the same
 *   but for its faintest pixels
 */
export function findDigits(picture: GreyPicture): FoundDigit[] {
  const ink = inkOf(picture);
  return grouped(strokesOf(ink)).map((strokes) => ({
    row: centred(partOf(ink, strokes)),
    box: around(strokes),
  }));
}

/** The strokes of each digit. */
function grouped(strokes: readonly Stroke[]): Stroke[][] {
  const tallest = Math.max(0, ...strokes.map(({ box }) => box.bottom - box.top));
  const heaviest = Math.max(0, ...strokes.map(({ mass }) => mass));
  const isBody = ({ box, mass }: Stroke): boolean =>
    box.bottom - box.top >= leastHeight * tallest && mass >= leastMass * heaviest;
  const digits: Stroke[][] = [];
  for (const stroke of strokes.filter(isBody)) {
    const under = digits.filter((digit) => overlap(around(digit), stroke.box) >= leastOverlap);
    for (const digit of under) digits.splice(digits.indexOf(digit), 1);
    digits.push([stroke, ...under.flat()]);
  }
  const bodies = digits.map((digit) => ({ digit, box: around(digit), mass: massOf(digit) }));
  for (const stroke of strokes) {
    if (isBody(stroke)) continue;
    const [nearest] = bodies.toSorted((a, b) => distance(a.box, stroke.box) - distance(b.box, stroke.box));
    if (nearest === undefined || distance(nearest.box, stroke.box) > mostDistance * tallest) continue;
    if (stroke.mass >= leastShareOfDigit * nearest.mass) nearest.digit.push(stroke);
  }
  const middle = (digit: readonly Stroke[]): number => around(digit).left + around(digit).right;
  return digits.sort((a, b) => middle(a) - middle(b));
}

function massOf(strokes: readonly Stroke[]): number {
  return strokes.reduce((sum, { mass }) => sum + mass, 0);
}

function around(strokes: readonly Stroke[]): Box {
  const boxes = strokes.map(({ box }) => box);
  return {
    left: Math.min(...boxes.map(({ left }) => left)),
    top: Math.min(...boxes.map(({ top }) => top)),
    right: Math.max(...boxes.map(({ right }) => right)),
    bottom: Math.max(...boxes.map(({ bottom }) => bottom)),
  };
}

/** Which share of the narrower one's width is above or below the other. */
function overlap(a: Box, b: Box): number {
  const shared = Math.min(a.right, b.right) - Math.max(a.left, b.left);
  return shared / Math.min(a.right - a.left, b.right - b.left);
}

/** Between the nearest points of two boxes. */
function distance(a: Box, b: Box): number {
  const across = Math.max(0, a.left - b.right, b.left - a.right);
  const down = Math.max(0, a.top - b.bottom, b.top - a.bottom);
  return Math.sqrt(across * across + down * down);
}

/** Nothing but these strokes. */
function partOf(ink: Ink, strokes: readonly Stroke[]): Ink {
  const values = new Float32Array(ink.values.length);
  for (const { pixels } of strokes) for (const at of pixels) values[at] = ink.values[at]!;
  return { ...ink, values };
}

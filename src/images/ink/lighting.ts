/**
 * The background of a picture: a quadratic surface through what most of its frame is. That follows a lamp's falloff and a
 * lens's vignetting; it does not follow the edge of a hard shadow, as shadow.ts does. Portable: nothing of Node here.
 */
import type { GreyPicture } from '../grey.js';
import { isInkDark } from './polarity.js';
import { otsuThreshold } from './threshold.js';

export interface WithoutLighting {
  /** float32 [height][width], owned by the caller: the picture minus its background. */
  readonly departure: Float32Array;
  /** The standard deviation of the background around its surface, in grey levels. */
  readonly noise: number;
}

/** Coefficients of the terms of x and y, which are -1..1. */
interface Surface {
  readonly one: number;
  readonly x: number;
  readonly y: number;
  readonly xx: number;
  readonly xy: number;
  readonly yy: number;
}

interface Sample {
  readonly x: number;
  readonly y: number;
  readonly value: number;
  readonly inFrame: boolean;
}

/** A surface to begin with, and how far the background strays from it. */
interface Estimate {
  readonly surface: Surface;
  readonly noise: number;
}

/** Surfaces are fitted to at most so many pixels a side. */
const samplesPerSide = 64;
/** The frame is so much of the shorter side. */
const frameShare = 0.1;
/** A frame is plain if such a share of it lies within so many grey levels of one. */
const plainShare = 0.35;
const plainReach = 4;
const robustRounds = 10;
const refiningRounds = 3;
/** A background that strays further is none: the frame shows as much ink as paper. */
const mostNoise = 10;
/** Paper and ink are two kinds if they are so many standard deviations of the paper apart. */
const leastSeparation = 8;
/** A normal distribution's standard deviation over the median of its absolute values. */
const deviationOfMedian = 1.4826;

/**
 * Subtracts the background: what the frame shows, as a first estimate, then the surface of the least squared errors to all
 * that lies near that. Of a picture without a margin, whose frame shows as much of the digit, it is the paper that the ink is
 * lighter or darker than.
 */
export function subtractLighting(picture: GreyPicture): WithoutLighting {
  const samples = samplesOf(picture);
  const frame = samples.filter(({ inFrame }) => inFrame);
  let estimate = refined(plainEstimate(frame) ?? robustEstimate(frame), samples);
  if (estimate.noise > mostNoise) estimate = paperEstimate(picture, samples) ?? estimate;
  return { departure: subtract(picture, estimate.surface), noise: estimate.noise };
}

function refined(estimate: Estimate, samples: readonly Sample[]): Estimate {
  let { surface, noise } = estimate;
  for (let round = 0; round < refiningRounds; round++) {
    const reach = 1 + 2.5 * noise;
    const near = samples.filter((sample) => errorOf(sample, surface) <= reach);
    surface = fitSurface(near, () => 1);
    noise = noiseOf(near, surface);
  }
  return { surface, noise };
}

/** Of a picture of two greys, the one that is not the ink's; null of any other. */
function paperEstimate(picture: GreyPicture, samples: readonly Sample[]): Estimate | null {
  const values = Float32Array.from(samples, ({ value }) => value);
  const threshold = otsuThreshold(values, 0, 255);
  const isPaperLight = cornersAbove(samples, threshold) ?? isInkDark(picture);
  const paper = samples.filter(({ value }) => value > threshold === isPaperLight);
  const ink = samples.filter(({ value }) => value > threshold !== isPaperLight);
  const surface: Surface = { one: middleOf(paper), x: 0, y: 0, xx: 0, xy: 0, yy: 0 };
  const estimate = refined({ surface, noise: noiseOf(paper, surface) }, samples);
  const apart = Math.abs(middleOf(ink) - middleOf(paper));
  return apart >= leastSeparation * estimate.noise ? estimate : null;
}

/** Whether the picture's corners, which few digits reach, are lighter than that; null where one half of them is. */
function cornersAbove(samples: readonly Sample[], threshold: number): boolean | null {
  const near = 0.94;
  const corners = [
    [-1, -1],
    [-1, 1],
    [1, -1],
    [1, 1],
  ].map(([x, y]) => middleOf(samples.filter((sample) => x! * sample.x > near && y! * sample.y > near)) > threshold);
  const above = corners.filter(Boolean).length;
  return above === 2 ? null : above > 2;
}

function middleOf(samples: readonly Sample[]): number {
  const values = Float64Array.from(samples, ({ value }) => value).sort();
  return values[values.length >> 1] ?? 0;
}

/** Of a drawing, whose frame is mostly one grey; a digit may then fill more than half of the frame. Null of a photograph. */
function plainEstimate(frame: readonly Sample[]): Estimate | null {
  const surface: Surface = { one: commonestGrey(frame), x: 0, y: 0, xx: 0, xy: 0, yy: 0 };
  const plain = frame.filter((sample) => errorOf(sample, surface) <= plainReach);
  return plain.length < plainShare * frame.length ? null : { surface, noise: noiseOf(plain, surface) };
}

/**
 * The surface of the least absolute errors to the frame, by iteratively reweighted least squares: a digit that reaches into
 * a part of the frame hardly moves it.
 */
function robustEstimate(frame: readonly Sample[]): Estimate {
  let surface = fitSurface(frame, () => 1);
  for (let round = 0; round < robustRounds; round++) {
    const before = surface;
    surface = fitSurface(frame, (sample) => 1 / Math.max(errorOf(sample, before), 0.5));
  }
  return { surface, noise: noiseOf(frame, surface) };
}

function commonestGrey(samples: readonly Sample[]): number {
  const counts = new Array<number>(256).fill(0);
  for (const { value } of samples) {
    const grey = Math.round(value);
    counts[grey] = counts[grey]! + 1;
  }
  return counts.indexOf(Math.max(...counts));
}

function noiseOf(samples: readonly Sample[], surface: Surface): number {
  const errors = Float64Array.from(samples, (sample) => errorOf(sample, surface)).sort();
  return deviationOfMedian * (errors[errors.length >> 1] ?? 0);
}

function errorOf({ x, y, value }: Sample, surface: Surface): number {
  return Math.abs(value - heightAt(surface, x, y));
}

function heightAt(surface: Surface, x: number, y: number): number {
  const { one, xx, xy, yy } = surface;
  return one + surface.x * x + surface.y * y + xx * x * x + xy * x * y + yy * y * y;
}

function coordinate(position: number, size: number): number {
  return size === 1 ? 0 : (2 * position) / (size - 1) - 1;
}

function samplesOf({ width, height, pixels }: GreyPicture): Sample[] {
  const stride = Math.ceil(Math.max(width, height) / samplesPerSide);
  const thickness = Math.max(1, Math.round(frameShare * Math.min(width, height)));
  const inside = (position: number, size: number): boolean => position >= thickness && position < size - thickness;
  const samples: Sample[] = [];
  for (let y = 0; y < height; y += stride) {
    for (let x = 0; x < width; x += stride) {
      samples.push({
        x: coordinate(x, width),
        y: coordinate(y, height),
        value: pixels[y * width + x]!,
        inFrame: !inside(x, width) || !inside(y, height),
      });
    }
  }
  return samples;
}

function subtract({ width, height, pixels }: GreyPicture, surface: Surface): Float32Array {
  const departure = Float32Array.from(pixels);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const background = heightAt(surface, coordinate(x, width), coordinate(y, height));
      departure[y * width + x] = pixels[y * width + x]! - background;
    }
  }
  return departure;
}

/** Weighted least squares, by the normal equations. Terms that the samples do not determine are 0. */
function fitSurface(samples: readonly Sample[], weightOf: (sample: Sample) => number): Surface {
  const equations = Array.from({ length: 6 }, () => new Array<number>(7).fill(0));
  for (const sample of samples) {
    const { x, y, value } = sample;
    const weight = weightOf(sample);
    const known = [1, x, y, x * x, x * y, y * y, value];
    for (const [i, equation] of equations.entries()) {
      const factor = weight * known[i]!;
      for (let j = 0; j < known.length; j++) equation[j] = equation[j]! + factor * known[j]!;
    }
  }
  return solve(equations);
}

/** Gauss-Jordan elimination. A positive semidefinite matrix needs no pivoting: a pivot of 0 is a term without effect. */
function solve(equations: number[][]): Surface {
  const scale = equations[0]![0]!;
  equations.forEach((pivotRow, i) => {
    const pivot = pivotRow[i]!;
    const factor = pivot > 1e-9 * scale ? 1 / pivot : 0;
    equations.forEach((row, k) => {
      const multiple = row[i]! * factor;
      if (k === i || multiple === 0) return;
      row.forEach((value, j) => (row[j] = value - multiple * pivotRow[j]!));
    });
  });
  const [one = 0, x = 0, y = 0, xx = 0, xy = 0, yy = 0] = equations.map((row, i) => {
    const pivot = row[i]!;
    return pivot > 1e-9 * scale ? row[6]! / pivot : 0;
  });
  return { one, x, y, xx, xy, yy };
}

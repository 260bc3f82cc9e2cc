/**
 * Printed lines, taken out of a picture's ink: those of ruled and squared paper, and boxes around what is written.
 *
 *   points    the middle of each thin run of ink across the line
 *   segments  stretches of points on one straight line, by a Hough transform over slopes near the axis
 *   printed   segments both of whose ends are at the picture's edge or meet a printed line of the other direction: no stroke
 *             of a digit is that thin, that straight and that long
 *   removal   what the line covers becomes what is on its two sides, so that a stroke across it stays
 *
 * Portable: nothing of Node here.
 */
import type { Ink } from './strokes.js';

/** [height][width]; lines run nearly along its rows. */
interface Grid {
  readonly width: number;
  readonly height: number;
  readonly values: Float32Array;
}

/** The middle of a run of ink in one column. */
interface Point {
  readonly x: number;
  readonly y: number;
  /** Pixels of the run, and the most that it departs from the background. */
  readonly thickness: number;
  readonly peak: number;
}

/** y = start + slope x, for x in from..to. */
interface Segment {
  readonly start: number;
  readonly slope: number;
  readonly from: number;
  readonly to: number;
  /** Of most of its points. */
  readonly thickness: number;
  readonly level: number;
}

/** Lines are this much askew at most: some 6 degrees. */
const mostSlope = 0.1;
/** A line is thinner than this share of the picture's longer side, longer than this one, and so many times as long as thick. */
const mostThickness = 0.028;
const leastLength = 0.1;
const leastElongation = 8;
/** Where it is not under something thick, it is there at so many places, and nowhere away for more than a share of the side. */
const leastDensity = 0.6;
const mostGap = 0.025;
/** So much of it is not under something thick. */
const leastVisible = 0.3;
/** Points are at most so far from their line, in pixels: paper is not quite flat. */
const reach = 2.5;
/** An end is at the edge, or at another line, within this share of the longer side. */
const endReach = 0.035;
/** So many lines are looked for in each direction. */
const mostSegments = 120;
/** Ink that departs by so much more than the line is a pen's, over it. */
const penOverLine = 1.6;

/** The ink without its printed lines; the same where there are none. */
export function withoutLines(ink: Ink): Ink {
  const along: Grid = ink;
  const across = transposed(along);
  const [horizontal, vertical] = printed(segmentsOf(along, ink.least), segmentsOf(across, ink.least), ink);
  if (horizontal.length + vertical.length === 0) return ink;
  const rows = { ...along, values: along.values.slice() };
  for (const segment of horizontal) erase(rows, segment, ink.least);
  const columns = transposed(rows);
  for (const segment of vertical) erase(columns, segment, ink.least);
  return { ...ink, values: transposed(columns).values };
}

function transposed({ width, height, values }: Grid): Grid {
  const turned = new Float32Array(values.length);
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) turned[x * height + y] = values[y * width + x]!;
  return { width: height, height: width, values: turned };
}

/** Of each column, from the top. */
function pointsOf({ width, height, values }: Grid, least: number): Point[][] {
  const most = Math.max(2, mostThickness * Math.max(width, height));
  return Array.from({ length: width }, (_, x) => {
    const points: Point[] = [];
    for (let y = 0; y < height; y++) {
      let [mass, moment, peak, end] = [0, 0, 0, y];
      for (let value = values[end * width + x]!; end < height && value > least; value = values[++end * width + x]!) {
        mass += value;
        moment += value * end;
        peak = Math.max(peak, value);
      }
      if (end > y && end - y <= most) points.push({ x, y: moment / mass, thickness: end - y, peak });
      y = end;
    }
    return points;
  });
}

/** Votes of points for lines: a slope, and where the line crosses the middle column. */
class Votes {
  readonly #slopes: readonly number[];
  readonly #middle: number;
  readonly #offset: number;
  readonly #bins: number;
  readonly #counts: Int32Array;

  constructor({ width, height }: Grid) {
    // Neighbouring slopes differ by one pixel at the ends.
    const steps = Math.ceil((mostSlope * width) / 2);
    this.#slopes = Array.from({ length: 2 * steps + 1 }, (_, i) => ((i - steps) / Math.max(1, steps)) * mostSlope);
    this.#middle = width / 2;
    this.#offset = Math.ceil(mostSlope * this.#middle) + 1;
    this.#bins = height + 2 * this.#offset + 1;
    this.#counts = new Int32Array(this.#slopes.length * this.#bins);
  }

  add({ x, y }: Point, vote: 1 | -1): void {
    this.#slopes.forEach((slope, i) => {
      const bin = i * this.#bins + this.#offset + Math.round(y - slope * (x - this.#middle));
      this.#counts[bin] = this.#counts[bin]! + vote;
    });
  }

  /** The line with the most votes, its own and those beside it. */
  best(): { votes: number; start: number; slope: number } {
    let [most, best] = [0, 0];
    for (let bin = 1; bin < this.#counts.length - 1; bin++) {
      // Of equal sums the one with the most in its middle.
      const votes = this.#counts[bin - 1]! + 1.01 * this.#counts[bin]! + this.#counts[bin + 1]!;
      if (votes > most) [most, best] = [votes, bin];
    }
    const slope = this.#slopes[Math.floor(best / this.#bins)] ?? 0;
    return { votes: most, slope, start: (best % this.#bins) - this.#offset - slope * this.#middle };
  }
}

function segmentsOf(grid: Grid, least: number): Segment[] {
  const columns = pointsOf(grid, least);
  const votes = new Votes(grid);
  for (const point of columns.flat()) votes.add(point, 1);
  const leastPoints = leastLength * leastDensity * Math.max(grid.width, grid.height);
  const segments: Segment[] = [];
  for (let round = 0; round < mostSegments; round++) {
    const line = votes.best();
    if (line.votes < leastPoints) break;
    const rough = stretchOn(grid, columns, line, least);
    const stretch = rough.length === 0 ? rough : stretchOn(grid, columns, lineThrough(rough), least);
    if (isLong(stretch, grid)) segments.push(segmentOf(stretch));
    // Where there is no line, none is looked for again.
    for (const point of isLong(stretch, grid) ? stretch : pointsOn(columns, line)) {
      const column = columns[point.x]!;
      column.splice(column.indexOf(point), 1);
      votes.add(point, -1);
    }
  }
  return segments;
}

function isLong(points: readonly Point[], { width, height }: Grid): boolean {
  const { from, to, thickness } = segmentOf(points);
  return to - from >= Math.max(leastLength * Math.max(width, height), leastElongation * thickness);
}

/** In each column the nearest. */
function pointsOn(columns: readonly (readonly Point[])[], { start, slope }: { start: number; slope: number }): Point[] {
  return columns.flatMap((points, x) => {
    const away = (point: Point): number => Math.abs(point.y - start - slope * x);
    const nearest = points.reduce<Point | null>(
      (best, point) => (best && away(best) <= away(point) ? best : point),
      null,
    );
    return nearest !== null && away(nearest) <= reach ? [nearest] : [];
  });
}

/** The points of the longest stretch of a line: what is under something thick may be there, and is no gap. */
function stretchOn(
  { width, height, values }: Grid,
  columns: readonly (readonly Point[])[],
  line: { start: number; slope: number },
  least: number,
): Point[] {
  const points = pointsOn(columns, line);
  const isPoint = new Set(points.map(({ x }) => x));
  const isThick = (x: number): boolean => {
    const y = Math.round(line.start + line.slope * x);
    return y >= 0 && y < height && values[y * width + x]! > least;
  };
  const most = Math.max(3, mostGap * Math.max(width, height));
  let [best, current, missing, gap]: [Point[], Point[], number, number] = [[], [], 0, 0];
  const close = (): void => {
    const dense = current.length >= leastDensity * (current.length + missing);
    if (dense && current.length >= leastVisible * lengthOf(current) && lengthOf(current) > lengthOf(best))
      best = current;
    [current, missing, gap] = [[], 0, 0];
  };
  let next = 0;
  for (let x = 0; x < width; x++) {
    if (isPoint.has(x)) {
      // The gap is one of the line only where it goes on behind it.
      missing += current.length === 0 ? 0 : gap;
      current.push(points[next++]!);
      gap = 0;
    } else if (!isThick(x) && ++gap > most) close();
  }
  close();
  return withoutStragglers(withoutStragglers(best, most).reverse(), most).reverse();
}

/** Without what noise adds at the end: points in less than half of the columns before it. */
function withoutStragglers(points: readonly Point[], columns: number): Point[] {
  let end = points.length;
  const isStraggler = (last: Point): boolean =>
    points.slice(0, end).filter(({ x }) => Math.abs(x - last.x) < columns).length < columns / 2;
  while (end > 0 && isStraggler(points[end - 1]!)) end--;
  return points.slice(0, end);
}

function lengthOf(points: readonly Point[]): number {
  return points.length === 0 ? 0 : points.at(-1)!.x - points[0]!.x + 1;
}

/** By least squares. */
function lineThrough(points: readonly Point[]): { start: number; slope: number } {
  const count = Math.max(1, points.length);
  const meanX = points.reduce((sum, { x }) => sum + x, 0) / count;
  const meanY = points.reduce((sum, { y }) => sum + y, 0) / count;
  const spread = points.reduce((sum, { x }) => sum + (x - meanX) ** 2, 0);
  const slope = points.reduce((sum, { x, y }) => sum + (x - meanX) * (y - meanY), 0) / Math.max(spread, 1e-9);
  return { slope, start: meanY - slope * meanX };
}

function segmentOf(points: readonly Point[]): Segment {
  const [from, to] = [points[0]?.x ?? 0, points.at(-1)?.x ?? 0];
  const thickness = median(points.map((point) => point.thickness));
  const level = median(points.map(({ peak }) => peak));
  return { ...lineThrough(points), from, to, thickness, level };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;
}

/** Of the segments in both directions those whose ends hold: at the edge, or at one of the other direction whose ends hold. */
function printed(
  horizontal: readonly Segment[],
  vertical: readonly Segment[],
  { width, height }: Grid,
): [horizontal: readonly Segment[], vertical: readonly Segment[]] {
  const near = endReach * Math.max(width, height);
  let [kept, crossing] = [horizontal, vertical];
  for (;;) {
    const [before, beforeCrossing] = [kept, crossing];
    kept = kept.filter((segment) => bothEndsHold(segment, { width, height }, beforeCrossing, near));
    crossing = crossing.filter((segment) => bothEndsHold(segment, { width: height, height: width }, before, near));
    if (kept.length === before.length && crossing.length === beforeCrossing.length) return [kept, crossing];
  }
}

function bothEndsHold(
  segment: Segment,
  { width, height }: { width: number; height: number },
  others: readonly Segment[],
  near: number,
): boolean {
  return [segment.from, segment.to].every((x) => {
    const y = segment.start + segment.slope * x;
    if (isNearEdge(x, width, near) || isNearEdge(y, height, near)) return true;
    return others.some((other) => {
      const meets = Math.abs(other.start + other.slope * y - x) <= near;
      return meets && y >= other.from - near && y <= other.to + near;
    });
  });
}

function isNearEdge(position: number, size: number, near: number): boolean {
  return position <= near || position >= size - 1 - near;
}

/** Replaces what the line covers, column by column, by what is on its two sides. Its ends are drawn out a little: they fade. */
function erase({ width, height, values }: Grid, segment: Segment, least: number): void {
  const margin = endReach * Math.max(width, height);
  const half = Math.ceil(segment.thickness / 2) + 1;
  const at = (x: number, y: number): number =>
    x < 0 || y < 0 || x >= width || y >= height ? 0 : values[y * width + x]!;
  const from = Math.max(0, Math.round(segment.from - margin));
  const to = Math.min(width - 1, Math.round(segment.to + margin));
  const rows: { x: number; top: number; bottom: number; above: number; below: number }[] = [];
  for (let x = from; x <= to; x++) {
    const middle = middleAt(x, segment, at);
    let [top, bottom] = [middle, middle];
    while (middle - top < half && at(x, top - 1) > least) top--;
    while (bottom - middle < half && at(x, bottom + 1) > least) bottom++;
    const [above, below] = [top - 1, bottom + 1].map((y) => Math.max(at(x - 1, y), at(x, y), at(x + 1, y)));
    rows.push({ x, top, bottom, above: above!, below: below! });
  }
  for (const { x, top, bottom, above, below } of rows) {
    for (let y = Math.max(0, top); y <= Math.min(height - 1, bottom); y++) {
      const value = at(x, y);
      if (value > penOverLine * segment.level) continue;
      const share = (y - top + 1) / (bottom - top + 2);
      values[y * width + x] = Math.min(value, (1 - share) * above + share * below);
    }
  }
}

/** Where the line is in that column: the strongest pixel near its fitted place. */
function middleAt(x: number, { start, slope, level }: Segment, at: (x: number, y: number) => number): number {
  const fitted = Math.round(start + slope * x);
  let best = fitted;
  for (const y of [fitted - 1, fitted + 1, fitted - 2, fitted + 2]) {
    if (Math.min(at(x, y), level) > Math.min(at(x, best), level)) best = y;
  }
  return best;
}

/** Morphology of grey pictures with square windows. Portable: nothing of Node here. */
import type { GreyPicture } from '../grey.js';

/**
 * Morphological closing: at each pixel the least of the greatest values of all windows that cover it. What is darker
 * than its surroundings and narrower than the window goes. A window may hang over the picture's edge, so what tapers there stays.
 * @param radius half of a window's side, without its middle
 */
export function closed({ width, height, pixels }: GreyPicture, radius: number): Float32Array {
  const [paddedWidth, paddedHeight] = [width + 2 * radius, height + 2 * radius];
  const padded = new Float32Array(paddedWidth * paddedHeight).fill(-Infinity);
  for (let y = 0; y < height; y++) {
    padded.set(pixels.subarray(y * width, (y + 1) * width), (y + radius) * paddedWidth + radius);
  }
  const greatest = extremes(extremes(padded, paddedWidth, radius, Math.max), paddedHeight, radius, Math.max);
  const least = extremes(extremes(greatest, paddedWidth, radius, Math.min), paddedHeight, radius, Math.min);
  const result = new Float32Array(width * height);
  for (let y = 0; y < height; y++) {
    const start = (y + radius) * paddedWidth + radius;
    result.set(least.subarray(start, start + width), y * width);
  }
  return result;
}

/** The greatest, or the least, value within `radius` along lines of `length` values; transposes, so twice gives a square. */
function extremes(
  values: Float32Array,
  length: number,
  radius: number,
  pick: (a: number, b: number) => number,
): Float32Array {
  const lines = values.length / length;
  const neutral = pick(-Infinity, Infinity) === Infinity ? -Infinity : Infinity;
  const size = 2 * radius + 1;
  const padded = length + 2 * radius;
  const result = new Float32Array(values.length);
  const [forward, backward] = [new Float32Array(padded), new Float32Array(padded)];
  const at = (line: number, i: number): number =>
    i < radius || i >= radius + length ? neutral : values[line * length + i - radius]!;
  // Source: M. van Herk, A fast algorithm for local minimum and maximum filters, 1992.
  for (let line = 0; line < lines; line++) {
    for (let i = 0; i < padded; i++) {
      forward[i] = i % size === 0 ? at(line, i) : pick(forward[i - 1]!, at(line, i));
      const j = padded - 1 - i;
      backward[j] = j % size === size - 1 || j === padded - 1 ? at(line, j) : pick(backward[j + 1]!, at(line, j));
    }
    for (let i = 0; i < length; i++) result[i * lines + line] = pick(backward[i]!, forward[i + size - 1]!);
  }
  return result;
}

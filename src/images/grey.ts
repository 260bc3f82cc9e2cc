/** Pictures as grey values. Portable: nothing of Node here. */

export interface GreyPicture {
  readonly width: number;
  readonly height: number;
  /** [height][width], 0 (black) to 255 (white). */
  readonly pixels: Uint8Array | Float32Array;
}

/**
 * Grey values over a background for what is transparent: where the picture's edge is, that is what the digit is drawn on, and
 * it becomes black or white, whichever is farther from what is drawn; else it becomes as the opaque edge.
 * @param rgba uint8 [height][width][4]
 */
export function greyOf(rgba: Uint8Array | Uint8ClampedArray, width: number, height: number): GreyPicture {
  const drawn = meanOf(rgba, width * height, (i) => i);
  const edge = meanOf(rgba, 2 * (width + height), (i) => edgePixel(i, width, height));
  const contrasting = drawn.grey < 128 ? 255 : 0;
  const background = edge.opacity < 0.5 ? contrasting : edge.grey;
  const pixels = new Float32Array(width * height);
  for (let at = 0; at < pixels.length; at++) {
    const opacity = rgba[4 * at + 3]! / 255;
    pixels[at] = background + opacity * (luma(rgba, 4 * at) - background);
  }
  return { width, height, pixels };
}

/** The pixels of the four sides one after the other. */
function edgePixel(i: number, width: number, height: number): number {
  if (i < 2 * width) return i < width ? i : (height - 2) * width + i;
  const j = i - 2 * width;
  return j < height ? j * width : (j - height) * width + width - 1;
}

/** Of some pixels: their mean opacity, and their mean grey as far as they are opaque. */
function meanOf(
  rgba: Uint8Array | Uint8ClampedArray,
  count: number,
  pixelAt: (i: number) => number,
): { grey: number; opacity: number } {
  let [sum, opacity] = [0, 0];
  for (let i = 0; i < count; i++) {
    const at = 4 * pixelAt(i);
    sum += luma(rgba, at) * rgba[at + 3]!;
    opacity += rgba[at + 3]!;
  }
  return { grey: opacity === 0 ? 0 : sum / opacity, opacity: opacity / (255 * count) };
}

/** Source: ITU-R BT.601. */
function luma(rgba: Uint8Array | Uint8ClampedArray, at: number): number {
  return 0.299 * rgba[at]! + 0.587 * rgba[at + 1]! + 0.114 * rgba[at + 2]!;
}

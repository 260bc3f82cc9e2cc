/** Affine transforms of images, by the operations of the wasm kernel `loadTransformed` and to the same bits, in plain loops. */
import { imageSize } from '../../../shared/model/network.js';

/**
 * Pixel (x, y) of the result is taken from (a x + (b y + c), d x + (e y + f)), between pixels by bilinear interpolation. Beyond the
 * image's edge all is 0.
 * @param image [784], pixels 0..255
 * @param transform float32: a, b, c, d, e, f
 * @param target float32 [784]
 */
export function transformImage(image: Uint8Array, transform: Float32Array, target: Float32Array): void {
  const { fround } = Math;
  const [a, b, c, d, e, f] = transform as unknown as readonly [number, number, number, number, number, number];
  for (let y = 0; y < imageSize; y++) {
    const [lineU, lineV] = [fround(fround(b * y) + c), fround(fround(e * y) + f)];
    for (let x = 0; x < imageSize; x++) {
      const [u, v] = [fround(fround(a * x) + lineU), fround(fround(d * x) + lineV)];
      const [column, row] = [Math.floor(u), Math.floor(v)];
      const [right, down] = [fround(u - column), fround(v - row)];
      const between = (line: number): number => {
        const left = fround(pixelAt(image, line, column) * fround(1 - right));
        return fround(left + fround(pixelAt(image, line, column + 1) * right));
      };
      const upper = fround(between(row) * fround(1 - down));
      target[y * imageSize + x] = upper + fround(between(row + 1) * down);
    }
  }
}

function pixelAt(image: Uint8Array, row: number, column: number): number {
  const inside = row >= 0 && row < imageSize && column >= 0 && column < imageSize;
  return inside ? image[row * imageSize + column]! : 0;
}

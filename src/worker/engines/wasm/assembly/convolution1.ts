// conv1, directly: one input channel, so there is nothing for Winograd to save.
//
//   Y[y][x][n] = relu(bias[n] + sum over the nine taps (i, j) of image[y + i][x + j] W[n][i][j])
//
// Weights are packed [64 / 16][10][16]: nine taps in row-major order, then the bias. Its gradient has the same shape: the
// bias is a tenth tap, whose image is 1 everywhere.
//
// Of the activation only its signs are kept for the way back, a bit each: uint16 [26][26][4] for 64 channels, bit i of a word
// for channel i of a panel. The activation and its gradient are there a panel at a time.

import { conv1Line2x16, conv1Line5x16, conv1Pixels2x16, conv1Pixels4x16 } from './generated/tiles';
import { wide } from './width';

const side: usize = 28;
const outputSide: usize = 26;
const panels: usize = 4;

/** uint8 [784] to float32 [784], without scaling. */
export function loadImage(source: usize, target: usize): void {
  for (let i: usize = 0; i < side * side; i += 4) {
    const words = i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(v128.load32_zero(source + i)));
    v128.store(target + (i << 2), f32x4.convert_i32x4_u(words));
  }
}

/**
 * An affine transform of a uint8 image [784] into float32 [784], without scaling. `transform` is float32 [6]: pixel (x, y) is taken
 * from (a x + (b y + c), d x + (e y + f)), between pixels by bilinear interpolation. Beyond the image's edge all is 0.
 */
export function loadTransformed(source: usize, transform: usize, target: usize): void {
  const a = load<f32>(transform), b = load<f32>(transform, 4), c = load<f32>(transform, 8);
  const d = load<f32>(transform, 12), e = load<f32>(transform, 16), f = load<f32>(transform, 20);
  for (let y = 0; y < <i32>side; y++) {
    const lineU = b * <f32>y + c, lineV = e * <f32>y + f;
    for (let x = 0; x < <i32>side; x++) {
      const u = a * <f32>x + lineU, v = d * <f32>x + lineV;
      const left = floor<f32>(u), top = floor<f32>(v);
      const right = u - left, down = v - top;
      const column = <i32>left, row = <i32>top;
      const upper = pixelAt(source, row, column) * (1 - right) + pixelAt(source, row, column + 1) * right;
      const lower = pixelAt(source, row + 1, column) * (1 - right) + pixelAt(source, row + 1, column + 1) * right;
      store<f32>(target, upper * (1 - down) + lower * down);
      target += 4;
    }
  }
}

// @ts-ignore: decorator
@inline
function pixelAt(image: usize, row: i32, column: i32): f32 {
  const inside = <u32>row < <u32>side && <u32>column < <u32>side;
  return inside ? <f32>load<u8>(image + <usize>(row * <i32>side + column)) : 0;
}

/** Of one panel: float32 image [28][28] to relu(conv1) [26][26][16], and to the signs of that. */
export function conv1Forward(image: usize, weights: usize, output: usize, signs: usize): void {
  // The last tile of a line overlaps the one before it where lines are no multiple of it.
  const step: usize = wide ? 4 : 2, last = outputSide - step;
  for (let y: usize = 0; y < outputSide; y++) {
    for (let x: usize = 0; x < outputSide; x += step) {
      const column = min(x, last), pixel = y * outputSide + column;
      const from = image + (y * side + column) * 4, target = output + (pixel << 6), bits = signs + pixel * panels * 2;
      if (wide) conv1Pixels4x16(from, weights, target, bits);
      else conv1Pixels2x16(from, weights, target, bits);
    }
  }
}

/**
 * Of one panel: adds one image's weight and bias gradient to `gradient` [10][16].
 * @param signs of relu(conv1) of the image: where it is 0 nothing flows back
 * @param delta gradient of that activation, [26][26][16]; masked in place
 */
export function conv1Gradient(image: usize, signs: usize, delta: usize, gradient: usize): void {
  for (let y: usize = 0; y < outputSide; y++) {
    const d = delta + ((y * outputSide) << 6);
    maskLine(d, signs + y * outputSide * panels * 2);
    if (wide) conv1Line5x16(image + y * (side * 4), d, gradient);
    else conv1Line2x16(image + y * (side * 4), d, gradient);
  }
}

// @ts-ignore: decorator
@inline
function maskLine(delta: usize, signs: usize): void {
  const end = signs + outputSide * panels * 2;
  for (; signs < end; signs += panels * 2) {
    const word = i32x4.splat(<i32>load<u16>(signs));
    const x0 = masked(v128.load(delta), word, i32x4(1, 2, 4, 8));
    const x1 = masked(v128.load(delta, 16), word, i32x4(16, 32, 64, 128));
    const x2 = masked(v128.load(delta, 32), word, i32x4(256, 512, 1024, 2048));
    const x3 = masked(v128.load(delta, 48), word, i32x4(4096, 8192, 16384, 32768));
    v128.store(delta, x1, 16);
    v128.store(delta, x0);
    v128.store(delta, x3, 48);
    v128.store(delta, x2, 32);
    delta += 64;
  }
}

// @ts-ignore: decorator
@inline
function masked(values: v128, word: v128, bits: v128): v128 {
  return v128.and(values, i32x4.eq(v128.and(word, bits), bits));
}

// conv1, directly: one input channel, so there is nothing for Winograd to save.
//
//   Y[y][x][n] = relu(bias[n] + sum over the nine taps (i, j) of image[y + i][x + j] W[n][i][j])
//
// Weights are packed [64 / 16][10][16]: nine taps in row-major order, then the bias. Its gradient has the same shape: the
// bias is a tenth tap over an image of ones.
//
// Of the activation only its signs are kept for the way back, a bit each: uint16 [26][26][4] for 64 channels, bit i of a word
// for channel i of a panel.

const side: usize = 28;
const outputSide: usize = 26;
const channels: usize = 64;
const panels: usize = channels / 16;
const taps: usize = 10;

/** uint8 [784] to float32 [784], without scaling. */
export function loadImage(source: usize, target: usize): void {
  for (let i: usize = 0; i < side * side; i += 4) {
    const words = i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(v128.load32_zero(source + i)));
    v128.store(target + (i << 2), f32x4.convert_i32x4_u(words));
  }
}

/** float32 image [28][28] to relu(conv1) [26][26][64], and to the signs of that. */
export function conv1Forward(image: usize, weights: usize, output: usize, signs: usize): void {
  for (let panel: usize = 0; panel < panels; panel++) {
    const w = weights + panel * (taps * 64);
    for (let y: usize = 0; y < outputSide; y++) {
      let x = image + y * (side * 4);
      let target = output + (y * outputSide * channels + panel * 16) * 4;
      let bits = signs + (y * outputSide * panels + panel) * 2;
      for (let pair: usize = 0; pair < outputSide / 2; pair++) {
        conv1Tile(x, w, target, bits);
        x += 8;
        target += 2 * channels * 4;
        bits += 2 * panels * 2;
      }
    }
  }
}

// @ts-ignore: decorator
@inline
function conv1Tile(image: usize, w: usize, target: usize, bits: usize): void {
  let c00 = v128.load(w, 576), c01 = v128.load(w, 592), c02 = v128.load(w, 608), c03 = v128.load(w, 624);
  let c10 = c00, c11 = c01, c12 = c02, c13 = c03;
  let x = image, b = w;
  for (let row = 0; row < 3; row++) {
    const end = x + 12;
    do {
      const x0 = v128.load32_splat(x), x1 = v128.load32_splat(x, 4);
      const b0 = v128.load(b), b1 = v128.load(b, 16), b2 = v128.load(b, 32), b3 = v128.load(b, 48);
      c00 = f32x4.add(c00, f32x4.mul(x0, b0)); c01 = f32x4.add(c01, f32x4.mul(x0, b1));
      c02 = f32x4.add(c02, f32x4.mul(x0, b2)); c03 = f32x4.add(c03, f32x4.mul(x0, b3));
      c10 = f32x4.add(c10, f32x4.mul(x1, b0)); c11 = f32x4.add(c11, f32x4.mul(x1, b1));
      c12 = f32x4.add(c12, f32x4.mul(x1, b2)); c13 = f32x4.add(c13, f32x4.mul(x1, b3));
      x += 4;
      b += 64;
    } while (x != end);
    x += (side - 3) * 4;
  }
  const zero = f32x4.splat(0);
  v128.store(target, f32x4.max(c00, zero)); v128.store(target, f32x4.max(c01, zero), 16);
  v128.store(target, f32x4.max(c02, zero), 32); v128.store(target, f32x4.max(c03, zero), 48);
  v128.store(target, f32x4.max(c10, zero), 256); v128.store(target, f32x4.max(c11, zero), 272);
  v128.store(target, f32x4.max(c12, zero), 288); v128.store(target, f32x4.max(c13, zero), 304);
  store<u16>(bits, <u16>signsOf(c00, c01, c02, c03));
  store<u16>(bits, <u16>signsOf(c10, c11, c12, c13), 2 * panels);
}

/** Bit i: whether value i of 16 is above 0. */
// @ts-ignore: decorator
@inline
function signsOf(x0: v128, x1: v128, x2: v128, x3: v128): i32 {
  const zero = f32x4.splat(0);
  const low = i16x8.narrow_i32x4_s(f32x4.gt(x0, zero), f32x4.gt(x1, zero));
  const high = i16x8.narrow_i32x4_s(f32x4.gt(x2, zero), f32x4.gt(x3, zero));
  return i8x16.bitmask(i8x16.narrow_i16x8_s(low, high));
}

/**
 * Adds one image's weight and bias gradient to `gradient` [64 / 16][10][16].
 * @param ones float32 [784], all 1: what the bias is multiplied by
 * @param signs of relu(conv1) of the image: where it is 0 nothing flows back
 * @param delta gradient of that activation, [26][26][64]; masked in place
 */
export function conv1Gradient(image: usize, ones: usize, signs: usize, delta: usize, gradient: usize): void {
  const rowBytes = outputSide * channels * 4;
  for (let y: usize = 0; y < outputSide; y++) {
    const d = delta + y * rowBytes;
    maskRow(d, signs + y * outputSide * panels * 2);
    const offset = y * (side * 4);
    for (let panel: usize = 0; panel < panels; panel++) {
      const g = gradient + panel * (taps * 64), dPanel = d + panel * 64;
      conv1TapPair(image + offset, image + offset + 4, dPanel, g);
      conv1TapPair(image + offset + 8, image + offset + side * 4, dPanel, g + 128);
      conv1TapPair(image + offset + side * 4 + 4, image + offset + side * 4 + 8, dPanel, g + 256);
      conv1TapPair(image + offset + side * 8, image + offset + side * 8 + 4, dPanel, g + 384);
      conv1TapPair(image + offset + side * 8 + 8, ones, dPanel, g + 512);
    }
  }
}

// @ts-ignore: decorator
@inline
function maskRow(delta: usize, signs: usize): void {
  const end = signs + outputSide * panels * 2;
  for (; signs < end; signs += 2) {
    const word = i32x4.splat(<i32>load<u16>(signs));
    mask(delta, word, i32x4(1, 2, 4, 8));
    mask(delta + 16, word, i32x4(16, 32, 64, 128));
    mask(delta + 32, word, i32x4(256, 512, 1024, 2048));
    mask(delta + 48, word, i32x4(4096, 8192, 16384, 32768));
    delta += 64;
  }
}

// @ts-ignore: decorator
@inline
function mask(values: usize, word: v128, bits: v128): void {
  v128.store(values, v128.and(v128.load(values), i32x4.eq(v128.and(word, bits), bits)));
}

function conv1TapPair(x: usize, z: usize, d: usize, g: usize): void {
  let c00 = v128.load(g), c01 = v128.load(g, 16), c02 = v128.load(g, 32), c03 = v128.load(g, 48);
  let c10 = v128.load(g, 64), c11 = v128.load(g, 80), c12 = v128.load(g, 96), c13 = v128.load(g, 112);
  const end = x + outputSide * 4;
  do {
    const x0 = v128.load32_splat(x), x1 = v128.load32_splat(z);
    const b0 = v128.load(d), b1 = v128.load(d, 16), b2 = v128.load(d, 32), b3 = v128.load(d, 48);
    c00 = f32x4.add(c00, f32x4.mul(x0, b0)); c01 = f32x4.add(c01, f32x4.mul(x0, b1));
    c02 = f32x4.add(c02, f32x4.mul(x0, b2)); c03 = f32x4.add(c03, f32x4.mul(x0, b3));
    c10 = f32x4.add(c10, f32x4.mul(x1, b0)); c11 = f32x4.add(c11, f32x4.mul(x1, b1));
    c12 = f32x4.add(c12, f32x4.mul(x1, b2)); c13 = f32x4.add(c13, f32x4.mul(x1, b3));
    x += 4;
    z += 4;
    d += channels * 4;
  } while (x != end);
  v128.store(g, c00); v128.store(g, c01, 16); v128.store(g, c02, 32); v128.store(g, c03, 48);
  v128.store(g, c10, 64); v128.store(g, c11, 80); v128.store(g, c12, 96); v128.store(g, c13, 112);
}

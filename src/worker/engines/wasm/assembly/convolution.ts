// 3x3 convolutions by Winograd's minimal filtering F(m, 3) (Lavin and Gray 2015), in two dimensions.
//
//   forward            Y = AT [ sum over k of (G g G^T) * (BT d B) ] A       * is element by element, at n x n points, n = m + 2
//   weight gradient    dg = G^T [ sum over tiles of (BT d B) * dM ] G,       dM = A dY AT
//   data gradient      dd = B [ sum over outputs of (G g G^T) * dM ] BT
//
// The backward pass is the exact adjoint of the forward one, in the same tiles. Between the transforms stand plain matrix
// products (products.ts), one for each point. Planes are the points: V (inputs), M and dM (outputs) are
// [n * n][channels / 16][tiles][16]; a plane is a few bytes longer than its data so that the planes of one tile do not all
// fall into the same cache set. Activations are [rows][height][width][channels].
//
// Each function handles one block of rows and is instantiated for each tile size, so that strides are constants.
import {
  inputAdjoint, inputTransform, outputAdjoint, outputTransform, weightAdjoint, weightTransform,
} from './generated/transforms';

// The transforms take eight channels at a time, two vectors side by side; what they stage in a scratch is [point][8]. Of two
// vectors both are loaded before either is stored, and the higher is stored first: so V8 can make one of the two.

/** Where staging begins in a scratch: behind n * n + m * m times eight floats of the largest tile. */
const stagingOffset: usize = 4096;

// The planes lie in pages of their own, so writing a tile's points one by one would miss the translation buffer each time.
// A line of tiles is gathered first, [point][tile][16], and then moved to the planes, a cache line or more at a time.

/** Moves a line of `tiles` tiles of one panel from `staged` to its planes. */
// @ts-ignore: decorator
@inline
function spread(staged: usize, points: i32, tiles: i32, target: usize, plane: usize): void {
  const bytes = <usize>tiles << 6;
  for (let point = 0; point < points; point++) {
    for (let i: usize = 0; i < bytes; i += 64) {
      const x0 = v128.load(staged + i), x1 = v128.load(staged + i, 16);
      const x2 = v128.load(staged + i, 32), x3 = v128.load(staged + i, 48);
      v128.store(target + i, x1, 16);
      v128.store(target + i, x0);
      v128.store(target + i, x3, 48);
      v128.store(target + i, x2, 32);
    }
    staged += bytes;
    target += plane;
  }
}

/**
 * V = BT d B of one panel, for the tiles of `rows` rows. `scratch` holds, as in every function below, what one tile needs,
 * n * n and m * m times eight floats, and from `stagingOffset` on a line of tiles.
 */
// @ts-ignore: decorator
@inline
export function transformInput(
  m: i32, side: i32, channels: i32, x: usize, rows: i32, v: usize, plane: usize, scratch: usize,
): void {
  const n = m + 2, tiles = (side - 2) / m, point = <usize>tiles << 6;
  const pixel = <usize>channels << 2, line = pixel * side;
  const staged = scratch + stagingOffset;
  for (let row = 0; row < rows; row++) {
    for (let ty = 0; ty < tiles; ty++) {
      const source = x + <usize>(row * side + ty * m) * line;
      for (let tx = 0; tx < tiles; tx++) {
        const d = source + <usize>(tx * m) * pixel, tile = staged + (<usize>tx << 6);
        for (let c: usize = 0; c < 64; c += 32) {
          for (let j = 0; j < n; j++) inputTransform(m, d + <usize>j * pixel + c, line, scratch + (j << 5), n << 5);
          for (let i = 0; i < n; i++) {
            inputTransform(m, scratch + ((i * n) << 5), 32, tile + <usize>(i * n) * point + c, point);
          }
        }
      }
      spread(staged, n * n, tiles, v + (<usize>((row * tiles + ty) * tiles) << 6), plane);
    }
  }
}

/** Y = AT M A of one tile and eight channels, into [m][m][8] at `result`. */
// @ts-ignore: decorator
@inline
function tileOutput(m: i32, source: usize, plane: usize, scratch: usize, result: usize): void {
  const n = m + 2;
  for (let j = 0; j < n; j++) outputTransform(m, source + <usize>j * plane, <usize>n * plane, scratch + (j << 5), n << 5);
  for (let i = 0; i < m; i++) outputTransform(m, scratch + ((i * n) << 5), 32, result + ((i * m) << 5), 32);
}

/** Of one panel: y = relu(AT M A + bias), and for each value an int8 at `open`: -1 where it is above 0, else 0. */
// @ts-ignore: decorator
@inline
export function transformOutput(
  m: i32, side: i32, channels: i32, source: usize, plane: usize, bias: usize, rows: i32, y: usize, open: usize,
  scratch: usize,
): void {
  const n = m + 2, tiles = side / m, result = scratch + ((n * n) << 5);
  const zero = f32x4.splat(0);
  for (let row = 0; row < rows; row++) {
    for (let ty = 0; ty < tiles; ty++) {
      for (let tx = 0; tx < tiles; tx++) {
        const tile = source + (<usize>((row * tiles + ty) * tiles + tx) << 6);
        for (let c = 0; c < 16; c += 8) {
          tileOutput(m, tile + (<usize>c << 2), plane, scratch, result);
          const b0 = v128.load(bias + (<usize>c << 2)), b1 = v128.load(bias + (<usize>c << 2), 16);
          for (let i = 0; i < m; i++) {
            let at = <usize>((row * side + ty * m + i) * side + tx * m) * channels + c;
            for (let j = 0; j < m; j++) {
              const sum = result + ((i * m + j) << 5);
              const y0 = f32x4.add(v128.load(sum), b0), y1 = f32x4.add(v128.load(sum, 16), b1);
              v128.store(y + (at << 2), f32x4.max(y1, zero), 16);
              v128.store(y + (at << 2), f32x4.max(y0, zero));
              storeBytes(open + at, f32x4.gt(y0, zero), f32x4.gt(y1, zero));
              at += channels;
            }
          }
        }
      }
    }
  }
}

/**
 * Of one panel: pooled = 2x2 max of relu(AT M A + bias), and for each pooled value the position 0..3 (row-major) of its first maximum as
 * int8, or -1 where relu is off and nothing flows back.
 */
// @ts-ignore: decorator
@inline
export function transformOutputPooled(
  m: i32, side: i32, channels: i32, source: usize, plane: usize, bias: usize, rows: i32, pooled: usize, argmax: usize,
  scratch: usize,
): void {
  const n = m + 2, tiles = side / m, result = scratch + ((n * n) << 5);
  const half = m / 2, pooledSide = side / 2;
  for (let row = 0; row < rows; row++) {
    for (let ty = 0; ty < tiles; ty++) {
      for (let tx = 0; tx < tiles; tx++) {
        const tile = source + (<usize>((row * tiles + ty) * tiles + tx) << 6);
        for (let c = 0; c < 16; c += 8) {
          tileOutput(m, tile + (<usize>c << 2), plane, scratch, result);
          for (let i = 0; i < half; i++) {
            for (let j = 0; j < half; j++) {
              const at = <usize>((row * pooledSide + ty * half + i) * pooledSide + tx * half + j) * channels + c;
              pool(result + ((i * 2 * m + j * 2) << 5), m << 5, bias + (<usize>c << 2), pooled + (at << 2), argmax + at);
            }
          }
        }
      }
    }
  }
}

/** Of eight channels: the values at y, beside it, `line` bytes below and beside that. */
// @ts-ignore: decorator
@inline
function pool(y: usize, line: usize, bias: usize, pooled: usize, argmax: usize): void {
  const zero = f32x4.splat(0), second = y + line;
  let best0 = v128.load(y), best1 = v128.load(y, 16);
  let place0 = i32x4.splat(0), place1 = place0;
  let next0 = v128.load(y, 32), next1 = v128.load(y, 48);
  let more0 = f32x4.gt(next0, best0), more1 = f32x4.gt(next1, best1);
  best0 = v128.bitselect(next0, best0, more0), best1 = v128.bitselect(next1, best1, more1);
  place0 = v128.bitselect(i32x4.splat(1), place0, more0), place1 = v128.bitselect(i32x4.splat(1), place1, more1);
  next0 = v128.load(second), next1 = v128.load(second, 16);
  more0 = f32x4.gt(next0, best0), more1 = f32x4.gt(next1, best1);
  best0 = v128.bitselect(next0, best0, more0), best1 = v128.bitselect(next1, best1, more1);
  place0 = v128.bitselect(i32x4.splat(2), place0, more0), place1 = v128.bitselect(i32x4.splat(2), place1, more1);
  next0 = v128.load(second, 32), next1 = v128.load(second, 48);
  more0 = f32x4.gt(next0, best0), more1 = f32x4.gt(next1, best1);
  best0 = v128.bitselect(next0, best0, more0), best1 = v128.bitselect(next1, best1, more1);
  place0 = v128.bitselect(i32x4.splat(3), place0, more0), place1 = v128.bitselect(i32x4.splat(3), place1, more1);
  best0 = f32x4.add(best0, v128.load(bias)), best1 = f32x4.add(best1, v128.load(bias, 16));
  place0 = v128.or(place0, f32x4.le(best0, zero)), place1 = v128.or(place1, f32x4.le(best1, zero));
  v128.store(pooled, f32x4.max(best1, zero), 16);
  v128.store(pooled, f32x4.max(best0, zero));
  storeBytes(argmax, place0, place1);
}

/** Eight int32 as int8. */
// @ts-ignore: decorator
@inline
function storeBytes(target: usize, low: v128, high: v128): void {
  const words = i16x8.narrow_i32x4_s(low, high);
  v128.store64_lane(target, i8x16.narrow_i16x8_s(words, words), 0);
}

/** dM = A dY AT of one tile and eight channels, from [m][m][8] at `delta` to points `point` bytes apart. */
// @ts-ignore: decorator
@inline
function tileOutputAdjoint(m: i32, delta: usize, scratch: usize, target: usize, point: usize): void {
  const n = m + 2;
  for (let j = 0; j < m; j++) outputAdjoint(m, delta + (j << 5), m << 5, scratch + (j << 5), m << 5);
  for (let i = 0; i < n; i++) outputAdjoint(m, scratch + ((i * m) << 5), 32, target + <usize>(i * n) * point, point);
}

/** dM of an output behind relu alone: `delta` flows back where `open` is -1. */
// @ts-ignore: decorator
@inline
export function adjointOutput(
  m: i32, side: i32, channels: i32, delta: usize, open: usize, rows: i32, dm: usize, plane: usize, panelBytes: usize,
  scratch: usize,
): void {
  const n = m + 2, tiles = side / m, tileDelta = scratch + ((n * n) << 5), point = <usize>tiles << 6;
  const staged = scratch + stagingOffset;
  for (let row = 0; row < rows; row++) {
    for (let ty = 0; ty < tiles; ty++) {
      const target = dm + (<usize>((row * tiles + ty) * tiles) << 6);
      for (let panel = 0; panel < channels / 16; panel++) {
        for (let tx = 0; tx < tiles; tx++) {
          const source = <usize>((row * side + ty * m) * side + tx * m) * channels + (panel << 4);
          for (let c: usize = 0; c < 16; c += 8) {
            for (let i = 0; i < m; i++) {
              let at = source + <usize>(i * side) * channels + c;
              for (let j = 0; j < m; j++) {
                const target = tileDelta + ((i * m + j) << 5), mask = v128.load8x8_s(open + at);
                const d0 = v128.and(v128.load(delta + (at << 2)), i32x4.extend_low_i16x8_s(mask));
                const d1 = v128.and(v128.load(delta + (at << 2), 16), i32x4.extend_high_i16x8_s(mask));
                v128.store(target, d1, 16);
                v128.store(target, d0);
                at += channels;
              }
            }
            tileOutputAdjoint(m, tileDelta, scratch, staged + (<usize>tx << 6) + (c << 2), point);
          }
        }
        spread(staged, n * n, tiles, target + <usize>panel * panelBytes, plane);
      }
    }
  }
}

/** dM of an output behind relu and a 2x2 max pool: the gradient of each pooled value goes to the position in `argmax`. */
// @ts-ignore: decorator
@inline
export function adjointOutputPooled(
  m: i32, side: i32, channels: i32, delta: usize, argmax: usize, rows: i32, dm: usize, plane: usize,
  panelBytes: usize, scratch: usize,
): void {
  const n = m + 2, tiles = side / m, tileDelta = scratch + ((n * n) << 5), point = <usize>tiles << 6;
  const half = m / 2, pooledSide = side / 2;
  const staged = scratch + stagingOffset;
  for (let row = 0; row < rows; row++) {
    for (let ty = 0; ty < tiles; ty++) {
      const target = dm + (<usize>((row * tiles + ty) * tiles) << 6);
      for (let panel = 0; panel < channels / 16; panel++) {
        for (let tx = 0; tx < tiles; tx++) {
          const source = <usize>((row * pooledSide + ty * half) * pooledSide + tx * half) * channels + (panel << 4);
          for (let c: usize = 0; c < 16; c += 8) {
            for (let i = 0; i < half; i++) {
              for (let j = 0; j < half; j++) {
                const at = source + <usize>((i * pooledSide + j) * channels) + c;
                unpool(delta + (at << 2), argmax + at, tileDelta + ((i * 2 * m + j * 2) << 5), m << 5);
              }
            }
            tileOutputAdjoint(m, tileDelta, scratch, staged + (<usize>tx << 6) + (c << 2), point);
          }
        }
        spread(staged, n * n, tiles, target + <usize>panel * panelBytes, plane);
      }
    }
  }
}

/** Of eight channels: to y, beside it, `line` bytes below and beside that. */
// @ts-ignore: decorator
@inline
function unpool(delta: usize, argmax: usize, y: usize, line: usize): void {
  const d0 = v128.load(delta), d1 = v128.load(delta, 16), places = v128.load8x8_s(argmax), second = y + line;
  const place0 = i32x4.extend_low_i16x8_s(places), place1 = i32x4.extend_high_i16x8_s(places);
  v128.store(y, v128.and(d1, i32x4.eq(place1, i32x4.splat(0))), 16);
  v128.store(y, v128.and(d0, i32x4.eq(place0, i32x4.splat(0))));
  v128.store(y, v128.and(d1, i32x4.eq(place1, i32x4.splat(1))), 48);
  v128.store(y, v128.and(d0, i32x4.eq(place0, i32x4.splat(1))), 32);
  v128.store(second, v128.and(d1, i32x4.eq(place1, i32x4.splat(2))), 16);
  v128.store(second, v128.and(d0, i32x4.eq(place0, i32x4.splat(2))));
  v128.store(second, v128.and(d1, i32x4.eq(place1, i32x4.splat(3))), 48);
  v128.store(second, v128.and(d0, i32x4.eq(place0, i32x4.splat(3))), 32);
}

/** Of one panel: x = B dV BT, tiles overlapping by two added up in tile order; x is written whole. */
// @ts-ignore: decorator
@inline
export function adjointInput(
  m: i32, side: i32, channels: i32, dv: usize, plane: usize, rows: i32, x: usize, scratch: usize,
): void {
  const n = m + 2, tiles = (side - 2) / m, result = scratch + ((n * n) << 5);
  const pixel = <usize>channels << 2, line = pixel * side;
  for (let row = 0; row < rows; row++) {
    const target = x + <usize>(row * side) * line;
    if (tiles > 1) clear(target, side * side, pixel);
    for (let ty = 0; ty < tiles; ty++) {
      for (let tx = 0; tx < tiles; tx++) {
        const tile = dv + (<usize>((row * tiles + ty) * tiles + tx) << 6);
        for (let c: usize = 0; c < 64; c += 32) {
          const corner = target + <usize>(ty * side + tx) * <usize>m * pixel + c;
          for (let j = 0; j < n; j++) {
            inputAdjoint(m, tile + c + <usize>j * plane, <usize>n * plane, scratch + (j << 5), n << 5);
          }
          for (let i = 0; i < n; i++) {
            const at = corner + <usize>i * line;
            if (tiles == 1) {
              inputAdjoint(m, scratch + ((i * n) << 5), 32, at, pixel);
            } else {
              inputAdjoint(m, scratch + ((i * n) << 5), 32, result, 32);
              for (let j = 0; j < n; j++) addPair(at + <usize>j * pixel, result + (j << 5));
            }
          }
        }
      }
    }
  }
}

/** Zeros in 16 channels of so many pixels. */
// @ts-ignore: decorator
@inline
function clear(x: usize, pixels: i32, pixel: usize): void {
  const zero = f32x4.splat(0);
  for (let i = 0; i < pixels; i++) {
    v128.store(x, zero, 16); v128.store(x, zero); v128.store(x, zero, 48); v128.store(x, zero, 32);
    x += pixel;
  }
}

// @ts-ignore: decorator
@inline
function addPair(x: usize, y: usize): void {
  const x0 = f32x4.add(v128.load(x), v128.load(y)), x1 = f32x4.add(v128.load(x, 16), v128.load(y, 16));
  v128.store(x, x1, 16);
  v128.store(x, x0);
}

// PyTorch keeps a filter's nine taps together; the kernels want one tap of four output channels in a vector. Four input
// channels have 36 taps, nine vectors for each output channel: both ways are 4 x 4 transposes.

/** Rows x0..x3 of a 4 x 4 matrix, `stride` bytes apart at `x`, to its columns at `y`, `step` bytes apart. */
// @ts-ignore: decorator
@inline
function transpose(x: usize, stride: usize, y: usize, step: usize): void {
  const x0 = v128.load(x), x1 = v128.load(x + stride), x2 = v128.load(x + 2 * stride), x3 = v128.load(x + 3 * stride);
  const a = v128.shuffle<f32>(x0, x1, 0, 4, 1, 5), b = v128.shuffle<f32>(x2, x3, 0, 4, 1, 5);
  const c = v128.shuffle<f32>(x0, x1, 2, 6, 3, 7), d = v128.shuffle<f32>(x2, x3, 2, 6, 3, 7);
  v128.store(y, v128.shuffle<f32>(a, b, 0, 1, 4, 5));
  v128.store(y + step, v128.shuffle<f32>(a, b, 2, 3, 6, 7));
  v128.store(y + 2 * step, v128.shuffle<f32>(c, d, 0, 1, 4, 5));
  v128.store(y + 3 * step, v128.shuffle<f32>(c, d, 2, 3, 6, 7));
}

/**
 * G g G^T for the 16 filters of one panel, from PyTorch's [16][inputs][3][3] at `w`: into U [n * n][inputs][16], and
 * transposed into columns `column`..`column + 16` of UT [inputs / 16][n * n][outputs][16]. `scratch` holds more than for one
 * tile: 36 + 3 n + 32 (n * n + 1) times eight floats.
 */
// @ts-ignore: decorator
@inline
export function transformWeights(
  m: i32, inputs: i32, outputs: i32, w: usize, u: usize, ut: usize, column: i32, scratch: usize,
): void {
  const n = m + 2, filter = <usize>inputs * 36, points = n * n;
  // All points of 16 x 16 weights wait here until whole cache lines go out: a point's lines are pages apart from the next
  // one's and fall into the same sets. Eight floats more than the points keep these results out of each other's.
  const spectrum = <usize>(points + 1) << 5, half = scratch + (36 << 5), results = half + ((3 * n) << 5);
  for (let k = 0; k < inputs; k += 16) {
    for (let o = 0; o < 16; o += 8) {
      for (let kk = 0; kk < 16; kk++) {
        const out = results + <usize>(kk * 2 + (o >> 3)) * spectrum, taps = scratch + (((kk & 3) * 9) << 5);
        if (!(kk & 3)) {
          const g = w + <usize>o * filter + <usize>(k + kk) * 36;
          for (let i: usize = 0; i < 9; i++) {
            transpose(g + (i << 4), filter, scratch + (i << 7), 32);
            transpose(g + 4 * filter + (i << 4), filter, scratch + (i << 7) + 16, 32);
          }
        }
        for (let j = 0; j < 3; j++) weightTransform(m, taps + (j << 5), 96, half + (j << 5), 96);
        for (let i = 0; i < n; i++) weightTransform(m, half + ((i * 3) << 5), 32, out + ((i * n) << 5), 32);
      }
    }
    for (let point = 0; point < points; point++) {
      const source = results + (<usize>point << 5), target = u + (<usize>(point * inputs + k) << 6);
      const t = ut + (<usize>(((k >> 4) * points + point) * outputs + column) << 6);
      for (let i: usize = 0; i < 32; i++) {
        const x0 = v128.load(source + i * spectrum), x1 = v128.load(source + i * spectrum, 16);
        v128.store(target + (i << 5), x1, 16);
        v128.store(target + (i << 5), x0);
      }
      for (let o: usize = 0; o < 4; o++) {
        for (let kk: usize = 0; kk < 4; kk++) {
          const block = source + (kk * 8 + (o >> 1)) * spectrum + ((o & 1) << 4);
          transpose(block, 2 * spectrum, t + (o << 8) + (kk << 4), 64);
        }
      }
    }
  }
}

/** PyTorch's [16][inputs][3][3] at `w` = G^T dU G / divisor, from dU [n * n][inputs][16]. */
// @ts-ignore: decorator
@inline
export function adjointWeights(m: i32, inputs: i32, du: usize, divisor: f32, w: usize, scratch: usize): void {
  const n = m + 2, filter = <usize>inputs * 36, plane = <usize>inputs << 6;
  const half = scratch + (36 << 5), by = f32x4.splat(divisor);
  for (let k = 0; k < inputs; k += 4) {
    for (let o = 0; o < 16; o += 8) {
      for (let kk = 0; kk < 4; kk++) {
        const source = du + (<usize>(k + kk) << 6) + (<usize>o << 2), taps = scratch + ((kk * 9) << 5);
        for (let j = 0; j < n; j++) weightAdjoint(m, source + <usize>j * plane, <usize>n * plane, half + (j << 5), n << 5);
        for (let i = 0; i < 3; i++) weightAdjoint(m, half + ((i * n) << 5), 32, taps + ((i * 3) << 5), 32);
      }
      for (let i = scratch; i < half; i += 32) {
        const x0 = f32x4.div(v128.load(i), by), x1 = f32x4.div(v128.load(i, 16), by);
        v128.store(i, x1, 16);
        v128.store(i, x0);
      }
      const g = w + <usize>o * filter + <usize>k * 36;
      for (let i: usize = 0; i < 9; i++) {
        transpose(scratch + (i << 7), 32, g + (i << 4), filter);
        transpose(scratch + (i << 7) + 16, 32, g + 4 * filter + (i << 4), filter);
      }
    }
  }
}

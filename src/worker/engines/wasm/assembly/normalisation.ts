// Batch norm over channels (Ioffe and Szegedy 2015). x is [values][channels], one value per pixel and row.
//
//   forward    y = (x - mean) invStd gamma + beta
//   backward   dx = invStd gamma (dy - sum(dy) / n - xhat sum(dy xhat) / n),   xhat = (x - mean) invStd
//
// Sums are taken in float64, a leaf at a time; what they are taken over is the statistics exchange's business. `mean` and
// the coefficients below are float32 per channel.

/** sums[0..channels) = sum of x, sums[channels..2 channels) = sum of x x; float64. */
export function normSums(x: usize, values: i32, channels: i32, sums: usize): void {
  const rowBytes = <usize>channels << 2, half = <usize>channels << 3;
  for (let c: usize = 0; c < rowBytes; c += 16) {
    let s0 = f64x2.splat(0), s1 = s0, q0 = s0, q1 = s0;
    let p = x + c;
    for (let i = 0; i < values; i++) {
      const v = v128.load(p);
      const lo = f64x2.promote_low_f32x4(v), hi = f64x2.promote_low_f32x4(highHalf(v));
      s0 = f64x2.add(s0, lo);
      s1 = f64x2.add(s1, hi);
      q0 = f64x2.add(q0, f64x2.mul(lo, lo));
      q1 = f64x2.add(q1, f64x2.mul(hi, hi));
      p += rowBytes;
    }
    const at = sums + (c << 1);
    v128.store(at, s0);
    v128.store(at, s1, 16);
    v128.store(at + half, q0);
    v128.store(at + half, q1, 16);
  }
}

/** sums[0..channels) = sum of dy, sums[channels..2 channels) = sum of dy xhat; float64. `invStd` is float32. */
export function normGradientSums(
  x: usize, dy: usize, values: i32, channels: i32, mean: usize, invStd: usize, sums: usize,
): void {
  const rowBytes = <usize>channels << 2, half = <usize>channels << 3;
  for (let c: usize = 0; c < rowBytes; c += 16) {
    let s0 = f64x2.splat(0), s1 = s0, q0 = s0, q1 = s0;
    const m = v128.load(mean + c), r = v128.load(invStd + c);
    let p = x + c, g = dy + c;
    for (let i = 0; i < values; i++) {
      const hat = f32x4.mul(f32x4.sub(v128.load(p), m), r), v = v128.load(g);
      const lo = f64x2.promote_low_f32x4(v), hi = f64x2.promote_low_f32x4(highHalf(v));
      s0 = f64x2.add(s0, lo);
      s1 = f64x2.add(s1, hi);
      q0 = f64x2.add(q0, f64x2.mul(lo, f64x2.promote_low_f32x4(hat)));
      q1 = f64x2.add(q1, f64x2.mul(hi, f64x2.promote_low_f32x4(highHalf(hat))));
      p += rowBytes;
      g += rowBytes;
    }
    const at = sums + (c << 1);
    v128.store(at, s0);
    v128.store(at, s1, 16);
    v128.store(at + half, q0);
    v128.store(at + half, q1, 16);
  }
}

// @ts-ignore: decorator
@inline
function highHalf(v: v128): v128 {
  return v128.shuffle<f32>(v, v, 2, 3, 2, 3);
}

/** y = (x - mean) scale + shift. */
export function normalise(
  x: usize, values: i32, channels: i32, mean: usize, scale: usize, shift: usize, y: usize,
): void {
  const rowBytes = <usize>channels << 2;
  for (let i = 0; i < values; i++) {
    for (let c: usize = 0; c < rowBytes; c += 16) {
      const centred = f32x4.sub(v128.load(x + c), v128.load(mean + c));
      v128.store(y + c, f32x4.add(f32x4.mul(centred, v128.load(scale + c)), v128.load(shift + c)));
    }
    x += rowBytes;
    y += rowBytes;
  }
}

/** dx = scale dy + (x - mean) slope + shift, in place over dy. */
export function normaliseGradient(
  x: usize, dy: usize, values: i32, channels: i32, mean: usize, scale: usize, slope: usize, shift: usize,
): void {
  const rowBytes = <usize>channels << 2;
  for (let i = 0; i < values; i++) {
    for (let c: usize = 0; c < rowBytes; c += 16) {
      const centred = f32x4.sub(v128.load(x + c), v128.load(mean + c));
      const own = f32x4.mul(v128.load(dy + c), v128.load(scale + c));
      const common = f32x4.add(f32x4.mul(centred, v128.load(slope + c)), v128.load(shift + c));
      v128.store(dy + c, f32x4.add(own, common));
    }
    x += rowBytes;
    dy += rowBytes;
  }
}

/**
 * Mean, scale, inverse standard deviation and running statistics of each channel, from the sums of `normSums` over n values.
 * running = (1 - momentum) running + momentum (mean, unbiased variance); gamma and beta stay where they are.
 */
export function normForwardCoefficients(
  sums: usize, n: f64, channels: i32, epsilon: f64, momentum: f64, gamma: usize,
  runningMean: usize, runningVariance: usize, nextMean: usize, nextVariance: usize,
  mean: usize, invStd: usize, scale: usize,
): void {
  for (let c: usize = 0; c < <usize>channels; c++) {
    const f = c << 2;
    const m = load<f64>(sums + (c << 3)) / n;
    const v = max<f64>(load<f64>(sums + ((c + channels) << 3)) / n - m * m, 0);
    const r = 1 / sqrt<f64>(v + epsilon);
    store<f32>(mean + f, <f32>m);
    store<f32>(invStd + f, <f32>r);
    store<f32>(scale + f, <f32>(r * <f64>load<f32>(gamma + f)));
    store<f32>(nextMean + f, <f32>((1 - momentum) * <f64>load<f32>(runningMean + f) + momentum * m));
    const unbiased = (v * n) / (n - 1);
    store<f32>(nextVariance + f, <f32>((1 - momentum) * <f64>load<f32>(runningVariance + f) + momentum * unbiased));
  }
}

/** The scale of each channel in evaluation mode. */
export function normEvaluationCoefficients(
  channels: i32, epsilon: f64, gamma: usize, runningVariance: usize, scale: usize,
): void {
  for (let c: usize = 0; c < <usize>channels << 2; c += 4) {
    const r = 1 / sqrt<f64>(<f64>load<f32>(runningVariance + c) + epsilon);
    store<f32>(scale + c, <f32>(r * <f64>load<f32>(gamma + c)));
  }
}

/** slope and shift of `normaliseGradient`, from the sums of `normGradientSums` over n values. */
export function normBackwardCoefficients(
  sums: usize, n: f64, channels: i32, invStd: usize, scale: usize, slope: usize, shift: usize,
): void {
  for (let c: usize = 0; c < <usize>channels; c++) {
    const f = c << 2;
    const s = <f64>load<f32>(scale + f), r = <f64>load<f32>(invStd + f);
    store<f32>(shift + f, <f32>(-s * load<f64>(sums + (c << 3)) / n));
    store<f32>(slope + f, <f32>(-s * r * load<f64>(sums + ((c + channels) << 3)) / n));
  }
}

/** float64 [length] rounded to float32 [length], the two halves (dy, dy xhat) swapped: weight gradient first, then bias. */
export function storeNormGradient(sums: usize, channels: i32, target: usize): void {
  for (let c: usize = 0; c < <usize>channels; c++) {
    store<f32>(target + (c << 2), <f32>load<f64>(sums + ((c + channels) << 3)));
    store<f32>(target + ((c + channels) << 2), <f32>load<f64>(sums + (c << 3)));
  }
}

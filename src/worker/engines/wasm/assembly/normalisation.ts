// Batch norm over channels (Ioffe and Szegedy 2015). x is [values][channels], one value per pixel and row.
//
//   forward    y = (x - mean) invStd gamma + beta
//   backward   dx = invStd gamma (dy - sum(dy) / n - xhat sum(dy xhat) / n),   xhat = (x - mean) invStd
//
// Sums are taken in float64, a leaf at a time; what they are taken over is the statistics exchange's business. `mean` and
// the coefficients below are float32 per channel.

// Eight channels are summed at a time: each sum waits for the one before it, so a few go side by side.

/** sums[0..channels) = sum of x, sums[channels..2 channels) = sum of x x; float64. */
export function normSums(x: usize, values: i32, channels: i32, sums: usize): void {
  const rowBytes = <usize>channels << 2, half = <usize>channels << 3;
  for (let c: usize = 0; c < rowBytes; c += 32) {
    let s0 = f64x2.splat(0), s1 = s0, s2 = s0, s3 = s0, q0 = s0, q1 = s0, q2 = s0, q3 = s0;
    let p = x + c;
    for (let i = 0; i < values; i++) {
      const x0 = f64x2.promote_low_f32x4(v128.load64_zero(p)), x1 = f64x2.promote_low_f32x4(v128.load64_zero(p, 8));
      const x2 = f64x2.promote_low_f32x4(v128.load64_zero(p, 16)), x3 = f64x2.promote_low_f32x4(v128.load64_zero(p, 24));
      s0 = f64x2.add(s0, x0); s1 = f64x2.add(s1, x1); s2 = f64x2.add(s2, x2); s3 = f64x2.add(s3, x3);
      q0 = f64x2.add(q0, f64x2.mul(x0, x0)); q1 = f64x2.add(q1, f64x2.mul(x1, x1));
      q2 = f64x2.add(q2, f64x2.mul(x2, x2)); q3 = f64x2.add(q3, f64x2.mul(x3, x3));
      p += rowBytes;
    }
    storeSums(sums + (c << 1), s0, s1, s2, s3);
    storeSums(sums + (c << 1) + half, q0, q1, q2, q3);
  }
}

/** sums[0..channels) = sum of dy, sums[channels..2 channels) = sum of dy xhat; float64. `invStd` is float32. */
export function normGradientSums(
  x: usize, dy: usize, values: i32, channels: i32, mean: usize, invStd: usize, sums: usize,
): void {
  const rowBytes = <usize>channels << 2, half = <usize>channels << 3;
  for (let c: usize = 0; c < rowBytes; c += 32) {
    let s0 = f64x2.splat(0), s1 = s0, s2 = s0, s3 = s0, q0 = s0, q1 = s0, q2 = s0, q3 = s0;
    const m = mean + c, r = invStd + c;
    let p = x + c, g = dy + c;
    for (let i = 0; i < values; i++) {
      const hat0 = f32x4.mul(f32x4.sub(v128.load(p), v128.load(m)), v128.load(r));
      const hat1 = f32x4.mul(f32x4.sub(v128.load(p, 16), v128.load(m, 16)), v128.load(r, 16));
      const g0 = f64x2.promote_low_f32x4(v128.load64_zero(g)), g1 = f64x2.promote_low_f32x4(v128.load64_zero(g, 8));
      const g2 = f64x2.promote_low_f32x4(v128.load64_zero(g, 16)), g3 = f64x2.promote_low_f32x4(v128.load64_zero(g, 24));
      s0 = f64x2.add(s0, g0); s1 = f64x2.add(s1, g1); s2 = f64x2.add(s2, g2); s3 = f64x2.add(s3, g3);
      q0 = f64x2.add(q0, f64x2.mul(g0, f64x2.promote_low_f32x4(hat0)));
      q1 = f64x2.add(q1, f64x2.mul(g1, f64x2.promote_low_f32x4(highHalf(hat0))));
      q2 = f64x2.add(q2, f64x2.mul(g2, f64x2.promote_low_f32x4(hat1)));
      q3 = f64x2.add(q3, f64x2.mul(g3, f64x2.promote_low_f32x4(highHalf(hat1))));
      p += rowBytes;
      g += rowBytes;
    }
    storeSums(sums + (c << 1), s0, s1, s2, s3);
    storeSums(sums + (c << 1) + half, q0, q1, q2, q3);
  }
}

// @ts-ignore: decorator
@inline
function storeSums(target: usize, s0: v128, s1: v128, s2: v128, s3: v128): void {
  v128.store(target, s0); v128.store(target, s1, 16); v128.store(target, s2, 32); v128.store(target, s3, 48);
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
    for (let c: usize = 0; c < rowBytes; c += 32) {
      const a = x + c, m = mean + c, s = scale + c, t = shift + c, b = y + c;
      const x0 = f32x4.sub(v128.load(a), v128.load(m)), x1 = f32x4.sub(v128.load(a, 16), v128.load(m, 16));
      const y0 = f32x4.add(f32x4.mul(x0, v128.load(s)), v128.load(t));
      const y1 = f32x4.add(f32x4.mul(x1, v128.load(s, 16)), v128.load(t, 16));
      v128.store(b, y1, 16);
      v128.store(b, y0);
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
    for (let c: usize = 0; c < rowBytes; c += 32) {
      const a = x + c, m = mean + c, k = slope + c, t = shift + c, s = scale + c, b = dy + c;
      const x0 = f32x4.sub(v128.load(a), v128.load(m)), x1 = f32x4.sub(v128.load(a, 16), v128.load(m, 16));
      const common0 = f32x4.add(f32x4.mul(x0, v128.load(k)), v128.load(t));
      const common1 = f32x4.add(f32x4.mul(x1, v128.load(k, 16)), v128.load(t, 16));
      const dx0 = f32x4.add(f32x4.mul(v128.load(b), v128.load(s)), common0);
      const dx1 = f32x4.add(f32x4.mul(v128.load(b, 16), v128.load(s, 16)), common1);
      v128.store(b, dx1, 16);
      v128.store(b, dx0);
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

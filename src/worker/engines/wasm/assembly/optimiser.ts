// Sums of whole arrays and the Adam step (Kingma and Ba 2015), float32, with scalars in float64.
//
//   m = beta1 m + (1 - beta1) g,   v = beta2 v + (1 - beta2) g g
//   w = w - (rate / (1 - beta1^t)) m / (sqrt(v) / sqrt(1 - beta2^t) + epsilon)
//
// and the average of the weights, which is decay average + (1 - decay) w.

/** target[i] += source[i]; `length` in floats, any. */
export function add(target: usize, source: usize, length: i32): void {
  const end = target + ((<usize>length) << 2),
    vectors = target + ((<usize>(length & ~7)) << 2);
  while (target < vectors) {
    const x0 = f32x4.add(v128.load(target), v128.load(source));
    const x1 = f32x4.add(v128.load(target, 16), v128.load(source, 16));
    v128.store(target, x1, 16);
    v128.store(target, x0);
    target += 32;
    source += 32;
  }
  while (target < end) {
    store<f32>(target, load<f32>(target) + load<f32>(source));
    target += 4;
    source += 4;
  }
}

/** target[i] = source[i] / divisor. */
export function divide(source: usize, length: i32, divisor: f32, target: usize): void {
  for (let i: usize = 0; i < (<usize>length) << 2; i += 4) store<f32>(target + i, load<f32>(source + i) / divisor);
}

/** Whether every value is finite. */
export function isAllFinite(source: usize, length: i32): bool {
  // x - x is 0 for a finite x and NaN for any other, and NaN stays.
  let sum: f32 = 0;
  let at = source;
  const end = source + ((<usize>length) << 2);
  if (length >= 4) {
    let sums = f32x4.splat(0);
    for (; at + 16 <= end; at += 16) {
      const x = v128.load(at);
      sums = f32x4.add(sums, f32x4.sub(x, x));
    }
    sum =
      f32x4.extract_lane(sums, 0) +
      f32x4.extract_lane(sums, 1) +
      f32x4.extract_lane(sums, 2) +
      f32x4.extract_lane(sums, 3);
  }
  for (; at < end; at += 4) sum += load<f32>(at) - load<f32>(at);
  return sum == 0;
}

/**
 * One Adam step from (w, m, v) into (nextW, nextM, nextV). Returns whether every new w and v is finite; m is then finite too,
 * as an infinite one makes w so.
 */
export function adam(
  gradient: usize,
  length: i32,
  w: usize,
  m: usize,
  v: usize,
  nextW: usize,
  nextM: usize,
  nextV: usize,
  rate: f64,
  beta1: f64,
  beta2: f64,
  epsilon: f64,
  beta1Power: f64,
  beta2Power: f64,
): bool {
  const b1 = <f32>beta1,
    a1 = <f32>(1 - beta1),
    b2 = <f32>beta2,
    a2 = <f32>(1 - beta2);
  const step = <f32>(rate / (1 - beta1Power)),
    root = <f32>sqrt<f64>(1 - beta2Power),
    eps = <f32>epsilon;
  const bytes = (<usize>length) << 2,
    pairs = bytes & ~31;
  const zero = f32x4.splat(0);
  // x - x is 0 for a finite x and NaN for any other. One mask for each half of a pair, so that V8 can make one of the two.
  let bad0 = zero,
    bad1 = zero;
  for (let i: usize = 0; i < pairs; i += 32) {
    const at = gradient + i, atM = m + i, atV = v + i, atW = w + i, toM = nextM + i, toV = nextV + i, toW = nextW + i;
    const g0 = v128.load(at), g1 = v128.load(at, 16);
    const first0 = f32x4.add(f32x4.mul(f32x4.splat(b1), v128.load(atM)), f32x4.mul(f32x4.splat(a1), g0));
    const first1 = f32x4.add(f32x4.mul(f32x4.splat(b1), v128.load(atM, 16)), f32x4.mul(f32x4.splat(a1), g1));
    const second0 = f32x4.add(f32x4.mul(f32x4.splat(b2), v128.load(atV)), f32x4.mul(f32x4.splat(a2), f32x4.mul(g0, g0)));
    const second1 = f32x4.add(f32x4.mul(f32x4.splat(b2), v128.load(atV, 16)), f32x4.mul(f32x4.splat(a2), f32x4.mul(g1, g1)));
    const scale0 = f32x4.add(f32x4.div(f32x4.sqrt(second0), f32x4.splat(root)), f32x4.splat(eps));
    const scale1 = f32x4.add(f32x4.div(f32x4.sqrt(second1), f32x4.splat(root)), f32x4.splat(eps));
    const next0 = f32x4.sub(v128.load(atW), f32x4.mul(f32x4.splat(step), f32x4.div(first0, scale0)));
    const next1 = f32x4.sub(v128.load(atW, 16), f32x4.mul(f32x4.splat(step), f32x4.div(first1, scale1)));
    bad0 = v128.or(bad0, f32x4.ne(f32x4.add(f32x4.sub(next0, next0), f32x4.sub(second0, second0)), zero));
    bad1 = v128.or(bad1, f32x4.ne(f32x4.add(f32x4.sub(next1, next1), f32x4.sub(second1, second1)), zero));
    v128.store(toM, first1, 16);
    v128.store(toM, first0);
    v128.store(toV, second1, 16);
    v128.store(toV, second0);
    v128.store(toW, next1, 16);
    v128.store(toW, next0);
  }
  let finite = !v128.any_true(i32x4.add(bad0, bad1));
  for (let i = pairs; i < bytes; i += 4) {
    const g = load<f32>(gradient + i);
    const first = b1 * load<f32>(m + i) + a1 * g,
      second = b2 * load<f32>(v + i) + a2 * (g * g);
    store<f32>(nextM + i, first);
    store<f32>(nextV + i, second);
    const next = load<f32>(w + i) - step * (first / (sqrt<f32>(second) / root + eps));
    store<f32>(nextW + i, next);
    if (next - next + (second - second) != 0) finite = false;
  }
  return finite;
}

/** next[i] = decay average[i] + (1 - decay) values[i]. */
export function averageOf(average: usize, values: usize, length: i32, decay: f64, next: usize): void {
  const kept = <f32>decay, added = <f32>(1 - decay);
  const bytes = (<usize>length) << 2, pairs = bytes & ~31;
  for (let i: usize = 0; i < pairs; i += 32) {
    const at = average + i, from = values + i, to = next + i;
    const x0 = f32x4.add(f32x4.mul(f32x4.splat(kept), v128.load(at)), f32x4.mul(f32x4.splat(added), v128.load(from)));
    const x1 = f32x4.add(f32x4.mul(f32x4.splat(kept), v128.load(at, 16)), f32x4.mul(f32x4.splat(added), v128.load(from, 16)));
    v128.store(to, x1, 16);
    v128.store(to, x0);
  }
  for (let i = pairs; i < bytes; i += 4) {
    store<f32>(next + i, kept * load<f32>(average + i) + added * load<f32>(values + i));
  }
}

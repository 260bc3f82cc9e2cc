// Arithmetic on request, in the forms that the kernels use: what a machine must get right before it may train.

export function probeMultiply(a: f32, b: f32): f32 {
  return f32x4.extract_lane(f32x4.mul(f32x4.splat(a), f32x4.splat(b)), 3);
}

export function probeAdd(a: f32, b: f32): f32 {
  return f32x4.extract_lane(f32x4.add(f32x4.splat(a), f32x4.splat(b)), 3);
}

/** a b + c in two roundings; a fused multiply-add has one. */
export function probeMultiplyAdd(a: f32, b: f32, c: f32): f32 {
  const product = f32x4.mul(f32x4.splat(a), f32x4.splat(b));
  return f32x4.extract_lane(f32x4.add(product, f32x4.splat(c)), 3);
}

export function probeRoot(a: f32): f32 {
  return f32x4.extract_lane(f32x4.sqrt(f32x4.splat(a)), 3);
}

export function probeExp(a: f64): f64 {
  return Math.exp(a);
}

export function probeLog(a: f64): f64 {
  return Math.log(a);
}

export function probeDoubleRoot(a: f64): f64 {
  return sqrt<f64>(a);
}

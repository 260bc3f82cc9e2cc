/** Bit i: whether value i of 16 is above 0. */
// @ts-ignore: decorator
@inline
export function signsOf(x0: v128, x1: v128, x2: v128, x3: v128): i32 {
  const zero = f32x4.splat(0);
  const low = i16x8.narrow_i32x4_s(f32x4.gt(x0, zero), f32x4.gt(x1, zero));
  const high = i16x8.narrow_i32x4_s(f32x4.gt(x2, zero), f32x4.gt(x3, zero));
  return i8x16.bitmask(i8x16.narrow_i16x8_s(low, high));
}

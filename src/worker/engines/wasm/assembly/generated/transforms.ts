// @ts-ignore: decorator
@inline
export function inputTransform6(x: usize, xStride: usize, y: usize, yStride: usize): void {
  const x0 = v128.load(x + 0 * xStride);
  const x1 = v128.load(x + 1 * xStride);
  const x2 = v128.load(x + 2 * xStride);
  const x3 = v128.load(x + 3 * xStride);
  const x4 = v128.load(x + 4 * xStride);
  const x5 = v128.load(x + 5 * xStride);
  const x6 = v128.load(x + 6 * xStride);
  const x7 = v128.load(x + 7 * xStride);
  v128.store(y + 0 * yStride, f32x4.add(f32x4.sub(x6, x0), f32x4.mul(f32x4.sub(x2, x4), f32x4.splat(5.25))));
  const e0 = f32x4.sub(f32x4.add(x2, x6), f32x4.mul(x4, f32x4.splat(4.25)));
  const o0 = f32x4.sub(f32x4.add(x1, x5), f32x4.mul(x3, f32x4.splat(4.25)));
  v128.store(y + 1 * yStride, f32x4.add(e0, o0));
  v128.store(y + 2 * yStride, f32x4.sub(e0, o0));
  const e1 = f32x4.sub(f32x4.add(f32x4.mul(x2, f32x4.splat(0.25)), x6), f32x4.mul(x4, f32x4.splat(1.25)));
  const o1 = f32x4.sub(f32x4.add(f32x4.mul(x1, f32x4.splat(0.5)), f32x4.mul(x5, f32x4.splat(2))), f32x4.mul(x3, f32x4.splat(2.5)));
  v128.store(y + 3 * yStride, f32x4.add(e1, o1));
  v128.store(y + 4 * yStride, f32x4.sub(e1, o1));
  const e2 = f32x4.sub(f32x4.add(f32x4.mul(x2, f32x4.splat(4)), x6), f32x4.mul(x4, f32x4.splat(5)));
  const o2 = f32x4.sub(f32x4.add(f32x4.mul(x1, f32x4.splat(2)), f32x4.mul(x5, f32x4.splat(0.5))), f32x4.mul(x3, f32x4.splat(2.5)));
  v128.store(y + 5 * yStride, f32x4.add(e2, o2));
  v128.store(y + 6 * yStride, f32x4.sub(e2, o2));
  v128.store(y + 7 * yStride, f32x4.add(f32x4.sub(x7, x1), f32x4.mul(f32x4.sub(x3, x5), f32x4.splat(5.25))));
}

// @ts-ignore: decorator
@inline
export function outputTransform6(x: usize, xStride: usize, y: usize, yStride: usize): void {
  const x0 = v128.load(x + 0 * xStride);
  const x1 = v128.load(x + 1 * xStride);
  const x2 = v128.load(x + 2 * xStride);
  const x3 = v128.load(x + 3 * xStride);
  const x4 = v128.load(x + 4 * xStride);
  const x5 = v128.load(x + 5 * xStride);
  const x6 = v128.load(x + 6 * xStride);
  const x7 = v128.load(x + 7 * xStride);
  const s0 = f32x4.add(x1, x2);
  const d0 = f32x4.sub(x1, x2);
  const s1 = f32x4.add(x3, x4);
  const d1 = f32x4.sub(x3, x4);
  const s2 = f32x4.add(x5, x6);
  const d2 = f32x4.sub(x5, x6);
  v128.store(y + 0 * yStride, f32x4.add(f32x4.add(f32x4.add(x0, s0), s1), s2));
  v128.store(y + 1 * yStride, f32x4.add(f32x4.add(d0, f32x4.mul(d1, f32x4.splat(2))), f32x4.mul(d2, f32x4.splat(0.5))));
  v128.store(y + 2 * yStride, f32x4.add(f32x4.add(s0, f32x4.mul(s1, f32x4.splat(4))), f32x4.mul(s2, f32x4.splat(0.25))));
  v128.store(y + 3 * yStride, f32x4.add(f32x4.add(d0, f32x4.mul(d1, f32x4.splat(8))), f32x4.mul(d2, f32x4.splat(0.125))));
  v128.store(y + 4 * yStride, f32x4.add(f32x4.add(s0, f32x4.mul(s1, f32x4.splat(16))), f32x4.mul(s2, f32x4.splat(0.0625))));
  v128.store(y + 5 * yStride, f32x4.add(f32x4.add(f32x4.add(d0, x7), f32x4.mul(d1, f32x4.splat(32))), f32x4.mul(d2, f32x4.splat(0.03125))));
}

// @ts-ignore: decorator
@inline
export function outputAdjoint6(x: usize, xStride: usize, y: usize, yStride: usize): void {
  const x0 = v128.load(x + 0 * xStride);
  const x1 = v128.load(x + 1 * xStride);
  const x2 = v128.load(x + 2 * xStride);
  const x3 = v128.load(x + 3 * xStride);
  const x4 = v128.load(x + 4 * xStride);
  const x5 = v128.load(x + 5 * xStride);
  v128.store(y + 0 * yStride, x0);
  const e0 = f32x4.add(f32x4.add(x0, x2), x4);
  const o0 = f32x4.add(f32x4.add(x1, x3), x5);
  v128.store(y + 1 * yStride, f32x4.add(e0, o0));
  v128.store(y + 2 * yStride, f32x4.sub(e0, o0));
  const e1 = f32x4.add(f32x4.add(x0, f32x4.mul(x2, f32x4.splat(4))), f32x4.mul(x4, f32x4.splat(16)));
  const o1 = f32x4.add(f32x4.add(f32x4.mul(x1, f32x4.splat(2)), f32x4.mul(x3, f32x4.splat(8))), f32x4.mul(x5, f32x4.splat(32)));
  v128.store(y + 3 * yStride, f32x4.add(e1, o1));
  v128.store(y + 4 * yStride, f32x4.sub(e1, o1));
  const e2 = f32x4.add(f32x4.add(x0, f32x4.mul(x2, f32x4.splat(0.25))), f32x4.mul(x4, f32x4.splat(0.0625)));
  const o2 = f32x4.add(f32x4.add(f32x4.mul(x1, f32x4.splat(0.5)), f32x4.mul(x3, f32x4.splat(0.125))), f32x4.mul(x5, f32x4.splat(0.03125)));
  v128.store(y + 5 * yStride, f32x4.add(e2, o2));
  v128.store(y + 6 * yStride, f32x4.sub(e2, o2));
  v128.store(y + 7 * yStride, x5);
}

// @ts-ignore: decorator
@inline
export function inputAdjoint6(x: usize, xStride: usize, y: usize, yStride: usize): void {
  const x0 = v128.load(x + 0 * xStride);
  const x1 = v128.load(x + 1 * xStride);
  const x2 = v128.load(x + 2 * xStride);
  const x3 = v128.load(x + 3 * xStride);
  const x4 = v128.load(x + 4 * xStride);
  const x5 = v128.load(x + 5 * xStride);
  const x6 = v128.load(x + 6 * xStride);
  const x7 = v128.load(x + 7 * xStride);
  const s0 = f32x4.add(x1, x2);
  const d0 = f32x4.sub(x1, x2);
  const s1 = f32x4.add(x3, x4);
  const d1 = f32x4.sub(x3, x4);
  const s2 = f32x4.add(x5, x6);
  const d2 = f32x4.sub(x5, x6);
  v128.store(y + 0 * yStride, f32x4.neg(x0));
  v128.store(y + 1 * yStride, f32x4.add(f32x4.add(f32x4.sub(d0, x7), f32x4.mul(d1, f32x4.splat(0.5))), f32x4.mul(d2, f32x4.splat(2))));
  v128.store(y + 2 * yStride, f32x4.add(f32x4.add(f32x4.add(f32x4.mul(x0, f32x4.splat(5.25)), s0), f32x4.mul(s1, f32x4.splat(0.25))), f32x4.mul(s2, f32x4.splat(4))));
  v128.store(y + 3 * yStride, f32x4.sub(f32x4.sub(f32x4.mul(x7, f32x4.splat(5.25)), f32x4.mul(d0, f32x4.splat(4.25))), f32x4.mul(f32x4.add(d1, d2), f32x4.splat(2.5))));
  v128.store(y + 4 * yStride, f32x4.sub(f32x4.sub(f32x4.sub(f32x4.neg(f32x4.mul(x0, f32x4.splat(5.25))), f32x4.mul(s0, f32x4.splat(4.25))), f32x4.mul(s1, f32x4.splat(1.25))), f32x4.mul(s2, f32x4.splat(5))));
  v128.store(y + 5 * yStride, f32x4.sub(f32x4.add(f32x4.add(d0, f32x4.mul(d1, f32x4.splat(2))), f32x4.mul(d2, f32x4.splat(0.5))), f32x4.mul(x7, f32x4.splat(5.25))));
  v128.store(y + 6 * yStride, f32x4.add(f32x4.add(f32x4.add(x0, s0), s1), s2));
  v128.store(y + 7 * yStride, x7);
}

// @ts-ignore: decorator
@inline
export function weightTransform6(x: usize, xStride: usize, y: usize, yStride: usize): void {
  const x0 = v128.load(x + 0 * xStride);
  const x1 = v128.load(x + 1 * xStride);
  const x2 = v128.load(x + 2 * xStride);
  v128.store(y + 0 * yStride, f32x4.neg(x0));
  const e0 = f32x4.neg(f32x4.mul(f32x4.add(x0, x2), f32x4.splat(0.2222222238779068)));
  const o0 = f32x4.neg(f32x4.mul(x1, f32x4.splat(0.2222222238779068)));
  v128.store(y + 1 * yStride, f32x4.add(e0, o0));
  v128.store(y + 2 * yStride, f32x4.sub(e0, o0));
  const e1 = f32x4.add(f32x4.mul(x0, f32x4.splat(0.011111111380159855)), f32x4.mul(x2, f32x4.splat(0.04444444552063942)));
  const o1 = f32x4.mul(x1, f32x4.splat(0.02222222276031971));
  v128.store(y + 3 * yStride, f32x4.add(e1, o1));
  v128.store(y + 4 * yStride, f32x4.sub(e1, o1));
  const e2 = f32x4.add(f32x4.mul(x0, f32x4.splat(0.7111111283302307)), f32x4.mul(x2, f32x4.splat(0.17777778208255768)));
  const o2 = f32x4.mul(x1, f32x4.splat(0.35555556416511536));
  v128.store(y + 5 * yStride, f32x4.add(e2, o2));
  v128.store(y + 6 * yStride, f32x4.sub(e2, o2));
  v128.store(y + 7 * yStride, x2);
}

// @ts-ignore: decorator
@inline
export function weightAdjoint6(x: usize, xStride: usize, y: usize, yStride: usize): void {
  const x0 = v128.load(x + 0 * xStride);
  const x1 = v128.load(x + 1 * xStride);
  const x2 = v128.load(x + 2 * xStride);
  const x3 = v128.load(x + 3 * xStride);
  const x4 = v128.load(x + 4 * xStride);
  const x5 = v128.load(x + 5 * xStride);
  const x6 = v128.load(x + 6 * xStride);
  const x7 = v128.load(x + 7 * xStride);
  const s0 = f32x4.add(x1, x2);
  const d0 = f32x4.sub(x1, x2);
  const s1 = f32x4.add(x3, x4);
  const d1 = f32x4.sub(x3, x4);
  const s2 = f32x4.add(x5, x6);
  const d2 = f32x4.sub(x5, x6);
  v128.store(y + 0 * yStride, f32x4.sub(f32x4.sub(f32x4.add(f32x4.mul(s1, f32x4.splat(0.011111111380159855)), f32x4.mul(s2, f32x4.splat(0.7111111283302307))), x0), f32x4.mul(s0, f32x4.splat(0.2222222238779068))));
  v128.store(y + 1 * yStride, f32x4.sub(f32x4.add(f32x4.mul(d1, f32x4.splat(0.02222222276031971)), f32x4.mul(d2, f32x4.splat(0.35555556416511536))), f32x4.mul(d0, f32x4.splat(0.2222222238779068))));
  v128.store(y + 2 * yStride, f32x4.sub(f32x4.add(f32x4.add(f32x4.mul(s1, f32x4.splat(0.04444444552063942)), f32x4.mul(s2, f32x4.splat(0.17777778208255768))), x7), f32x4.mul(s0, f32x4.splat(0.2222222238779068))));
}

// @ts-ignore: decorator
@inline
export function inputTransform5(x: usize, xStride: usize, y: usize, yStride: usize): void {
  const x0 = v128.load(x + 0 * xStride);
  const x1 = v128.load(x + 1 * xStride);
  const x2 = v128.load(x + 2 * xStride);
  const x3 = v128.load(x + 3 * xStride);
  const x4 = v128.load(x + 4 * xStride);
  const x5 = v128.load(x + 5 * xStride);
  const x6 = v128.load(x + 6 * xStride);
  v128.store(y + 0 * yStride, f32x4.sub(f32x4.sub(f32x4.sub(f32x4.add(f32x4.add(f32x4.mul(x1, f32x4.splat(4)), f32x4.mul(x2, f32x4.splat(2.5))), x5), f32x4.mul(x0, f32x4.splat(2))), f32x4.mul(x3, f32x4.splat(5))), f32x4.mul(x4, f32x4.splat(0.5))));
  v128.store(y + 1 * yStride, f32x4.sub(f32x4.add(f32x4.add(f32x4.mul(f32x4.sub(x1, x2), f32x4.splat(2)), f32x4.mul(x4, f32x4.splat(0.5))), x5), f32x4.mul(x3, f32x4.splat(4.5))));
  v128.store(y + 2 * yStride, f32x4.sub(f32x4.sub(f32x4.sub(f32x4.add(f32x4.mul(x2, f32x4.splat(6)), x5), f32x4.mul(x1, f32x4.splat(2))), f32x4.mul(x3, f32x4.splat(3.5))), f32x4.mul(x4, f32x4.splat(1.5))));
  v128.store(y + 3 * yStride, f32x4.sub(f32x4.add(f32x4.add(x1, x5), f32x4.mul(f32x4.sub(x4, x2), f32x4.splat(1.5))), f32x4.mul(x3, f32x4.splat(2))));
  v128.store(y + 4 * yStride, f32x4.add(f32x4.sub(x5, x1), f32x4.mul(f32x4.sub(x2, x4), f32x4.splat(2.5))));
  v128.store(y + 5 * yStride, f32x4.sub(f32x4.add(f32x4.mul(x1, f32x4.splat(4)), x5), f32x4.mul(x3, f32x4.splat(5))));
  v128.store(y + 6 * yStride, f32x4.sub(f32x4.sub(f32x4.sub(f32x4.add(f32x4.add(f32x4.mul(x2, f32x4.splat(4)), f32x4.mul(x3, f32x4.splat(2.5))), x6), f32x4.mul(x1, f32x4.splat(2))), f32x4.mul(x4, f32x4.splat(5))), f32x4.mul(x5, f32x4.splat(0.5))));
}

// @ts-ignore: decorator
@inline
export function outputTransform5(x: usize, xStride: usize, y: usize, yStride: usize): void {
  const x0 = v128.load(x + 0 * xStride);
  const x1 = v128.load(x + 1 * xStride);
  const x2 = v128.load(x + 2 * xStride);
  const x3 = v128.load(x + 3 * xStride);
  const x4 = v128.load(x + 4 * xStride);
  const x5 = v128.load(x + 5 * xStride);
  const x6 = v128.load(x + 6 * xStride);
  const s0 = f32x4.add(x1, x2);
  const d0 = f32x4.sub(x1, x2);
  const s1 = f32x4.add(x3, x4);
  const d1 = f32x4.sub(x3, x4);
  v128.store(y + 0 * yStride, f32x4.add(f32x4.add(f32x4.add(x0, s0), s1), x5));
  v128.store(y + 1 * yStride, f32x4.add(f32x4.add(d0, f32x4.mul(d1, f32x4.splat(2))), f32x4.mul(x5, f32x4.splat(0.5))));
  v128.store(y + 2 * yStride, f32x4.add(f32x4.add(s0, f32x4.mul(s1, f32x4.splat(4))), f32x4.mul(x5, f32x4.splat(0.25))));
  v128.store(y + 3 * yStride, f32x4.add(f32x4.add(d0, f32x4.mul(d1, f32x4.splat(8))), f32x4.mul(x5, f32x4.splat(0.125))));
  v128.store(y + 4 * yStride, f32x4.add(f32x4.add(f32x4.add(s0, x6), f32x4.mul(s1, f32x4.splat(16))), f32x4.mul(x5, f32x4.splat(0.0625))));
}

// @ts-ignore: decorator
@inline
export function outputAdjoint5(x: usize, xStride: usize, y: usize, yStride: usize): void {
  const x0 = v128.load(x + 0 * xStride);
  const x1 = v128.load(x + 1 * xStride);
  const x2 = v128.load(x + 2 * xStride);
  const x3 = v128.load(x + 3 * xStride);
  const x4 = v128.load(x + 4 * xStride);
  v128.store(y + 0 * yStride, x0);
  const e0 = f32x4.add(f32x4.add(x0, x2), x4);
  const o0 = f32x4.add(x1, x3);
  v128.store(y + 1 * yStride, f32x4.add(e0, o0));
  v128.store(y + 2 * yStride, f32x4.sub(e0, o0));
  const e1 = f32x4.add(f32x4.add(x0, f32x4.mul(x2, f32x4.splat(4))), f32x4.mul(x4, f32x4.splat(16)));
  const o1 = f32x4.add(f32x4.mul(x1, f32x4.splat(2)), f32x4.mul(x3, f32x4.splat(8)));
  v128.store(y + 3 * yStride, f32x4.add(e1, o1));
  v128.store(y + 4 * yStride, f32x4.sub(e1, o1));
  v128.store(y + 5 * yStride, f32x4.add(f32x4.add(f32x4.add(f32x4.add(x0, f32x4.mul(x1, f32x4.splat(0.5))), f32x4.mul(x2, f32x4.splat(0.25))), f32x4.mul(x3, f32x4.splat(0.125))), f32x4.mul(x4, f32x4.splat(0.0625))));
  v128.store(y + 6 * yStride, x4);
}

// @ts-ignore: decorator
@inline
export function inputAdjoint5(x: usize, xStride: usize, y: usize, yStride: usize): void {
  const x0 = v128.load(x + 0 * xStride);
  const x1 = v128.load(x + 1 * xStride);
  const x2 = v128.load(x + 2 * xStride);
  const x3 = v128.load(x + 3 * xStride);
  const x4 = v128.load(x + 4 * xStride);
  const x5 = v128.load(x + 5 * xStride);
  const x6 = v128.load(x + 6 * xStride);
  v128.store(y + 0 * yStride, f32x4.neg(f32x4.mul(x0, f32x4.splat(2))));
  v128.store(y + 1 * yStride, f32x4.add(f32x4.add(f32x4.mul(f32x4.add(x0, x5), f32x4.splat(4)), f32x4.mul(f32x4.sub(f32x4.sub(x1, x2), x6), f32x4.splat(2))), f32x4.sub(x3, x4)));
  v128.store(y + 2 * yStride, f32x4.sub(f32x4.sub(f32x4.add(f32x4.add(f32x4.mul(f32x4.add(x0, x4), f32x4.splat(2.5)), f32x4.mul(x2, f32x4.splat(6))), f32x4.mul(x6, f32x4.splat(4))), f32x4.mul(x1, f32x4.splat(2))), f32x4.mul(x3, f32x4.splat(1.5))));
  v128.store(y + 3 * yStride, f32x4.sub(f32x4.sub(f32x4.sub(f32x4.sub(f32x4.mul(x6, f32x4.splat(2.5)), f32x4.mul(f32x4.add(x0, x5), f32x4.splat(5))), f32x4.mul(x1, f32x4.splat(4.5))), f32x4.mul(x2, f32x4.splat(3.5))), f32x4.mul(x3, f32x4.splat(2))));
  v128.store(y + 4 * yStride, f32x4.sub(f32x4.sub(f32x4.add(f32x4.mul(f32x4.sub(x1, x0), f32x4.splat(0.5)), f32x4.mul(f32x4.sub(x3, x2), f32x4.splat(1.5))), f32x4.mul(x4, f32x4.splat(2.5))), f32x4.mul(x6, f32x4.splat(5))));
  v128.store(y + 5 * yStride, f32x4.sub(f32x4.add(f32x4.add(f32x4.add(f32x4.add(f32x4.add(x0, x1), x2), x3), x4), x5), f32x4.mul(x6, f32x4.splat(0.5))));
  v128.store(y + 6 * yStride, x6);
}

// @ts-ignore: decorator
@inline
export function weightTransform5(x: usize, xStride: usize, y: usize, yStride: usize): void {
  const x0 = v128.load(x + 0 * xStride);
  const x1 = v128.load(x + 1 * xStride);
  const x2 = v128.load(x + 2 * xStride);
  v128.store(y + 0 * yStride, f32x4.neg(f32x4.mul(x0, f32x4.splat(0.5))));
  v128.store(y + 1 * yStride, f32x4.neg(f32x4.mul(f32x4.add(f32x4.add(x0, x1), x2), f32x4.splat(0.3333333432674408))));
  v128.store(y + 2 * yStride, f32x4.mul(f32x4.sub(f32x4.add(x0, x2), x1), f32x4.splat(0.1111111119389534)));
  v128.store(y + 3 * yStride, f32x4.add(f32x4.add(f32x4.mul(x0, f32x4.splat(0.02777777798473835)), f32x4.mul(x1, f32x4.splat(0.0555555559694767))), f32x4.mul(x2, f32x4.splat(0.1111111119389534))));
  v128.store(y + 4 * yStride, f32x4.sub(f32x4.sub(f32x4.mul(x1, f32x4.splat(0.03333333507180214)), f32x4.mul(x0, f32x4.splat(0.01666666753590107))), f32x4.mul(x2, f32x4.splat(0.06666667014360428))));
  v128.store(y + 5 * yStride, f32x4.add(f32x4.add(f32x4.mul(x0, f32x4.splat(0.7111111283302307)), f32x4.mul(x1, f32x4.splat(0.35555556416511536))), f32x4.mul(x2, f32x4.splat(0.17777778208255768))));
  v128.store(y + 6 * yStride, x2);
}

// @ts-ignore: decorator
@inline
export function weightAdjoint5(x: usize, xStride: usize, y: usize, yStride: usize): void {
  const x0 = v128.load(x + 0 * xStride);
  const x1 = v128.load(x + 1 * xStride);
  const x2 = v128.load(x + 2 * xStride);
  const x3 = v128.load(x + 3 * xStride);
  const x4 = v128.load(x + 4 * xStride);
  const x5 = v128.load(x + 5 * xStride);
  const x6 = v128.load(x + 6 * xStride);
  v128.store(y + 0 * yStride, f32x4.sub(f32x4.sub(f32x4.sub(f32x4.add(f32x4.add(f32x4.mul(x2, f32x4.splat(0.1111111119389534)), f32x4.mul(x3, f32x4.splat(0.02777777798473835))), f32x4.mul(x5, f32x4.splat(0.7111111283302307))), f32x4.mul(x0, f32x4.splat(0.5))), f32x4.mul(x1, f32x4.splat(0.3333333432674408))), f32x4.mul(x4, f32x4.splat(0.01666666753590107))));
  v128.store(y + 1 * yStride, f32x4.sub(f32x4.sub(f32x4.add(f32x4.add(f32x4.mul(x3, f32x4.splat(0.0555555559694767)), f32x4.mul(x4, f32x4.splat(0.03333333507180214))), f32x4.mul(x5, f32x4.splat(0.35555556416511536))), f32x4.mul(x1, f32x4.splat(0.3333333432674408))), f32x4.mul(x2, f32x4.splat(0.1111111119389534))));
  v128.store(y + 2 * yStride, f32x4.sub(f32x4.sub(f32x4.add(f32x4.add(f32x4.mul(f32x4.add(x2, x3), f32x4.splat(0.1111111119389534)), f32x4.mul(x5, f32x4.splat(0.17777778208255768))), x6), f32x4.mul(x1, f32x4.splat(0.3333333432674408))), f32x4.mul(x4, f32x4.splat(0.06666667014360428))));
}

// @ts-ignore: decorator
@inline
export function inputTransform4(x: usize, xStride: usize, y: usize, yStride: usize): void {
  const x0 = v128.load(x + 0 * xStride);
  const x1 = v128.load(x + 1 * xStride);
  const x2 = v128.load(x + 2 * xStride);
  const x3 = v128.load(x + 3 * xStride);
  const x4 = v128.load(x + 4 * xStride);
  const x5 = v128.load(x + 5 * xStride);
  v128.store(y + 0 * yStride, f32x4.sub(f32x4.add(f32x4.mul(x0, f32x4.splat(4)), x4), f32x4.mul(x2, f32x4.splat(5))));
  const e0 = f32x4.sub(x4, f32x4.mul(x2, f32x4.splat(4)));
  const o0 = f32x4.sub(x3, f32x4.mul(x1, f32x4.splat(4)));
  v128.store(y + 1 * yStride, f32x4.add(e0, o0));
  v128.store(y + 2 * yStride, f32x4.sub(e0, o0));
  const e1 = f32x4.sub(x4, x2);
  const o1 = f32x4.mul(f32x4.sub(x3, x1), f32x4.splat(2));
  v128.store(y + 3 * yStride, f32x4.add(e1, o1));
  v128.store(y + 4 * yStride, f32x4.sub(e1, o1));
  v128.store(y + 5 * yStride, f32x4.sub(f32x4.add(f32x4.mul(x1, f32x4.splat(4)), x5), f32x4.mul(x3, f32x4.splat(5))));
}

// @ts-ignore: decorator
@inline
export function outputTransform4(x: usize, xStride: usize, y: usize, yStride: usize): void {
  const x0 = v128.load(x + 0 * xStride);
  const x1 = v128.load(x + 1 * xStride);
  const x2 = v128.load(x + 2 * xStride);
  const x3 = v128.load(x + 3 * xStride);
  const x4 = v128.load(x + 4 * xStride);
  const x5 = v128.load(x + 5 * xStride);
  const s0 = f32x4.add(x1, x2);
  const d0 = f32x4.sub(x1, x2);
  const s1 = f32x4.add(x3, x4);
  const d1 = f32x4.sub(x3, x4);
  v128.store(y + 0 * yStride, f32x4.add(f32x4.add(x0, s0), s1));
  v128.store(y + 1 * yStride, f32x4.add(d0, f32x4.mul(d1, f32x4.splat(2))));
  v128.store(y + 2 * yStride, f32x4.add(s0, f32x4.mul(s1, f32x4.splat(4))));
  v128.store(y + 3 * yStride, f32x4.add(f32x4.add(d0, x5), f32x4.mul(d1, f32x4.splat(8))));
}

// @ts-ignore: decorator
@inline
export function outputAdjoint4(x: usize, xStride: usize, y: usize, yStride: usize): void {
  const x0 = v128.load(x + 0 * xStride);
  const x1 = v128.load(x + 1 * xStride);
  const x2 = v128.load(x + 2 * xStride);
  const x3 = v128.load(x + 3 * xStride);
  v128.store(y + 0 * yStride, x0);
  const e0 = f32x4.add(x0, x2);
  const o0 = f32x4.add(x1, x3);
  v128.store(y + 1 * yStride, f32x4.add(e0, o0));
  v128.store(y + 2 * yStride, f32x4.sub(e0, o0));
  const e1 = f32x4.add(x0, f32x4.mul(x2, f32x4.splat(4)));
  const o1 = f32x4.add(f32x4.mul(x1, f32x4.splat(2)), f32x4.mul(x3, f32x4.splat(8)));
  v128.store(y + 3 * yStride, f32x4.add(e1, o1));
  v128.store(y + 4 * yStride, f32x4.sub(e1, o1));
  v128.store(y + 5 * yStride, x3);
}

// @ts-ignore: decorator
@inline
export function inputAdjoint4(x: usize, xStride: usize, y: usize, yStride: usize): void {
  const x0 = v128.load(x + 0 * xStride);
  const x1 = v128.load(x + 1 * xStride);
  const x2 = v128.load(x + 2 * xStride);
  const x3 = v128.load(x + 3 * xStride);
  const x4 = v128.load(x + 4 * xStride);
  const x5 = v128.load(x + 5 * xStride);
  const s0 = f32x4.add(x1, x2);
  const d0 = f32x4.sub(x1, x2);
  const s1 = f32x4.add(x3, x4);
  const d1 = f32x4.sub(x3, x4);
  v128.store(y + 0 * yStride, f32x4.mul(x0, f32x4.splat(4)));
  v128.store(y + 1 * yStride, f32x4.sub(f32x4.mul(f32x4.sub(x5, d0), f32x4.splat(4)), f32x4.mul(d1, f32x4.splat(2))));
  v128.store(y + 2 * yStride, f32x4.sub(f32x4.sub(f32x4.neg(f32x4.mul(x0, f32x4.splat(5))), f32x4.mul(s0, f32x4.splat(4))), s1));
  v128.store(y + 3 * yStride, f32x4.sub(f32x4.add(d0, f32x4.mul(d1, f32x4.splat(2))), f32x4.mul(x5, f32x4.splat(5))));
  v128.store(y + 4 * yStride, f32x4.add(f32x4.add(x0, s0), s1));
  v128.store(y + 5 * yStride, x5);
}

// @ts-ignore: decorator
@inline
export function weightTransform4(x: usize, xStride: usize, y: usize, yStride: usize): void {
  const x0 = v128.load(x + 0 * xStride);
  const x1 = v128.load(x + 1 * xStride);
  const x2 = v128.load(x + 2 * xStride);
  v128.store(y + 0 * yStride, f32x4.mul(x0, f32x4.splat(0.25)));
  const e0 = f32x4.neg(f32x4.mul(f32x4.add(x0, x2), f32x4.splat(0.1666666716337204)));
  const o0 = f32x4.neg(f32x4.mul(x1, f32x4.splat(0.1666666716337204)));
  v128.store(y + 1 * yStride, f32x4.add(e0, o0));
  v128.store(y + 2 * yStride, f32x4.sub(e0, o0));
  const e1 = f32x4.add(f32x4.mul(x0, f32x4.splat(0.0416666679084301)), f32x4.mul(x2, f32x4.splat(0.1666666716337204)));
  const o1 = f32x4.mul(x1, f32x4.splat(0.0833333358168602));
  v128.store(y + 3 * yStride, f32x4.add(e1, o1));
  v128.store(y + 4 * yStride, f32x4.sub(e1, o1));
  v128.store(y + 5 * yStride, x2);
}

// @ts-ignore: decorator
@inline
export function weightAdjoint4(x: usize, xStride: usize, y: usize, yStride: usize): void {
  const x0 = v128.load(x + 0 * xStride);
  const x1 = v128.load(x + 1 * xStride);
  const x2 = v128.load(x + 2 * xStride);
  const x3 = v128.load(x + 3 * xStride);
  const x4 = v128.load(x + 4 * xStride);
  const x5 = v128.load(x + 5 * xStride);
  const s0 = f32x4.add(x1, x2);
  const d0 = f32x4.sub(x1, x2);
  const s1 = f32x4.add(x3, x4);
  const d1 = f32x4.sub(x3, x4);
  v128.store(y + 0 * yStride, f32x4.sub(f32x4.add(f32x4.mul(x0, f32x4.splat(0.25)), f32x4.mul(s1, f32x4.splat(0.0416666679084301))), f32x4.mul(s0, f32x4.splat(0.1666666716337204))));
  v128.store(y + 1 * yStride, f32x4.sub(f32x4.mul(d1, f32x4.splat(0.0833333358168602)), f32x4.mul(d0, f32x4.splat(0.1666666716337204))));
  v128.store(y + 2 * yStride, f32x4.add(f32x4.mul(f32x4.sub(s1, s0), f32x4.splat(0.1666666716337204)), x5));
}

// @ts-ignore: decorator
@inline
export function inputTransform2(x: usize, xStride: usize, y: usize, yStride: usize): void {
  const x0 = v128.load(x + 0 * xStride);
  const x1 = v128.load(x + 1 * xStride);
  const x2 = v128.load(x + 2 * xStride);
  const x3 = v128.load(x + 3 * xStride);
  v128.store(y + 0 * yStride, f32x4.sub(x2, x0));
  const e0 = x2;
  const o0 = x1;
  v128.store(y + 1 * yStride, f32x4.add(e0, o0));
  v128.store(y + 2 * yStride, f32x4.sub(e0, o0));
  v128.store(y + 3 * yStride, f32x4.sub(x3, x1));
}

// @ts-ignore: decorator
@inline
export function outputTransform2(x: usize, xStride: usize, y: usize, yStride: usize): void {
  const x0 = v128.load(x + 0 * xStride);
  const x1 = v128.load(x + 1 * xStride);
  const x2 = v128.load(x + 2 * xStride);
  const x3 = v128.load(x + 3 * xStride);
  const s0 = f32x4.add(x1, x2);
  const d0 = f32x4.sub(x1, x2);
  v128.store(y + 0 * yStride, f32x4.add(x0, s0));
  v128.store(y + 1 * yStride, f32x4.add(d0, x3));
}

// @ts-ignore: decorator
@inline
export function outputAdjoint2(x: usize, xStride: usize, y: usize, yStride: usize): void {
  const x0 = v128.load(x + 0 * xStride);
  const x1 = v128.load(x + 1 * xStride);
  v128.store(y + 0 * yStride, x0);
  const e0 = x0;
  const o0 = x1;
  v128.store(y + 1 * yStride, f32x4.add(e0, o0));
  v128.store(y + 2 * yStride, f32x4.sub(e0, o0));
  v128.store(y + 3 * yStride, x1);
}

// @ts-ignore: decorator
@inline
export function inputAdjoint2(x: usize, xStride: usize, y: usize, yStride: usize): void {
  const x0 = v128.load(x + 0 * xStride);
  const x1 = v128.load(x + 1 * xStride);
  const x2 = v128.load(x + 2 * xStride);
  const x3 = v128.load(x + 3 * xStride);
  const s0 = f32x4.add(x1, x2);
  const d0 = f32x4.sub(x1, x2);
  v128.store(y + 0 * yStride, f32x4.neg(x0));
  v128.store(y + 1 * yStride, f32x4.sub(d0, x3));
  v128.store(y + 2 * yStride, f32x4.add(x0, s0));
  v128.store(y + 3 * yStride, x3);
}

// @ts-ignore: decorator
@inline
export function weightTransform2(x: usize, xStride: usize, y: usize, yStride: usize): void {
  const x0 = v128.load(x + 0 * xStride);
  const x1 = v128.load(x + 1 * xStride);
  const x2 = v128.load(x + 2 * xStride);
  v128.store(y + 0 * yStride, f32x4.neg(x0));
  const e0 = f32x4.mul(f32x4.add(x0, x2), f32x4.splat(0.5));
  const o0 = f32x4.mul(x1, f32x4.splat(0.5));
  v128.store(y + 1 * yStride, f32x4.add(e0, o0));
  v128.store(y + 2 * yStride, f32x4.sub(e0, o0));
  v128.store(y + 3 * yStride, x2);
}

// @ts-ignore: decorator
@inline
export function weightAdjoint2(x: usize, xStride: usize, y: usize, yStride: usize): void {
  const x0 = v128.load(x + 0 * xStride);
  const x1 = v128.load(x + 1 * xStride);
  const x2 = v128.load(x + 2 * xStride);
  const x3 = v128.load(x + 3 * xStride);
  const s0 = f32x4.add(x1, x2);
  const d0 = f32x4.sub(x1, x2);
  v128.store(y + 0 * yStride, f32x4.sub(f32x4.mul(s0, f32x4.splat(0.5)), x0));
  v128.store(y + 1 * yStride, f32x4.mul(d0, f32x4.splat(0.5)));
  v128.store(y + 2 * yStride, f32x4.add(f32x4.mul(s0, f32x4.splat(0.5)), x3));
}


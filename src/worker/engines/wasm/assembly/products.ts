// Matrix products over packed panels.
//
//   product          C[t][n] = sum over k of A[t][k] B[k][n]     forward, and data gradients with B transposed
//   weightGradient   G[k][n] = sum over t of A[t][k] D[t][n]     along the summation tree
//
// A panel is 16 columns of a matrix, row after row, so a row of a panel is one cache line of 16 floats. A, C and D are
// [columns / 16][tiles][16], B and G are [columns / 16][K][16]. The micro-kernel computes `tileRows` x 16 results in 8
// accumulators, of 128 or of 256 bits: with their broadcasts and loads that is what V8 keeps in the 15 registers x86-64
// leaves it, and without unrolling it runs as fast as with it.
//
// Every sum runs over k (or t) in ascending order, one product after the other: a result depends on its own row and column
// alone, never on the block around it.

import { product2x16, product4x16, weights2x16, weights4x16 } from './generated/tiles';
import { tileRows, wide, zeroBytes } from './width';
import { bytesOf, goesOnOf, mergesOf, outputOf, segmentBytes } from './generated/segments';

/**
 * C = A B for `points` matrices that share one shape.
 * @param tiles rows of A and C; rows up to the next multiple of `tileRows` are computed too, and must be allocated
 * @param aPlane, bPlane, cPlane bytes between the matrices of two points
 * @param aPanel, bPanel, cPanel bytes between two panels of one matrix
 */
export function product(
  a: usize, aPlane: usize, aPanel: usize, kPanels: i32,
  b: usize, bPlane: usize, bPanel: usize, nPanels: i32,
  c: usize, cPlane: usize, cPanel: usize,
  points: i32, tiles: i32,
): void {
  for (let point = 0; point < points; point++) {
    for (let n = 0; n < nPanels; n++) {
      const panelOfB = b + <usize>point * bPlane + <usize>n * bPanel;
      const panelOfC = c + <usize>point * cPlane + <usize>n * cPanel;
      for (let t = 0; t < tiles; t += tileRows) {
        productTile(a + <usize>point * aPlane + (t << 6), aPanel, kPanels, panelOfB, panelOfC + (t << 6));
      }
    }
  }
}

// @ts-ignore: decorator
@inline
function productTile(a: usize, aPanel: usize, kPanels: i32, b: usize, c: usize): void {
  if (wide) product4x16(a, aPanel, kPanels, b, c);
  else product2x16(a, aPanel, kPanels, b, c);
}

/**
 * G at one point of a group of leaves: each leaf's product, then the additions of the tree. A tile's open nodes within the group
 * are on the inner stack, a few hundred bytes; those between groups on the outer one, in nodes as large as G at all points.
 * @param segments, end the group's segments
 * @param nodes `zeroBytes` of zeros, then the inner stack
 * @param top, merges, nodeBytes the outer stack, at the first panel of G and this point; how many of its nodes the group joins
 * @param target where the sum goes, a node of that stack or an accumulator, at the same place
 * @param unitBytes bytes between two panels of G in either
 */
export function weightGradient(
  a: usize, aPanel: usize, kPanels: i32, d: usize, dPanel: usize, nPanels: i32,
  segments: usize, end: usize, nodes: usize, top: usize, merges: usize, nodeBytes: usize, target: usize, unitBytes: usize,
): void {
  for (let n = 0; n < nPanels; n++) {
    for (let panel = 0; panel < kPanels; panel++) {
      for (let k = 0; k < 16; k += tileRows) {
        const place = <usize>n * unitBytes + (<usize>panel << 10) + (<usize>k << 6);
        weightTile(
          a + <usize>panel * aPanel + (<usize>k << 2), d + <usize>n * dPanel, segments, end, nodes,
          top + place, merges, nodeBytes, target + place,
        );
      }
    }
  }
}

// The accumulators live from the start of a segment to its end and no longer: where they lived through the loop over segments,
// V8 would move them about within the innermost loop, which costs a fifth of its speed.

// @ts-ignore: decorator
@inline
function weightTile(
  a: usize, d: usize, group: usize, next: usize, zeros: usize, top: usize, merges: usize, nodeBytes: usize, target: usize,
): void {
  if (wide) weights4x16(a, d, group, next, zeros, top, merges, nodeBytes, target);
  else weights2x16(a, d, group, next, zeros, top, merges, nodeBytes, target);
}

/** 16 bias gradients: the column sums of one panel of D, over the leaves and the tree as `weightGradient` does. */
export function biasGradient(
  d: usize, segments: usize, end: usize, nodes: usize, top: usize, merges: usize, nodeBytes: usize, target: usize,
): void {
  let s0 = f32x4.splat(0), s1 = s0, s2 = s0, s3 = s0;
  let open = nodes + zeroBytes;
  for (let segment = segments; segment != end; segment += segmentBytes) {
    let y = d + outputOf(segment);
    const stop = y + bytesOf(segment);
    do {
      s0 = f32x4.add(s0, v128.load(y)); s1 = f32x4.add(s1, v128.load(y, 16));
      s2 = f32x4.add(s2, v128.load(y, 32)); s3 = f32x4.add(s3, v128.load(y, 48));
      y += 64;
    } while (y != stop);
    if (goesOnOf(segment)) continue;
    for (let merge = mergesOf(segment); merge; merge--) {
      open -= 64;
      s0 = f32x4.add(v128.load(open), s0); s1 = f32x4.add(v128.load(open, 16), s1);
      s2 = f32x4.add(v128.load(open, 32), s2); s3 = f32x4.add(v128.load(open, 48), s3);
    }
    if (segment + segmentBytes == end) break;
    v128.store(open, s1, 16); v128.store(open, s0); v128.store(open, s3, 48); v128.store(open, s2, 32);
    open += 64;
    s0 = f32x4.splat(0), s1 = s0, s2 = s0, s3 = s0;
  }
  for (; merges; merges--) {
    top -= nodeBytes;
    s0 = f32x4.add(v128.load(top), s0); s1 = f32x4.add(v128.load(top, 16), s1);
    s2 = f32x4.add(v128.load(top, 32), s2); s3 = f32x4.add(v128.load(top, 48), s3);
  }
  v128.store(target, s1, 16); v128.store(target, s0); v128.store(target, s3, 48); v128.store(target, s2, 32);
}

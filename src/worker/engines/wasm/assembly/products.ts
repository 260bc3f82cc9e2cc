// Matrix products over packed panels.
//
//   product          C[t][n] = sum over k of A[t][k] B[k][n]     forward, and data gradients with B transposed
//   weightGradient   G[k][n] = sum over t of A[t][k] D[t][n]     along the summation tree
//
// A panel is 16 columns of a matrix, row after row, so a row of a panel is one cache line of 16 floats. A, C and D are
// [columns / 16][tiles][16], B and G are [columns / 16][K][16]. The micro-kernel computes 2 x 16 results in 8 accumulators:
// with two broadcasts and four loads that is the largest tile that V8 keeps in the 15 registers x86-64 leaves it, and
// without unrolling it runs as fast as with it.
//
// Every sum runs over k (or t) in ascending order, one product after the other: a result depends on its own row and column
// alone, never on the block around it.

/**
 * C = A B for `points` matrices that share one shape.
 * @param tiles rows of A and C; an odd last row is computed in a pair with the row after it, which must be allocated
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
      for (let t = 0; t < tiles; t += 2) {
        productTile(a + <usize>point * aPlane + (t << 6), aPanel, kPanels, panelOfB, panelOfC + (t << 6));
      }
    }
  }
}

// @ts-ignore: decorator
@inline
function productTile(a: usize, aPanel: usize, kPanels: i32, b: usize, c: usize): void {
  let c00 = f32x4.splat(0), c01 = c00, c02 = c00, c03 = c00;
  let c10 = c00, c11 = c00, c12 = c00, c13 = c00;
  for (let panel = 0; panel < kPanels; panel++) {
    let x = a;
    const end = a + 64;
    do {
      const x0 = v128.load32_splat(x), x1 = v128.load32_splat(x, 64);
      const b0 = v128.load(b), b1 = v128.load(b, 16), b2 = v128.load(b, 32), b3 = v128.load(b, 48);
      c00 = f32x4.add(c00, f32x4.mul(x0, b0)); c01 = f32x4.add(c01, f32x4.mul(x0, b1));
      c02 = f32x4.add(c02, f32x4.mul(x0, b2)); c03 = f32x4.add(c03, f32x4.mul(x0, b3));
      c10 = f32x4.add(c10, f32x4.mul(x1, b0)); c11 = f32x4.add(c11, f32x4.mul(x1, b1));
      c12 = f32x4.add(c12, f32x4.mul(x1, b2)); c13 = f32x4.add(c13, f32x4.mul(x1, b3));
      x += 4;
      b += 64;
    } while (x != end);
    a += aPanel;
  }
  v128.store(c, c00); v128.store(c, c01, 16); v128.store(c, c02, 32); v128.store(c, c03, 48);
  v128.store(c, c10, 64); v128.store(c, c11, 80); v128.store(c, c12, 96); v128.store(c, c13, 112);
}

// One entry of a leaf schedule, four int32: first row, end row (both in the shard), how many nodes of the stack to add in
// front, and where the result goes: the address of an accumulator, or 0 for the stack.
const stepBytes: usize = 16;

// @ts-ignore: decorator
@inline
function stepWord(schedule: usize, leaf: i32, word: usize): i32 {
  return load<i32>(schedule + <usize>leaf * stepBytes + word * 4);
}

/**
 * G at one point, over all leaves of a shard: each leaf's product, then the additions of the tree, on a stack of nodes small
 * enough to stay in the second-level cache, while A and D are read once.
 * @param aBlock, dBlock bytes between two blocks of rows
 * @param nPanels panels of D that are taken together; what is left of D's panels is left to other calls
 * @param blockRows, rowTiles rows of a full block, tiles of a row
 * @param stack room for nPanels [K][16] panels per level of the tree
 * @param offset, unitBytes bytes from the start of an accumulator to the first panel of G, and between two panels
 */
export function weightGradient(
  a: usize, aBlock: usize, aPanel: usize, kPanels: i32,
  d: usize, dBlock: usize, dPanel: usize, nPanels: i32, blockRows: i32, rowTiles: i32,
  schedule: usize, leaves: i32, stack: usize, offset: usize, unitBytes: usize,
): void {
  const panelBytes = <usize>kPanels << 10, nodeBytes = <usize>nPanels * panelBytes;
  let top = stack;
  for (let leaf = 0; leaf < leaves; leaf++) {
    const first = stepWord(schedule, leaf, 0), end = stepWord(schedule, leaf, 1);
    const merges = stepWord(schedule, leaf, 2);
    const accumulator = <usize>stepWord(schedule, leaf, 3);
    const bottom = top - <usize>merges * nodeBytes;
    const block = first / blockRows, rowInBlock = first - block * blockRows;
    const leafA = a + <usize>block * aBlock + (<usize>(rowInBlock * rowTiles) << 6);
    const leafD = d + <usize>block * dBlock + (<usize>(rowInBlock * rowTiles) << 6);
    const bytes = <usize>((end - first) * rowTiles) << 6;
    // A leaf may begin and end within a block: runs of tiles that lie together.
    const firstRun = min(bytes, <usize>((blockRows - rowInBlock) * rowTiles) << 6);
    const fullRun = <usize>(blockRows * rowTiles) << 6;
    for (let n = 0; n < nPanels; n++) {
      const node = <usize>n * panelBytes;
      const target = accumulator ? accumulator + offset + <usize>n * unitBytes : bottom + node;
      for (let panel = 0; panel < kPanels; panel++) {
        for (let k = 0; k < 16; k += 2) {
          const place = (<usize>panel << 10) + (<usize>k << 6);
          weightTile(
            leafA + <usize>panel * aPanel + (<usize>k << 2), aBlock, leafD + <usize>n * dPanel, dBlock,
            firstRun, fullRun, bytes, top + node + place, merges, nodeBytes, target + place,
          );
        }
      }
    }
    top = accumulator ? bottom : bottom + nodeBytes;
  }
}

// @ts-ignore: decorator
@inline
function weightTile(
  a: usize, aBlock: usize, d: usize, dBlock: usize, firstRun: usize, fullRun: usize, bytes: usize,
  top: usize, merges: i32, nodeBytes: usize, target: usize,
): void {
  let c00 = f32x4.splat(0), c01 = c00, c02 = c00, c03 = c00;
  let c10 = c00, c11 = c00, c12 = c00, c13 = c00;
  let x = a, y = d, run = firstRun;
  while (true) {
    const stop = y + run;
    do {
      const x0 = v128.load32_splat(x), x1 = v128.load32_splat(x, 4);
      const b0 = v128.load(y), b1 = v128.load(y, 16), b2 = v128.load(y, 32), b3 = v128.load(y, 48);
      c00 = f32x4.add(c00, f32x4.mul(x0, b0)); c01 = f32x4.add(c01, f32x4.mul(x0, b1));
      c02 = f32x4.add(c02, f32x4.mul(x0, b2)); c03 = f32x4.add(c03, f32x4.mul(x0, b3));
      c10 = f32x4.add(c10, f32x4.mul(x1, b0)); c11 = f32x4.add(c11, f32x4.mul(x1, b1));
      c12 = f32x4.add(c12, f32x4.mul(x1, b2)); c13 = f32x4.add(c13, f32x4.mul(x1, b3));
      x += 64;
      y += 64;
    } while (y != stop);
    bytes -= run;
    if (!bytes) break;
    // From the end of a block's tiles to the start of the next block's.
    x += aBlock - fullRun;
    y += dBlock - fullRun;
    run = min(bytes, fullRun);
  }
  let left = top;
  for (let merge = 0; merge < merges; merge++) {
    left -= nodeBytes;
    c00 = f32x4.add(v128.load(left), c00); c01 = f32x4.add(v128.load(left, 16), c01);
    c02 = f32x4.add(v128.load(left, 32), c02); c03 = f32x4.add(v128.load(left, 48), c03);
    c10 = f32x4.add(v128.load(left, 64), c10); c11 = f32x4.add(v128.load(left, 80), c11);
    c12 = f32x4.add(v128.load(left, 96), c12); c13 = f32x4.add(v128.load(left, 112), c13);
  }
  v128.store(target, c00); v128.store(target, c01, 16); v128.store(target, c02, 32); v128.store(target, c03, 48);
  v128.store(target, c10, 64); v128.store(target, c11, 80); v128.store(target, c12, 96); v128.store(target, c13, 112);
}

/**
 * 16 bias gradients: the column sums of one panel of D, over the leaves and the tree as `weightGradient` does.
 * `stack` has room for 16 floats per level.
 */
export function biasGradient(
  d: usize, dBlock: usize, blockRows: i32, rowTiles: i32,
  schedule: usize, leaves: i32, stack: usize, offset: usize,
): void {
  let top = stack;
  for (let leaf = 0; leaf < leaves; leaf++) {
    const end = stepWord(schedule, leaf, 1), merges = stepWord(schedule, leaf, 2);
    const accumulator = <usize>stepWord(schedule, leaf, 3);
    let s0 = f32x4.splat(0), s1 = s0, s2 = s0, s3 = s0;
    for (let row = stepWord(schedule, leaf, 0); row < end; row++) {
      const block = row / blockRows;
      let y = d + <usize>block * dBlock + (<usize>((row - block * blockRows) * rowTiles) << 6);
      for (let tile = 0; tile < rowTiles; tile++) {
        s0 = f32x4.add(s0, v128.load(y)); s1 = f32x4.add(s1, v128.load(y, 16));
        s2 = f32x4.add(s2, v128.load(y, 32)); s3 = f32x4.add(s3, v128.load(y, 48));
        y += 64;
      }
    }
    for (let merge = 0; merge < merges; merge++) {
      top -= 64;
      s0 = f32x4.add(v128.load(top), s0); s1 = f32x4.add(v128.load(top, 16), s1);
      s2 = f32x4.add(v128.load(top, 32), s2); s3 = f32x4.add(v128.load(top, 48), s3);
    }
    const target = accumulator ? accumulator + offset : top;
    v128.store(target, s0); v128.store(target, s1, 16); v128.store(target, s2, 32); v128.store(target, s3, 48);
    if (!accumulator) top += 64;
  }
}

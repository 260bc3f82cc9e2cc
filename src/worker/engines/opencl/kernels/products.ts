/**
 * Matrix products over packed panels, in OpenCL C, for the shapes that wasm/assembly/products.ts describes: panels of A, C and D are
 * [tiles][16], those of B and G [K][16].
 *
 * A work-group takes a square block of sums, `side` work-items squared with 4 x 4 sums each, and goes through K (or the tiles of a
 * leaf) sixteen at a time: it loads what it needs of both into local memory, in whole lines, and adds it up from there. Every sum
 * takes its products in ascending order, one after the other, whatever the block: its size changes no bit.
 */

/** Work-items of a block in each dimension: as many as a device allows; blocks of 64 x 64 sums, or 32 x 32. */
export type BlockSide = 16 | 8;

/** The side for a device: 256 work-items are enough to keep it busy, and not too many for any GPU of today. */
export function blockSideOf({ maxWorkGroupSize }: { readonly maxWorkGroupSize: number }): BlockSide {
  return maxWorkGroupSize >= 256 ? 16 : 8;
}

/** Sums of a block in each dimension. */
export function blockSums(side: BlockSide): number {
  return 4 * side;
}

/** The source text for blocks of that side. */
export function productsSource(side: BlockSide): string {
  return `
#define SIDE ${String(side)}
#define SUMS ${String(4 * side)}
#define PANELS ${String(side / 4)}
// What a work-group loads of either side: SUMS lines of sixteen floats, in pieces of four.
#define PIECES ${String(16 * side)}
#define ITEMS ${String(side * side)}

// Four rows by four columns: the products of one k, or of one tile.
#define ADD_PRODUCTS(x0, x1, x2, x3, b) \\
  c0 += x0 * b; \\
  c1 += x1 * b; \\
  c2 += x2 * b; \\
  c3 += x3 * b

// C[t][n] = sum over k of A[t][k] B[k][n], at each point. Lengths of panels and planes are in pieces of four floats; tiles are a
// multiple of SUMS.
__kernel __attribute__((reqd_work_group_size(SIDE, SIDE, 1)))
void product(
  __global const float4 *a, const int aPanel, const int kPanels,
  __global const float4 *b, const int bFirst, const int bPanel, const int nPanels,
  __global float4 *c, const int cPanel
) {
  // [row][k / 4] and [k][column / 4].
  __local float4 as[PIECES];
  __local float4 bs[PIECES];
  const int x = get_local_id(0), y = get_local_id(1), item = y * SIDE + x;
  const int firstPanel = get_group_id(0) * PANELS, firstTile = get_group_id(1) * SUMS, point = get_group_id(2);
  float4 c0 = 0.0f, c1 = 0.0f, c2 = 0.0f, c3 = 0.0f;
  a += (size_t)point * kPanels * aPanel + firstTile * 4;
  b += bFirst + (size_t)point * kPanels * 64;
  for (int panel = 0; panel < kPanels; panel++) {
    #pragma unroll
    for (int i = 0; i < PIECES; i += ITEMS) {
      const int piece = i + item, column = piece >> 6;
      as[piece] = a[(size_t)panel * aPanel + piece];
      if (firstPanel + column < nPanels) {
        bs[((piece >> 2) & 15) * SIDE + column * 4 + (piece & 3)] =
          b[(size_t)(firstPanel + column) * bPanel + panel * 64 + (piece & 63)];
      }
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    #pragma unroll
    for (int k = 0; k < 4; k++) {
      const float4 a0 = as[y * 16 + k], a1 = as[y * 16 + 4 + k], a2 = as[y * 16 + 8 + k], a3 = as[y * 16 + 12 + k];
      __local const float4 *bk = bs + k * 4 * SIDE + x;
      const float4 b0 = bk[0], b1 = bk[SIDE], b2 = bk[2 * SIDE], b3 = bk[3 * SIDE];
      ADD_PRODUCTS(a0.x, a1.x, a2.x, a3.x, b0);
      ADD_PRODUCTS(a0.y, a1.y, a2.y, a3.y, b1);
      ADD_PRODUCTS(a0.z, a1.z, a2.z, a3.z, b2);
      ADD_PRODUCTS(a0.w, a1.w, a2.w, a3.w, b3);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
  }
  const int column = firstPanel + (x >> 2);
  if (column >= nPanels) return;
  c += ((size_t)point * nPanels + column) * cPanel + (firstTile + y * 4) * 4 + (x & 3);
  c[0] = c0;
  c[4] = c1;
  c[8] = c2;
  c[12] = c3;
}

// G[k][n] = sum over the tiles t of a leaf of A[t][k] D[t][n], at each point, into the leaf's accumulator: a work-group for each
// block, point and leaf. Tiles behind the leaf's last count as zeros: a sum that began with 0 stays what it is.
__kernel __attribute__((reqd_work_group_size(SIDE, SIDE, 1)))
void weightGradient(
  __global const float4 *a, const int aPanel, const int kPanels,
  __global const float4 *d, const int dPanel, const int nPanels,
  __global float4 *slots, const int slotLength, const int first, const int unitLength,
  const int leaves, const int firstLeaf, const int leafTiles, const int tiles
) {
  __local float4 as[8 * SIDE];
  __local float4 ds[8 * SIDE];
  const int x = get_local_id(0), y = get_local_id(1), item = y * SIDE + x;
  const int nPanel = get_group_id(0) * PANELS, kPanel = get_group_id(1) * PANELS;
  const int point = get_group_id(2) / leaves, slot = get_group_id(2) % leaves;
  const int start = (firstLeaf + slot) * leafTiles, count = min(leafTiles, tiles - start);
  float4 c0 = 0.0f, c1 = 0.0f, c2 = 0.0f, c3 = 0.0f;
  a += (size_t)point * kPanels * aPanel + start * 4;
  d += (size_t)point * nPanels * dPanel + start * 4;
  for (int tile = 0; tile < count; tile += 8) {
    for (int i = item; i < 8 * SIDE; i += ITEMS) {
      const int column = i >> 5, t = (i >> 2) & 7, at = t * SIDE + column * 4 + (i & 3);
      const bool there = tile + t < count;
      as[at] = there && kPanel + column < kPanels ? a[(size_t)(kPanel + column) * aPanel + tile * 4 + (i & 31)] : (float4)0.0f;
      ds[at] = there && nPanel + column < nPanels ? d[(size_t)(nPanel + column) * dPanel + tile * 4 + (i & 31)] : (float4)0.0f;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    #pragma unroll
    for (int t = 0; t < 8; t++) {
      const float4 av = as[t * SIDE + y], dv = ds[t * SIDE + x];
      ADD_PRODUCTS(av.x, av.y, av.z, av.w, dv);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
  }
  const int n = nPanel + (x >> 2), k = kPanel * 16 + y * 4;
  if (n >= nPanels || k >= kPanels * 16) return;
  slots += ((size_t)slot * slotLength + first + (size_t)n * unitLength) / 4 + ((size_t)point * kPanels * 16 + k) * 4 + (x & 3);
  slots[0] = c0;
  slots[4] = c1;
  slots[8] = c2;
  slots[12] = c3;
}
`;
}

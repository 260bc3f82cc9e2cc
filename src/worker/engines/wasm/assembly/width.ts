// How wide the vectors are that V8 will make of this module: 128 bits, or 256 of pairs of them. A constant of the build, so
// each of the two modules holds the code of its own width only; what they compute has the same bits.

// @ts-ignore: WIDE is given by the build
export const wide: bool = WIDE != 0;

/** Rows of the micro-kernels' tile. */
export const tileRows: i32 = wide ? 4 : 2;

/** Zeros that a tile of that many rows begins with. */
export const zeroBytes: usize = <usize>tileRows << 6;

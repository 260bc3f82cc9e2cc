/**
 * Random numbers without state: Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3",
 * SC 2011). Each block of four words is a function of a key and a counter, so any number can be had at any time, in any
 * thread, and a checkpoint holds no generator.
 */

const multiplierA = 0xd2511f53;
const multiplierB = 0xcd9e8d57;
const weylA = 0x9e3779b9;
const weylB = 0xbb67ae85;

/** What a stream of numbers is for; with the seed it is the key, so streams never overlap. */
export const streams = { initialisation: 1, permutation: 2, validation: 3, augmentation: 4 } as const;
export type Stream = keyof typeof streams;

export class Philox {
  readonly #key0: number;
  readonly #key1: number;
  readonly #index: number;
  #counter = 0;
  #used = 4;
  readonly #block = new Uint32Array(4);

  /** @param index which sequence of the stream: a tensor's number, an epoch */
  constructor(seed: number, stream: Stream, index: number) {
    this.#key0 = seed >>> 0;
    this.#key1 = streams[stream];
    this.#index = index >>> 0;
  }

  /** The next 32 bits, as an unsigned integer. */
  uint32(): number {
    if (this.#used === 4) {
      philox4x32([this.#counter++, 0, this.#index, 0], [this.#key0, this.#key1], this.#block);
      this.#used = 0;
    }
    return this.#block[this.#used++]!;
  }

  /** Uniform in [0, 1): 24 bits times 2^-24, exact in float32. */
  uniform(): number {
    return (this.uint32() >>> 8) / 0x100_0000;
  }

  /** Uniform in 0..bound-1, by rejection; bound in 1..2^32. */
  below(bound: number): number {
    const limit = 0x1_0000_0000 - (0x1_0000_0000 % bound);
    for (;;) {
      const value = this.uint32();
      if (value < limit) return value % bound;
    }
  }
}

/** Ten rounds over a counter of four words with a key of two; writes four words. */
export function philox4x32(
  counter: readonly [number, number, number, number],
  key: readonly [number, number],
  block: Uint32Array,
): void {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < 10; round++) {
    const highA = multiplyHigh(multiplierA, c0);
    const highB = multiplyHigh(multiplierB, c2);
    const lowA = Math.imul(multiplierA, c0);
    const lowB = Math.imul(multiplierB, c2);
    c0 = highB ^ c1 ^ k0;
    c1 = lowB;
    c2 = highA ^ c3 ^ k1;
    c3 = lowA;
    k0 = (k0 + weylA) | 0;
    k1 = (k1 + weylB) | 0;
  }
  block[0] = c0;
  block[1] = c1;
  block[2] = c2;
  block[3] = c3;
}

/** The upper 32 bits of the product of two unsigned words, from four products of halves, none of which exceeds a word. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = Math.imul(aHigh, bLow) + (Math.imul(aLow, bLow) >>> 16);
  const cross = Math.imul(aLow, bHigh) + (middle & 0xffff);
  return (Math.imul(aHigh, bHigh) + (middle >>> 16) + (cross >>> 16)) | 0;
}

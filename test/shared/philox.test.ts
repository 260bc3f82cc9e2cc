/** Philox4x32-10 against the known answers of Random123 (kat_vectors), and what is made of its words. */
import { describe, expect, it } from 'vitest';
import { Philox, philox4x32 } from '../../src/shared/model/philox.js';

type Words4 = readonly [number, number, number, number];
type Words2 = readonly [number, number];
const ones = 0xffffffff;

const knownAnswers: readonly { counter: Words4; key: Words2; words: Words4 }[] = [
  { counter: [0, 0, 0, 0], key: [0, 0], words: [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8] },
  { counter: [ones, ones, ones, ones], key: [ones, ones], words: [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd] },
  {
    counter: [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
    key: [0xa4093822, 0x299f31d0],
    words: [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
  },
];

describe('philox', () => {
  it.each(knownAnswers)('maps counter $counter and key $key to the known words', ({ counter, key, words }) => {
    const block = new Uint32Array(4);
    philox4x32(counter, key, block);
    expect([...block]).toEqual(words);
  });

  it('counts blocks up, with the index in the third counter word and seed and stream as the key', () => {
    const random = new Philox(7, 'permutation', 3);
    const drawn = Array.from({ length: 8 }, () => random.uint32());
    const blocks = [0, 1].flatMap((counter) => {
      const block = new Uint32Array(4);
      philox4x32([counter, 0, 3, 0], [7, 2], block);
      return [...block];
    });
    expect(drawn).toEqual(blocks);
  });

  it('gives other numbers for another seed, stream or index', () => {
    const first = (random: Philox): number => random.uint32();
    const sequences = [
      new Philox(1, 'permutation', 0),
      new Philox(2, 'permutation', 0),
      new Philox(1, 'initialisation', 0),
      new Philox(1, 'permutation', 1),
    ];
    expect(new Set(sequences.map(first)).size).toBe(sequences.length);
  });

  it('draws uniforms as multiples of 2^-24 in [0, 1), each exact in float32', () => {
    const random = new Philox(0, 'initialisation', 0);
    let sum = 0;
    for (let i = 0; i < 10_000; i++) {
      const value = random.uniform();
      expect(value >= 0 && value < 1 && Number.isInteger(value * 0x1000000) && Math.fround(value) === value).toBe(true);
      sum += value;
    }
    expect(Math.abs(sum / 10_000 - 0.5)).toBeLessThan(0.015);
  });

  it('draws every integer below a bound, about equally often', () => {
    const random = new Philox(0, 'permutation', 0);
    const seen = new Array<number>(7).fill(0);
    for (let i = 0; i < 7000; i++) {
      const value = random.below(7);
      seen[value] = (seen[value] ?? NaN) + 1;
    }
    expect(seen).toHaveLength(7);
    for (const count of seen) expect(Math.abs(count - 1000)).toBeLessThan(150);
    expect(random.below(1)).toBe(0);
  });

  it('rejects the words that would favour small integers', () => {
    // 2^32 mod (2^31 + 1) = 2^31 - 1 words are rejected: what is left maps one to one.
    const bound = 0x80000001;
    const words = new Philox(5, 'permutation', 0);
    const random = new Philox(5, 'permutation', 0);
    const accepted: number[] = [];
    while (accepted.length < 50) {
      const word = words.uint32();
      if (word < bound) accepted.push(word);
    }
    expect(accepted.map(() => random.below(bound))).toEqual(accepted);
  });
});

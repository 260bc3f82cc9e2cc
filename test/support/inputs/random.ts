/** Random numbers for tests, the same sequence for the same seed. */

/** Uniform in 0..65535: the high bits of a linear congruential generator, whose low ones are poor. */
export function randomBits(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state >>> 16;
  };
}

import { defineConfig } from 'vitest/config';

/** What takes minutes; `npm test` has a short form of each. */
export default defineConfig({
  test: {
    include: ['test/long/**/*.test.ts'],
    pool: 'forks',
    fileParallelism: false,
    testTimeout: 900_000,
    hookTimeout: 120_000,
  },
});

import { defineConfig } from 'vitest/config';
import { built } from '../support/compute/built.js';

/** What takes minutes; `npm test` has a short form of each. */
export default defineConfig({
  plugins: [built],
  test: {
    include: ['test/long/**/*.test.ts'],
    setupFiles: ['test/support/typed-arrays.ts'],
    pool: 'forks',
    // Lets tests have the threads of their runs fail.
    execArgv: [`--import=${new URL('../support/processes/fault.mjs', import.meta.url).href}`],
    fileParallelism: false,
    testTimeout: 900_000,
    hookTimeout: 120_000,
  },
});

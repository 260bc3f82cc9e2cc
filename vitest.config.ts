import { configDefaults, defineConfig } from 'vitest/config';

const narrow = {
  extends: true,
  test: {
    name: '128 bits',
    include: ['exactness', 'kernels', 'engine-contract'].map((name) => `test/${name}.test.ts`),
    env: { MNIST_DDP_SIMD: '128' },
  },
} as const;

export default defineConfig({
  test: {
    projects: [
      { extends: true, test: { name: '', include: ['test/**/*.test.ts'] } },
      // Where kernels are 256 bits wide by themselves, what decides bits is tested with 128 too.
      ...(Number.parseInt(process.versions.v8, 10) < 13 ? [] : [narrow]),
    ],
    exclude: [...configDefaults.exclude, 'test/long/**'],
    pool: 'forks',
    // Lets tests have the threads of their runs fail.
    execArgv: [`--import=${new URL('./test/support/fault.mjs', import.meta.url).href}`],
    // Half of the tests wait for other processes.
    maxWorkers: 2,
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});

import { configDefaults, defineConfig } from 'vitest/config';
import { built } from './test/support/compute/built.js';

const narrow = {
  extends: true as const,
  plugins: [built],
  test: {
    name: '128 bits',
    include: ['exactness', 'kernels', 'engine-contract'].map((name) => `test/built/worker/${name}.test.ts`),
    env: { MNIST_DDP_SIMD: '128' },
  },
};

export default defineConfig({
  test: {
    projects: [
      // Needs no build: what runs without kernels, threads of its own, and the command line.
      {
        extends: true,
        test: {
          name: 'source',
          include: ['test/**/*.test.ts'],
          exclude: [...configDefaults.exclude, 'test/long/**', 'test/built/**'],
        },
      },
      { extends: true, plugins: [built], test: { name: 'built', include: ['test/built/**/*.test.ts'] } },
      // Where kernels are 256 bits wide by themselves, what decides bits is tested with 128 too.
      ...(Number.parseInt(process.versions.v8, 10) < 13 ? [] : [narrow]),
    ],
    setupFiles: ['test/support/typed-arrays.ts'],
    pool: 'forks',
    // Lets tests have the threads of their runs fail.
    execArgv: [`--import=${new URL('./test/support/processes/fault.mjs', import.meta.url).href}`],
    // Only tests of OpenCL look for it: where there is a loader, `auto` would ask its drivers in each run.
    env: { MNIST_DDP_OPENCL: '/nonexistent/libOpenCL.so.1' },
    // Half of the tests wait for other processes.
    maxWorkers: 2,
    testTimeout: 120_000,
    hookTimeout: 120_000,
    coverage: { include: ['src/**'], exclude: ['src/**/assembly/**', 'src/browser/**'] },
  },
});

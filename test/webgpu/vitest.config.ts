import { defineConfig } from 'vitest/config';
import { built } from '../support/compute/built.js';

/** What test/long/tfjs-webgpu.test.ts runs in a process with a WebGPU driver: the driver is chosen before a process starts. */
export default defineConfig({
  plugins: [built],
  test: {
    include: ['test/webgpu/**/*.webgpu.ts'],
    pool: 'forks',
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});

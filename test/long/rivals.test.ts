/** The rivals of bench/compare.mjs that npm brings are the same training. Nothing here is timed. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const node = (...args: string[]) => promisify(execFile)(process.execPath, args, { cwd: root, timeout: 110_000 });

it('jax-js and TensorFlow.js on wasm have the same loss after a step from the same parameters', async () => {
  // The loss of the second batch: it takes the forward pass, all gradients and Adam to agree.
  const lossOf = async (...rival: string[]) => {
    const { stdout } = await node(...rival, '--batch-size', '4', '--warmup', '1', '--steps', '1');
    return (JSON.parse(stdout) as { loss: number }).loss;
  };
  const [jax, tfjs] = await Promise.all([
    lossOf('bench/rivals/jax.mjs'),
    lossOf('bench/rivals/tfjs.mjs', '--backend', 'wasm'),
  ]);
  expect(jax).toBeGreaterThan(1);
  expect(jax).toBeCloseTo(tfjs, 4);
});

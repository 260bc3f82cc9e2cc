/** The engine contract on WebGPU (test/webgpu), in a process of its own that has a driver; left out where there is none. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { cliPath } from '../support/processes/cli.js';
import { temporaryDataset } from '../support/inputs/idx-files.js';
import { findTensorFlow, webGpuEnvironment } from '../support/compute/tensorflow.js';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));
const env = { ...webGpuEnvironment(), NO_COLOR: '1' };

interface Answer {
  readonly error?: string;
  readonly adapter?: { readonly description: string; readonly architecture: string } | null;
}

/** What vitest writes as JSON. */
interface Report {
  readonly success: boolean;
  readonly numPassedTests: number;
  readonly testResults: readonly {
    readonly message: string;
    readonly assertionResults: readonly { readonly fullName: string; readonly failureMessages: readonly string[] }[];
  }[];
}

/** Why WebGPU cannot be tested here, or null. */
async function whatIsMissing(): Promise<string | null> {
  const { libraries, missing } = findTensorFlow('tfjs-webgpu');
  if (missing !== null) return missing;
  const request = JSON.stringify({ name: 'tfjs-webgpu', libraries });
  const { stdout } = await run(process.execPath, [join(root, 'dist/library/devices/engine-probe.js'), request], {
    env,
  });
  const { error, adapter } = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Answer;
  if (error === undefined)
    console.log(`WebGPU is tested on ${adapter?.description ?? ''} (${adapter?.architecture ?? ''})`);
  else console.warn(`TESTS LEFT OUT: ${error} (on Debian, apt-get install chromium brings a software adapter)`);
  return error ?? null;
}

const missing = await whatIsMissing();

it.skipIf(missing !== null)(
  `tfjs-webgpu keeps the contract${missing === null ? '' : `, NOT TESTED: ${missing}`}`,
  async () => {
    const vitest = join(dirname(createRequire(import.meta.url).resolve('vitest/package.json')), 'vitest.mjs');
    const args = [vitest, 'run', '--config', 'test/webgpu/vitest.config.ts', '--root', root, '--reporter', 'json'];
    // It ends with an error where a test fails, whose output is the report all the same.
    const { stdout } = await run(process.execPath, args, { env, cwd: root }).catch(
      (error: unknown) => error as { stdout: string },
    );
    const { success, numPassedTests, testResults } = JSON.parse(stdout) as Report;
    const failures = testResults.flatMap(({ message, assertionResults }) => [
      ...(message === '' ? [] : [message]),
      ...assertionResults.flatMap(({ fullName, failureMessages }) =>
        failureMessages.map((said) => `${fullName}: ${said}`),
      ),
    ]);
    expect(failures).toEqual([]);
    expect(success).toBe(true);
    expect(numPassedTests).toBe(8);
  },
);

it.skipIf(missing !== null)('trains a step of four rows to the loss of wasm, names the adapter, and ends', async () => {
  const { directory, data, remove } = await temporaryDataset(8, 2);
  try {
    // Evaluation takes about a second a row.
    const trained = async (engine: string): Promise<{ stderr: string; loss: number }> => {
      const out = join(directory, engine);
      const args = ['train', '--data', data, '--max-steps', '1', '--batch-size', '4', '--workers', '1'];
      const { stderr } = await run(process.execPath, [cliPath, ...args, '--engine', engine, '--out', out], { env });
      const { trainLoss } = JSON.parse(await readFile(join(out, 'summary.json'), 'utf8')) as { trainLoss: number };
      return { stderr, loss: trainLoss };
    };
    const [ours, theirs] = [await trained('tfjs-webgpu'), await trained('wasm')];
    expect(ours.stderr).toMatch(/^1 worker, engine tfjs-webgpu \(WebGPU on /);
    expect(Math.abs(ours.loss - theirs.loss)).toBeLessThan(1e-5);
  } finally {
    await remove();
  }
});

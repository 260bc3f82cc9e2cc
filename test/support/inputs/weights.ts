/** Weights for tests of file formats, and what reading a file says. */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { expect } from 'vitest';
import { readWeights } from '../../../src/interchange/formats.js';
import { stateTensors, type Weights } from '../../../src/interchange/weights.js';
import { batchNormChannels, parameterCount } from '../../../src/shared/model/network.js';
import { operationalError } from '../compute/errors.js';

export const patternBatches = 4711;

/** The values that test/golden/interchange.py documents and wrote. */
export function patternedWeights(batchesTracked = patternBatches): Weights {
  const weights = emptyWeights(batchesTracked);
  for (const [t, { name, part, offset, length }] of stateTensors.entries()) {
    if (part === 'batchesTracked') continue;
    for (let i = 0; i < length; i++) {
      const counter = (i + 1) * (t + 3);
      const value = name.endsWith('running_var') ? (counter % 125) + 1 : (counter % 251) - 125;
      weights[part][offset + i] = value / 128;
    }
  }
  return weights;
}

/** Every kind of finite float32, subnormals and negative zero among them, on shared memory as a run has them. */
export function bitPatternWeights(): Weights {
  const weights = emptyWeights(2 ** 40 + 1);
  for (const values of [weights.parameters, weights.runningStatistics]) {
    const bits = new Uint32Array(values.buffer);
    for (let i = 0; i < bits.length; i++) bits[i] = Math.imul(i + 1, 0x9e3779b1) & 0xbfffffff;
    bits.set([0x80000000, 1, 0x80000001, 0x7f7fffff, 0xff7fffff]);
  }
  const variances = weights.runningStatistics.subarray(batchNormChannels);
  for (const [i, value] of variances.entries()) variances[i] = Math.abs(value);
  return weights;
}

function emptyWeights(batchesTracked: number): Weights {
  const floats = (length: number): Float32Array => new Float32Array(new SharedArrayBuffer(4 * length));
  return { parameters: floats(parameterCount), runningStatistics: floats(2 * batchNormChannels), batchesTracked };
}

export function expectSameBits(actual: Weights, expected: Weights): void {
  const bytes = (values: Float32Array): Buffer => Buffer.from(values.buffer, values.byteOffset, values.byteLength);
  expect(actual.parameters).toHaveLength(parameterCount);
  expect(Buffer.compare(bytes(actual.parameters), bytes(expected.parameters)), 'parameters').toBe(0);
  expect(Buffer.compare(bytes(actual.runningStatistics), bytes(expected.runningStatistics)), 'statistics').toBe(0);
  expect(actual.batchesTracked).toBe(expected.batchesTracked);
}

/** A file of test/golden/interchange.py. */
export function golden(name: string): Buffer {
  return gunzipSync(readFileSync(new URL(`../../golden/${name}.gz`, import.meta.url)));
}

/** What reading a file of those bytes says behind its name. */
export async function refusal(bytes: Uint8Array): Promise<string> {
  const error = await operationalError(() => readWeights('some.file', bytes));
  expect(error.code).toBe('WEIGHTS_INVALID');
  expect(error.message).toMatch(/^some\.file (is|has|holds|asks|uses)\b[\x20-\x7e]+; [a-z][\x20-\x7e]+$/);
  expect(error.message.length).toBeLessThan(400);
  return error.message.slice('some.file '.length);
}

/** Fails unless reading the bytes gives weights or an operational error: no bug, whatever the bytes. */
export async function expectReadOrRefused(bytes: Uint8Array): Promise<'read' | 'refused'> {
  try {
    await readWeights('some.file', bytes);
    return 'read';
  } catch (error) {
    // A bug shows itself with its stack, which takes a while to make: so only then.
    if (!(error instanceof Error) || error.name !== 'OperationalError') throw error;
    return 'refused';
  }
}

import { createHash } from 'node:crypto';
import { mkdir, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Packr, unpack } from 'msgpackr';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { decodeCheckpoint, encodeCheckpoint } from '../../src/coordinator/checkpoint/checkpoint-format.js';
import { arithmeticSha256 } from '../../src/coordinator/checkpoint/golden-hashes.js';
import { parametersSha256, readCheckpoint, writeCheckpoint } from '../../src/coordinator/node/checkpoint-files.js';
import type { Checkpoint } from '../../src/coordinator/node/checkpoint-files.js';
import { isPlainMessagePack } from '../../src/coordinator/checkpoint/plain-msgpack.js';
import { writeFileAtomically } from '../../src/files/atomic-file.js';
import { defaultConfig } from '../../src/shared/model/config.js';
import { batchNormChannels, parameterCount } from '../../src/shared/model/network.js';
import { operationalError } from '../support/compute/errors.js';
import { temporaryDirectory } from '../support/inputs/idx-files.js';

const headerLength = 48;
const keep = { keepPrevious: true };
let directory: string;
let remove: () => Promise<void>;

beforeEach(async () => {
  ({ directory, remove } = await temporaryDirectory());
});
afterEach(async () => {
  await remove();
});

/** Finite floats of every size, subnormals and negative zero among them, on shared memory as in training. */
function floats(length: number, seed: number): Float32Array {
  const bits = new Uint32Array(new SharedArrayBuffer(4 * length));
  for (let i = 0; i < length; i++) {
    const random = Math.imul(i + seed, 0x9e3779b1) >>> 0;
    const isFinite = (random & 0x7f800000) !== 0x7f800000;
    bits[i] = isFinite ? random : random & ~0x40000000;
  }
  bits.set([0x80000000, 1, 0x7f7fffff]);
  return new Float32Array(bits.buffer);
}

/** The same without signs. */
function squares(length: number, seed: number): Float32Array {
  const values = floats(length, seed);
  const bits = new Uint32Array(values.buffer);
  bits.forEach((value, i) => (bits[i] = value & 0x7fffffff));
  return values;
}

/** Means, then variances. */
function statistics(rank: number): Float32Array {
  const values = floats(2 * batchNormChannels, rank);
  values.set(squares(batchNormChannels, rank), batchNormChannels);
  return values;
}

async function example(step: number, local = false): Promise<Checkpoint> {
  const parameters = floats(parameterCount, step);
  const sha256 = await parametersSha256(parameters);
  return {
    config: { ...defaultConfig, batchNorm: local ? 'local' : 'sync', seed: 4_294_967_295 },
    dataset: 'mnist',
    engine: 'wasm',
    arithmetic: arithmeticSha256,
    step,
    worldSize: 3,
    parameters,
    firstMoments: floats(parameterCount, step + 1),
    secondMoments: squares(parameterCount, step + 2),
    runningStatistics: Array.from({ length: local ? 3 : 1 }, (_, rank) => statistics(rank)),
    beta1Power: 0.9 * 0.9 * 0.9,
    beta2Power: 0.1 + 0.2,
    average: null,
    parametersSha256: sha256,
    init: local ? { file: 'weights.pth', parametersSha256: sha256 } : null,
    overridden: local ? ['data', 'seed'] : [],
    losses: local ? { logEvery: 100, interval: { steps: 3, sum: 4.5 }, epoch: { steps: 7, sum: 10.7 } } : null,
    keepBest: local,
    best: local ? { step: 400, epoch: 3, correct: 99, total: 100, loss: 1.47 } : null,
  };
}

const bytesOf = (values: Float32Array): Buffer => Buffer.from(values.buffer, values.byteOffset, values.byteLength);

function expectSame(actual: Checkpoint, expected: Checkpoint): void {
  const { parameters: a, firstMoments: b, secondMoments: c, runningStatistics: d, ...scalars } = actual;
  const { parameters, firstMoments, secondMoments, runningStatistics, ...others } = expected;
  expect(scalars).toEqual(others);
  const arrays = [a, b, c, ...d].map(bytesOf);
  const wanted = [parameters, firstMoments, secondMoments, ...runningStatistics].map(bytesOf);
  expect(arrays.length).toBe(wanted.length);
  arrays.forEach((array, i) => {
    expect(Buffer.compare(array, wanted[i] ?? Buffer.alloc(0))).toBe(0);
  });
}

/** A payload with a valid header around it. */
function sealed(payload: Uint8Array, version = 2): Buffer {
  const head = Buffer.alloc(headerLength);
  head.write('mnistddp');
  head.writeUInt32LE(version, 8);
  head.writeUInt32LE(payload.length, 12);
  createHash('sha256').update(payload).digest().copy(head, 16);
  return Buffer.concat([head, payload]);
}

/** What reading a file of those bytes says. */
async function refusal(bytes: Uint8Array): Promise<string> {
  const path = join(directory, 'some.msgpack');
  await writeFile(path, bytes);
  const error = await operationalError(() => readCheckpoint(path));
  expect(error.code).toBe('CHECKPOINT_INVALID');
  expect(error.message.startsWith(`${path} `)).toBe(true);
  expect(error.message).toContain('; ');
  return error.message;
}

describe('writing and reading', () => {
  it.each([false, true])('gives every bit back (batch norm local: %s)', async (local) => {
    const checkpoint = await example(469, local);
    const path = await writeCheckpoint(directory, checkpoint, keep);
    expect(path).toBe(join(directory, 'checkpoint.msgpack'));
    expectSame(await readCheckpoint(path), checkpoint);
    expect(await readdir(directory)).toEqual(['checkpoint.msgpack']);
  });

  it('keeps the one before, and no more', async () => {
    for (const step of [1, 2, 3]) await writeCheckpoint(directory, await example(step), keep);
    expect((await readdir(directory)).sort()).toEqual(['checkpoint.msgpack', 'checkpoint.previous.msgpack']);
    expect((await readCheckpoint(join(directory, 'checkpoint.msgpack'))).step).toBe(3);
    expect((await readCheckpoint(join(directory, 'checkpoint.previous.msgpack'))).step).toBe(2);
  });

  it('keeps the one before where the newest is not known to be whole', async () => {
    for (const step of [1, 2]) await writeCheckpoint(directory, await example(step), keep);
    await writeFile(join(directory, 'checkpoint.msgpack'), 'damaged');
    await writeCheckpoint(directory, await example(3), { keepPrevious: false });
    expect((await readCheckpoint(join(directory, 'checkpoint.msgpack'))).step).toBe(3);
    expect((await readCheckpoint(join(directory, 'checkpoint.previous.msgpack'))).step).toBe(1);
  });

  it('takes the arrays as they are when called, whatever the caller does next', async () => {
    const checkpoint = await example(5);
    const writing = writeCheckpoint(directory, checkpoint, keep);
    checkpoint.parameters.fill(0);
    expectSame(await readCheckpoint(await writing), await example(5));
  });

  it.each([32, 64])('is of a job of %i workers in all processes', async (worldSize) => {
    const checkpoint = { ...(await example(6)), worldSize };
    expectSame(await decodeCheckpoint(await encodeCheckpoint(checkpoint)), checkpoint);
  });

  it('refuses a folder that is not there, and one that is a file, by name', async () => {
    const missing = await operationalError(async () =>
      writeCheckpoint(join(directory, 'gone'), await example(1), keep),
    );
    expect(missing.code).toBe('OUT_NOT_WRITABLE');
    expect(missing.message).toMatch(/gone.checkpoint\.msgpack: the folder does not exist .*ENOENT/);
    await writeFile(join(directory, 'file'), '');
    const notFolder = await operationalError(async () =>
      writeCheckpoint(join(directory, 'file'), await example(1), keep),
    );
    expect(notFolder.code).toBe('OUT_NOT_WRITABLE');
  });

  it('leaves the old files whole, and no temporary one, where the new one cannot be put in place', async () => {
    await writeCheckpoint(directory, await example(1), keep);
    await mkdir(join(directory, 'checkpoint.previous.msgpack', 'in-the-way'), { recursive: true });
    const error = await operationalError(async () => writeCheckpoint(directory, await example(2), keep));
    expect(error.code).toBe('OUT_NOT_WRITABLE');
    expect((await readdir(directory)).sort()).toEqual(['checkpoint.msgpack', 'checkpoint.previous.msgpack']);
    expect((await readCheckpoint(join(directory, 'checkpoint.msgpack'))).step).toBe(1);
  });

  it('a full disk is named, and nothing is harmed', async () => {
    const path = join(directory, 'f');
    await writeFile(path, 'old');
    const handle = await open(path);
    const full = Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
    vi.spyOn(Object.getPrototypeOf(handle) as typeof handle, 'writeFile').mockRejectedValueOnce(full);
    await handle.close();
    const error = await operationalError(() => writeFileAtomically(path, 'new'));
    expect(error.code).toBe('OUT_NOT_WRITABLE');
    expect(error.message).toMatch(/the disk is full \(ENOSPC\)/);
    expect(await readFile(path, 'utf8')).toBe('old');
    expect(await readdir(directory)).toEqual(['f']);
  });
});

const payload = (await encodeCheckpoint(await example(7))).subarray(headerLength);

describe('the payload is plain MessagePack', () => {
  it('without extension types or records, with little-endian float32 binaries', async () => {
    expect(isPlainMessagePack(payload)).toBe(true);
    const fields = unpack(payload) as Record<string, unknown>;
    expect(fields['step']).toBe(7);
    const parameters = fields['parameters'] as Uint8Array;
    const view = new DataView(parameters.buffer, parameters.byteOffset, parameters.byteLength);
    const bits = new DataView(bytesOf(floats(1000, 7)).buffer);
    for (let i = 0; i < 1000; i++) expect(view.getUint32(4 * i, true)).toBe(bits.getUint32(4 * i, true));
    expect(await parametersSha256(floats(parameterCount, 7))).toBe(
      createHash('sha256').update(parameters).digest('hex'),
    );
  });

  it.each([
    ['nothing', []],
    ['an array that claims 2^32 - 1 values', [0xdd, 0xff, 0xff, 0xff, 0xff]],
    ['a map that claims 2^32 - 1 entries', [0xdf, 0xff, 0xff, 0xff, 0xff]],
    ['a binary longer than the rest', [0xc6, 0xff, 0xff, 0xff, 0xff, 1]],
    ['arrays in arrays in arrays', Array<number>(5000).fill(0x91)],
    ['an extension type', [0xd4, 0x72, 0x40]],
    ['a value and a byte', [0xc0, 0xc0]],
    ['the byte that is never used', [0xc1]],
  ])('refuses %s', (_name, bytes) => {
    expect(isPlainMessagePack(Uint8Array.from(bytes))).toBe(false);
  });

  it('takes every plain type', () => {
    const value = [
      null,
      true,
      false,
      0,
      200,
      70_000,
      5e9,
      -1,
      -200,
      -70_000,
      -5e9,
      1.5,
      'a',
      'b'.repeat(300),
      { c: [] },
    ];
    const bytes = new Packr({ useRecords: false }).pack([
      value,
      'd'.repeat(70_000),
      new Uint8Array(300),
      new Uint8Array(9),
    ]);
    expect(isPlainMessagePack(bytes)).toBe(true);
    for (let cut = 0; cut < bytes.length; cut += 11) expect(isPlainMessagePack(bytes.subarray(0, cut))).toBe(false);
  });
});

const whole = await encodeCheckpoint(await example(9));
const fields = unpack(whole.subarray(headerLength)) as Record<string, unknown>;

describe('checkpoints of version 1, up to 0.3.0, which named the hash of the kernels', () => {
  const versionOne = (kernelsSha256: unknown): Buffer => {
    const old = Object.entries(fields).filter(([name]) => name !== 'arithmetic');
    return sealed(new Packr({ useRecords: false }).pack({ ...Object.fromEntries(old), kernelsSha256 }), 1);
  };

  it.each([
    ['of wasm', 'ab'.repeat(32), '7dd3d01281174df1141ae5476db08333f0a94a0540fe4def4739ffbe50cae340'],
    ['of an engine without kernels', null, null],
  ])('%s are of the arithmetic that all of these versions had', async (_, kernelsSha256, arithmetic) => {
    const checkpoint = await decodeCheckpoint(versionOne(kernelsSha256));
    expectSame(checkpoint, { ...(await example(9)), arithmetic });
  });

  it('and are refused without it', async () => {
    expect(await refusal(versionOne(5))).toContain('its field "kernelsSha256"');
  });
});

describe('bad files are one clear line', () => {
  const pack = (value: unknown): Buffer => sealed(new Packr({ useRecords: false }).pack(value));

  it('nothing there', async () => {
    const error = await operationalError(() => readCheckpoint(join(directory, 'checkpoint.msgpack')));
    expect(error.code).toBe('CHECKPOINT_MISSING');
    expect(error.message).toContain(join(directory, 'checkpoint.msgpack'));
  });

  it('a folder', async () => {
    const error = await operationalError(() => readCheckpoint(directory));
    expect(error.code).toBe('CHECKPOINT_INVALID');
  });

  it('not a checkpoint: empty, text, another format', async () => {
    expect(await refusal(Buffer.alloc(0))).toContain('is empty');
    expect(await refusal(Buffer.from('hello'))).toContain('is not a checkpoint of mnist-ddp');
    expect(await refusal(Buffer.alloc(100_000, 0x50))).toContain('is not a checkpoint of mnist-ddp');
  });

  it('truncated at any length', async () => {
    for (const length of [1, 7, 8, 9, 15, 16, 47, 48, 49, 1000, whole.length >> 1, whole.length - 1]) {
      expect(await refusal(whole.subarray(0, length)), String(length)).toContain('is truncated');
    }
  });

  it('longer than it says', async () => {
    expect(await refusal(Buffer.concat([whole, Buffer.of(0)]))).toContain('is corrupted: it goes on after its end');
  });

  it('a single flipped bit anywhere is found', async () => {
    const bytes = Uint8Array.from(whole);
    const positions = [...Array(headerLength + 600).keys()];
    for (let i = 0; i < 20; i++) positions.push((Math.imul(i + 1, 0x9e3779b1) >>> 0) % whole.length);
    positions.push(whole.length - 1);
    for (const position of positions) {
      // A whole hash for each bit would be slow: all eight bits of what stands before the header's hash, one of other bytes.
      const bits = position < 16 ? [0, 1, 2, 3, 4, 5, 6, 7] : [position % 8];
      if (position >= headerLength && position % 31 !== 0 && position < headerLength + 600) continue;
      for (const bit of bits) {
        bytes[position] = (bytes[position] ?? 0) ^ (1 << bit);
        await expect(decodeCheckpoint(bytes), `byte ${String(position)} bit ${String(bit)}`).rejects.toThrow(
          /is not a checkpoint|is truncated|is corrupted|is of format version|declares/,
        );
        bytes[position] = (bytes[position] ?? 0) ^ (1 << bit);
      }
    }
    expect((await decodeCheckpoint(bytes)).step).toBe(9);
  });

  it('another version', async () => {
    for (const version of [0, 3]) {
      const says = new RegExp(`is of format version ${String(version)}, but .* reads 1 to 2`);
      expect(await refusal(sealed(whole.subarray(headerLength), version))).toMatch(says);
    }
  });

  it('another network: names the first tensor that differs', async () => {
    const tensors = structuredClone(fields['tensors']) as { name: string; shape: number[] }[];
    const first = tensors[0];
    if (first !== undefined) first.shape = [32, 1, 3, 3];
    expect(await refusal(pack({ ...fields, tensors }))).toContain(
      'is of another network: it has conv1.weight [32,1,3,3] where this network has conv1.weight [64,1,3,3]',
    );
    expect(await refusal(pack({ ...fields, tensors: tensors.slice(0, 0) }))).toContain('it has no tensor where');
    const longer = [...(fields['tensors'] as unknown[]), { name: 'linear3.bias', shape: [10] }];
    expect(await refusal(pack({ ...fields, tensors: longer }))).toContain('it has linear3.bias [10]');
  });

  it.each([
    ['step', -1],
    ['step', 1.5],
    ['worldSize', 0],
    ['worldSize', 2.5],
    ['dataset', 5],
    ['arithmetic', 5],
    ['init', { file: 'weights.pth' }],
    ['beta1Power', 'x'],
    ['beta1Power', 5],
    ['beta2Power', -1],
    ['parameters', new Uint8Array(8)],
    ['firstMoments', 'text'],
    ['runningStatistics', []],
    ['runningStatistics', [new Uint8Array(4)]],
    ['config', {}],
    ['config', { ...defaultConfig, epochs: 0 }],
    ['config', null],
    ['parametersSha256', '0'.repeat(64)],
  ])('a valid checksum around a field that is wrong: %s', async (field, value) => {
    expect(await refusal(pack({ ...fields, [field]: value }))).toContain(`its field "${field}"`);
  });

  it.each([
    ['parameters', 5, NaN],
    ['parameters', parameterCount - 1, -Infinity],
    ['firstMoments', 0, Infinity],
    ['secondMoments', 3, -1e-30],
    ['secondMoments', 3, Infinity],
    ['runningStatistics', 0, NaN],
    ['runningStatistics', batchNormChannels, -1],
    ['runningStatistics', 2 * batchNormChannels - 1, Infinity],
  ] as const)('a valid checksum around a network that cannot be: %s[%i] = %d', async (field, index, value) => {
    const arrays = { ...fields } as Record<string, unknown>;
    const bytes = field === 'runningStatistics' ? (fields[field] as Uint8Array[])[0] : (fields[field] as Uint8Array);
    const floatsThere = new Float32Array(Uint8Array.from(bytes ?? []).buffer);
    floatsThere[index] = value;
    const changed = new Uint8Array(floatsThere.buffer);
    arrays[field] = field === 'runningStatistics' ? [changed] : changed;
    // A hash that fits, so that it is not what is wrong.
    if (field === 'parameters') arrays['parametersSha256'] = await parametersSha256(floatsThere);
    expect(await refusal(pack(arrays))).toContain(`its field "${field}"`);
  });

  it('a valid checksum around hostile MessagePack', async () => {
    expect(await refusal(sealed(Uint8Array.of(0xdd, 0xff, 0xff, 0xff, 0xff)))).toContain('its field "payload"');
    expect(await refusal(sealed(Uint8Array.of(0xc0)))).toContain('its field "payload"');
    expect(await refusal(sealed(new Uint8Array(0)))).toContain('its field "payload"');
    expect(await refusal(sealed(new Uint8Array(5000).fill(0x91)))).toContain('its field "payload"');
  });

  it('a declared size of 2^32 - 1 is not allocated', async () => {
    const head = Buffer.from(whole.subarray(0, headerLength));
    head.writeUInt32LE(0xffffffff, 12);
    const before = process.memoryUsage().rss;
    expect(await refusal(head)).toContain('declares 4294967295 bytes');
    expect(process.memoryUsage().rss - before).toBeLessThan(64 << 20);
  });

  it('offers the generation before where that one is whole, and only then', async () => {
    for (const step of [1, 2]) await writeCheckpoint(directory, await example(step), keep);
    const [path, previous] = ['checkpoint.msgpack', 'checkpoint.previous.msgpack'].map((name) => join(directory, name));
    await writeFile(path ?? '', whole.subarray(0, 1000));
    const offered = await operationalError(() => readCheckpoint(path ?? ''));
    expect(offered.message).toContain(`is truncated: it has 1000 of ${String(whole.length)} bytes`);
    expect(offered.message).toContain(`use ${previous ?? ''}`);
    await rm(path ?? '');
    expect((await operationalError(() => readCheckpoint(path ?? ''))).message).toContain(`use ${previous ?? ''}`);
    await writeFile(path ?? '', 'x');
    await writeFile(previous ?? '', 'y');
    expect((await operationalError(() => readCheckpoint(path ?? ''))).message).not.toContain('previous');
  });
});

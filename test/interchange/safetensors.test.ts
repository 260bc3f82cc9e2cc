import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { maxWeightsFileBytes, readWeights, writeWeights } from '../../src/interchange/formats.js';
import { parameterCount } from '../../src/shared/model/network.js';
import {
  bitPatternWeights,
  expectReadOrRefused,
  expectSameBits,
  golden,
  patternedWeights,
  refusal,
} from '../support/inputs/weights.js';

interface Entry {
  dtype: string;
  shape: number[];
  data_offsets: number[];
}

const file = await writeWeights('safetensors', patternedWeights());
const headerLength = Number(new DataView(file.buffer).getBigUint64(0, true));
const header = new TextDecoder().decode(file.subarray(8, 8 + headerLength));
const data = file.subarray(8 + headerLength);

/** A file of that header, and those bytes of tensors. */
function fileOf(text: string, tensors: Uint8Array = data): Uint8Array {
  const bytes = Buffer.from(text);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(bytes.length));
  return Buffer.concat([length, bytes, tensors]);
}

/** The file with another entry for a tensor. */
function withEntry(name: string, change: (entry: Entry) => unknown): Uint8Array {
  const entries = JSON.parse(header) as Record<string, Entry>;
  const entry = entries[name];
  expect(entry).toBeDefined();
  if (entry === undefined) return file;
  return fileOf(JSON.stringify({ ...entries, [name]: change(entry) }));
}

describe('reading and writing', () => {
  it('gives every bit back', async () => {
    const bytes = await writeWeights('safetensors', bitPatternWeights());
    expectSameBits(await readWeights('f', bytes), bitPatternWeights());
  });

  it('reads what Python wrote, and writes the same bytes', async () => {
    const theirs = golden('state-dict.safetensors');
    expectSameBits(await readWeights('f', theirs), patternedWeights());
    expect(Buffer.compare(theirs, file)).toBe(0);
  });

  it('reads tensors in any order, without metadata, behind spaces, and without num_batches_tracked', async () => {
    const { __metadata__: metadata, ...rest } = JSON.parse(header) as Record<string, Entry>;
    expect(metadata).toEqual({ format: 'pt' });
    const reversed = JSON.stringify(Object.fromEntries(Object.entries(rest).reverse()), null, 3);
    expectSameBits(await readWeights('f', fileOf(`${reversed}\n\n`)), patternedWeights());
    // The three counts come first, with 8 bytes each.
    const floats = Object.entries(rest).filter(([, { dtype }]) => dtype === 'F32');
    const moved = floats.map(([name, entry]) => [
      name,
      { ...entry, data_offsets: entry.data_offsets.map((at) => at - 24) },
    ]);
    const uncounted = fileOf(JSON.stringify(Object.fromEntries(moved)), data.subarray(24));
    expectSameBits(await readWeights('f', uncounted), patternedWeights(0));
  });
});

describe('refuses', () => {
  it.each<[string, () => Uint8Array, RegExp]>([
    [
      'another shape',
      () => withEntry('linear1.weight', (e) => ({ ...e, shape: [256, 512] })),
      /has linear1\.weight of shape \[256, 512\] where this network has \[512, 256\]/,
    ],
    [
      'another type',
      () => withEntry('conv1.bias', (e) => ({ ...e, dtype: 'I64', shape: [32] })),
      /conv1\.bias of shape \[32\]/,
    ],
    [
      'an unknown type',
      () => withEntry('conv1.bias', (e) => ({ ...e, dtype: 'F8_E4M3' })),
      /has conv1\.bias of type F8_E4M3, which is none of F32/,
    ],
    [
      'a type that is no name',
      () => withEntry('conv1.bias', (e) => ({ ...e, dtype: 7 })),
      /conv1\.bias of type unknown/,
    ],
    [
      'another name',
      () => fileOf(header.replace('"conv1.bias"', '"conv1.offset"')),
      /no tensor conv1\.bias of shape \[64\], but conv1\.offset/,
    ],
    [
      'a size of 2^63',
      () => fileOf(header.replace('"shape":[64]', '"shape":[9223372036854775808]')),
      /sizes that are none/,
    ],
    [
      'a size of 2^52',
      () => fileOf(header.replace('"shape":[64]', '"shape":[4503599627370496]')),
      /does not fit its shape/,
    ],
    ['a negative size', () => withEntry('conv1.bias', (e) => ({ ...e, shape: [-64] })), /sizes that are none/],
    ['a fraction', () => withEntry('conv1.bias', (e) => ({ ...e, shape: [64.5] })), /sizes that are none/],
    [
      'three offsets',
      () => withEntry('conv1.bias', (e) => ({ ...e, data_offsets: [...e.data_offsets, 0] })),
      /does not fit its shape/,
    ],
    ['no offsets', () => withEntry('conv1.bias', (e) => ({ ...e, data_offsets: [] })), /does not fit its shape/],
    ['no description', () => withEntry('conv1.bias', () => 3), /its tensor conv1\.bias has no description/],
    [
      'tensors that overlap',
      () => withEntry('conv1.bias', (e) => ({ ...e, data_offsets: e.data_offsets.map((at) => at - 4) })),
      /overlaps another/,
    ],
    [
      'a gap',
      () => withEntry('conv1.bias', (e) => ({ ...e, data_offsets: e.data_offsets.map((at) => at + 4) })),
      /conv1\.bias leaves a gap before it/,
    ],
    [
      'offsets beyond the end',
      () => withEntry('linear2.weight', (e) => ({ ...e, data_offsets: e.data_offsets.map((at) => at + 2 ** 40) })),
      /leaves a gap before it/,
    ],
    [
      'bytes behind the last tensor',
      () => fileOf(header, Buffer.concat([data, Buffer.alloc(1)])),
      /goes on after its last tensor/,
    ],
    ['missing bytes', () => fileOf(header, data.subarray(0, -1)), /has \d+ of \d+ bytes of tensors/],
    [
      'a tensor that is there twice',
      () => fileOf(header.replace('{', '{"conv1.bias":{"dtype":"F32","shape":[64],"data_offsets":[0,256]},')),
      /says something twice/,
    ],
    [
      'a field that is there twice',
      () => fileOf(header.replace('"shape":[64]', '"shape":[1],"shape":[64]')),
      /says something twice/,
    ],
    ['JSON that is cut', () => fileOf(header.trimEnd().slice(0, -1)), /header is not JSON/],
    ['bytes that are no text', () => fileOf(header).fill(0xff, 40, 41), /header is not JSON/],
    ['a header without tensors', () => fileOf('{}', Buffer.alloc(0)), /has no tensor conv1\.weight/],
    [
      'nesting',
      () => fileOf(`{"a":${'['.repeat(500_000)}${']'.repeat(500_000)}}`, Buffer.alloc(0)),
      /its tensor a has no description/,
    ],
    [
      'a header of 2^63 bytes',
      () => Buffer.concat([Buffer.from([0, 0, 0, 0, 0, 0, 0, 0x80]), Buffer.from('{}')]),
      /header has 9223372036854775808 bytes/,
    ],
    ['a header longer than the file', () => fileOf(header).subarray(0, 100), /ends inside its header/],
  ])('%s', async (_, bytes, message) => {
    expect(await refusal(bytes())).toMatch(message);
  });

  it('values that no training gives', async () => {
    const bytes = Uint8Array.from(file);
    bytes.fill(0xff, bytes.length - 4);
    expect(await refusal(bytes)).toMatch(/not finite in float32 in linear2\.weight at position 5119: NaN/);
  });

  it('a file cut short anywhere', async () => {
    for (const end of [
      9,
      10,
      100,
      headerLength,
      headerLength + 8,
      headerLength + 9,
      file.length - 4,
      file.length - 1,
    ]) {
      expect(await refusal(file.subarray(0, end)), String(end)).toMatch(/corrupted: it (ends inside|has \d+ of)/);
    }
  });

  it('what is in no format that is read, by its name', async () => {
    expect(await refusal(Buffer.alloc(0))).toMatch(/^is empty; /);
    expect(await refusal(Buffer.from('hello, world'))).toMatch(/^is neither a checkpoint of mnist-ddp nor/);
    expect(await refusal(await writeWeights('onnx', patternedWeights()))).toMatch(
      /ONNX files can be written but not read/,
    );
    expect(await refusal(Buffer.from('\n<!DOCTYPE html><html>'))).toMatch(/^is a web page, .*; download it again$/);
    const pointer = 'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n';
    expect(await refusal(Buffer.from(pointer))).toMatch(/^is a pointer of Git LFS, .*; get that with git lfs pull$/);
    expect(await refusal(gzipSync(file))).toBe('is compressed with gzip; unpack it with gunzip');
    const old = Buffer.from('80028a0a6cfc9c46f9206aa850192e', 'hex');
    expect(await refusal(old)).toMatch(/PyTorch's old format.*save it again with a current torch\.save$/);
    expect(await refusal(Buffer.alloc(maxWeightsFileBytes + 1))).toMatch(/^is larger than/);
  });
});

it('no byte of the header makes it stumble', async () => {
  const outcomes = { read: 0, refused: 0 };
  for (let i = 0; i < 8 + headerLength; i++) {
    for (const flip of i < 300 ? [1, 2, 4, 8, 16, 32, 64, 128, 255] : [1 << (i % 8)]) {
      const flipped = Uint8Array.from(file.subarray(0, 8 + headerLength));
      flipped[i] = (flipped[i] ?? 0) ^ flip;
      // Without the tensors, so that only the header is looked at.
      outcomes[await expectReadOrRefused(flipped)]++;
    }
  }
  expect(outcomes.read).toBe(0);
  expect(outcomes.refused).toBeGreaterThan(2000);
  for (let i = 0; i < 8 + headerLength; i += 13) {
    const flipped = Uint8Array.from(file);
    flipped[i] = (flipped[i] ?? 0) ^ (1 << (i % 8));
    await expectReadOrRefused(flipped);
  }
});

it('keeps nothing of the file in memory', async () => {
  const bytes = Uint8Array.from(file);
  const { parameters } = await readWeights('f', bytes);
  bytes.fill(0);
  expect(parameters).toHaveLength(parameterCount);
  expect(parameters[700]).toBe(patternedWeights().parameters[700]);
});

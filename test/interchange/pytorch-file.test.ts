import { constants, crc32, deflateRawSync } from 'node:zlib';
import { beforeAll, describe, expect, it } from 'vitest';
import { readWeights, writeWeights } from '../../src/interchange/formats.js';
import { readArchive, writeArchive } from '../../src/interchange/pytorch/zip-archive.js';
import { call, global, TorchFile } from '../support/inputs/torch-file.js';
import {
  bitPatternWeights,
  expectReadOrRefused,
  expectSameBits,
  golden,
  patternedWeights,
  refusal,
} from '../support/inputs/weights.js';
import { zipOf, type ZipEntry } from '../support/inputs/zip.js';

/** Entries of a file that we wrote, by their names in the folder. */
type Entries = Map<string, Uint8Array>;

let file: Uint8Array;
let pickle: string;

beforeAll(async () => {
  file = await writeWeights('pytorch', patternedWeights());
  pickle = latin1((await entriesOf(file)).get('data.pkl'));
});

const latin1 = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString('latin1');
const bytesOf = (text: string): Buffer => Buffer.from(text, 'latin1');

async function entriesOf(archive: Uint8Array): Promise<Entries> {
  const entries = await readArchive(archive);
  return new Map([...entries].map(([name, entry]) => [name.replace(/^[^/]*\//, ''), entry.read()]));
}

async function archiveOf(entries: Entries): Promise<Uint8Array> {
  return writeArchive([...entries].map(([name, contents]) => [`folder/${name}`, contents] as const));
}

/** The file with another entry, or without it. */
async function withEntry(name: string, contents: Uint8Array | null): Promise<Uint8Array> {
  const entries = await entriesOf(file);
  if (contents === null) entries.delete(name);
  else entries.set(name, contents);
  return archiveOf(entries);
}

/** What reading says of the file with that pickle. */
async function refusalOf(text: string): Promise<string> {
  return refusal(await withEntry('data.pkl', bytesOf(text)));
}

/** The pickle with `from` replaced where the tensor is described; fails where there is no such text. */
function altered(tensor: string, from: string, to: string): string {
  const at = pickle.indexOf(from, pickle.indexOf(string(tensor)));
  expect(at).toBeGreaterThan(0);
  return pickle.slice(0, at) + to + pickle.slice(at + from.length);
}

const uint32 = (value: number): string => latin1(new Uint8Array(Uint32Array.of(value).buffer));
const string = (text: string): string => `X${uint32(text.length)}${text}`;
const integer = (value: number): string => `J${uint32(value)}`;
/** The tuples of sizes and strides, behind the storage and offset 0. */
const view = (sizes: readonly number[], strides: readonly number[]): string =>
  `tQ${integer(0)}(${sizes.map(integer).join('')}t(${strides.map(integer).join('')}t`;

describe('writing', () => {
  it('gives every bit back', async () => {
    expectSameBits(await readWeights('f', await writeWeights('pytorch', bitPatternWeights())), bitPatternWeights());
  });

  it('gives the same bytes for the same weights, at any time', async () => {
    expect(Buffer.compare(await writeWeights('pytorch', patternedWeights()), file)).toBe(0);
    expect(Buffer.compare(await writeWeights('pytorch', patternedWeights(1)), file)).not.toBe(0);
  });

  it('aligns the data of all large tensors to 64 bytes', async () => {
    const large = [...(await readArchive(file)).values()].filter(({ length }) => length >= 64);
    const offsets = large.filter(({ length }) => length % 64 === 0).map((entry) => entry.read().byteOffset);
    expect(offsets).toHaveLength(25);
    expect(offsets.map((offset) => (offset - file.byteOffset) % 64)).toEqual(offsets.map(() => 0));
  });
});

describe('files that PyTorch 2.15 wrote', () => {
  it.each([
    ['float32, contiguous', 'state-dict.pth', patternedWeights()],
    ['bfloat16, channels_last, in a Lightning checkpoint', 'lightning-bfloat16.pth', patternedWeights()],
    ['float16, channels_last, of DDP and torch.compile, beside an optimiser', 'ddp-float16.pth', patternedWeights()],
    ['float64 parameters in one storage, without num_batches_tracked', 'parameters-float64.pth', patternedWeights(0)],
  ])('%s', async (_, name, expected) => {
    expectSameBits(await readWeights(name, golden(name)), expected);
  });
});

describe('refuses what are not the weights of this network', () => {
  it('by the names of tensors', async () => {
    const other = altered('conv3.bias', string('conv3.bias'), string('conv9.bias'));
    expect(await refusalOf(other)).toMatch(
      /has no tensor conv3\.bias of shape \[128\], but conv9\.bias of shape \[128\]; /,
    );
    const added = pickle.replace(/u\.$/, `${string('head.weight')}${pickle.slice(pickle.indexOf('ctorch._utils'))}`);
    const start = added.lastIndexOf(string('conv1.bias'));
    expect(await refusalOf(`${added.slice(0, start)}u.`)).toMatch(
      /which has no tensor head\.weight of shape \[64, 1, 3, 3\]/,
    );
    const prefixedOnce = altered('conv1.weight', string('conv1.weight'), string('module.conv1.weight'));
    expect(await refusalOf(prefixedOnce)).toMatch(/has no tensor conv1\.weight .* but module\.conv1\.weight/);
    expect(await refusalOf('\x80\x02}.')).toMatch(/has no tensor conv1\.weight of shape \[64, 1, 3, 3\]; /);
  });

  it('by their shapes', async () => {
    const [from, to] = [view([64, 64, 3, 3], [576, 9, 3, 1]), view([64, 64, 9], [576, 9, 1])];
    const message = /has conv2\.weight of shape \[64, 64, 9\] where this network has \[64, 64, 3, 3\]; /;
    expect(await refusalOf(altered('conv2.weight', from, to))).toMatch(message);
    const scalar = view([], []);
    expect(await refusalOf(altered('bn5.num_batches_tracked', scalar, view([2], [1])))).toMatch(
      /of shape \[2\] where this network has a scalar; /,
    );
  });

  it('by their types', async () => {
    const [float, quantised] = ['ctorch\nFloatStorage\n', 'ctorch\nQInt8Storage\n'];
    expect(await refusalOf(altered('conv1.bias', float, quantised))).toMatch(
      /conv1\.bias of type QInt8Storage, which is none of F32, F64/,
    );
    expect(await refusalOf(altered('conv1.bias', string('conv1.bias'), integer(3)))).toMatch(/no tensor conv1\.bias/);
    expect(await refusalOf(`\x80\x02}(${string('conv1.weight')}Nu.`)).toMatch(/no tensor conv1\.weight/);
    expect(await refusalOf('\x80\x02N.')).toMatch(/holds no state_dict/);
    const other = new TorchFile();
    const sparse = call(global('torch._utils', '_rebuild_sparse_tensor'), integer(0));
    const contents = other.stateDict(patternedWeights(), '', ({ name }) =>
      name === 'conv2.weight' ? sparse : undefined,
    );
    expect(await refusal(other.save(contents))).toContain('has conv2.weight as something else than a dense tensor');
  });

  it.each([
    ['NaN', 0x7fc00000, /not finite in float32 in conv1\.bias at position 5: NaN/],
    ['infinity', 0xff800000, /not finite in float32 in conv1\.bias at position 5: -Infinity/],
  ])('by a value that is %s', async (_, bits, message) => {
    const bytes = new Uint8Array(256);
    new DataView(bytes.buffer).setUint32(20, bits, true);
    expect(await refusal(await withEntry('data/01', bytes))).toMatch(message);
  });

  it('by a float64 beyond float32, and by a negative variance or count', async () => {
    const doubles = new Uint8Array(new Float64Array(64).fill(1e39).buffer);
    const entries = await entriesOf(await withEntry('data/01', doubles));
    entries.set('data.pkl', bytesOf(altered('conv1.bias', 'FloatStorage', 'DoubleStorage')));
    expect(await refusal(await archiveOf(entries))).toMatch(
      /not finite in float32 in conv1\.bias at position 0: 1e\+39/,
    );
    const variances = new Uint8Array(new Float32Array(64).fill(-1e-9).buffer);
    expect(await refusal(await withEntry('data/07', variances))).toMatch(/a negative variance in bn2\.running_var/);
    const count = new Uint8Array(new BigInt64Array([-1n]).buffer);
    expect(await refusal(await withEntry('data/08', count))).toMatch(/bn2\.num_batches_tracked is -1/);
  });
});

describe('a pickle is data: whatever would make or call something else is refused by name', () => {
  const call = `(${string('touch /tmp/owned')}t`;
  it.each([
    ['REDUCE', `\x80\x02cos\nsystem\n${call}R.`, /asks for os\.system, which is neither a tensor nor plain data/],
    ['STACK_GLOBAL', '\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02id\x85R.', /asks for os\.system/],
    ['a builtin', `\x80\x02c__builtin__\neval\n${call}R.`, /asks for __builtin__\.eval/],
    [
      'an attribute of an allowed name',
      '\x80\x02ccollections\nOrderedDict.mro\n)R.',
      /asks for collections\.OrderedDict\.mro/,
    ],
    ['a function of torch', `\x80\x02ctorch\nload\n${call}R.`, /asks for torch\.load/],
    ['a name of our own objects', '\x80\x02c__proto__\nconstructor\n)R.', /asks for __proto__\.constructor/],
    ['a whole module', '\x80\x02c__main__\nNetwork\n)\x81}b.', /asks for __main__\.Network/],
    ['INST', `(${string('id')}ios\nsystem\n.`, /uses the pickle opcode INST/],
    ['OBJ', '(ccollections\nOrderedDict\no.', /uses the pickle opcode OBJ/],
    ['NEWOBJ', '\x80\x02ccollections\nOrderedDict\n)\x81.', /uses the pickle opcode NEWOBJ/],
    ['NEWOBJ_EX', '\x80\x04ccollections\nOrderedDict\n)}\x92.', /uses the pickle opcode NEWOBJ_EX/],
    ['EXT1', '\x80\x02\x82\x01.', /uses the pickle opcode EXT1/],
    ['opcodes of text protocols', 'I1\n.', /uses the pickle opcode 0x49/],
    ['a call of a class that only names a type', '\x80\x02ctorch\nFloatStorage\n)R.', /a call of what is no function/],
    ['a call of a string', `\x80\x02${string('id')})R.`, /a call of what is no function/],
    ['a call without arguments', '\x80\x02ccollections\nOrderedDict\nNR.', /a call without a tuple/],
    ['attributes of another object', '\x80\x02ctorch\nFloatStorage\n}b.', /attributes of what is no dict/],
    [
      'a tensor of no storage',
      '\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(NNNNtR.',
      /in no way that torch\.save does/,
    ],
    ['a persistent id of its own', `\x80\x02${string('file:///etc/passwd')}Q.`, /in no way that torch\.save does/],
    ['control characters in a name', '\x80\x02cos\x1b[31m\r\nsystem\n)R.', /asks for os\?\[31m\?\.system/],
  ])('%s', async (_, text, message) => {
    expect(await refusal(await archiveOf(new Map([['data.pkl', bytesOf(text)]])))).toMatch(message);
    // The same in the middle of real weights, in a place that nobody reads.
    const body = text.replace(/^\x80./, '').replace(/\.$/, '');
    expect(await refusalOf(pickle.replace(/u\.$/, `${string('extra')}${body}u.`))).toMatch(message);
  });

  it('attributes of the state_dict are dropped, with names that JavaScript treats its own way', async () => {
    const attributes = `}(${['_metadata', '__proto__', 'get'].map((name) => `${string(name)}N`).join('')}u`;
    const bytes = await withEntry('data.pkl', bytesOf(pickle.replace(/\.$/, `${attributes}b.`)));
    expectSameBits(await readWeights('f', bytes), patternedWeights());
  });

  it.each([
    ['marks', '('],
    ['nested lists', ']('],
    ['copies', ']2'],
    ['a list in itself, over and over', ']q\x00h\x00a'],
    ['numbers beyond its end', '\x8b\xff\xff\xff\x7f'],
    ['a string of 2^64 bytes', '\x8d\xff\xff\xff\xff\xff\xff\xff\xff'],
    ['memo entries up to 2^32', 'Nr\xff\xff\xff\xff'],
  ])('%s: linear in its bytes, however many', async (_, piece) => {
    const text = `\x80\x02${piece.repeat(Math.floor(1_000_000 / piece.length))}`;
    const started = performance.now();
    await refusal(await archiveOf(new Map([['data.pkl', bytesOf(text)]])));
    expect(performance.now() - started).toBeLessThan(5000);
    expect(await refusal(await archiveOf(new Map([['data.pkl', bytesOf(text + text)]])))).toMatch(
      /larger table of contents/,
    );
  });
});

describe('numbers are checked before they are used', () => {
  it.each([
    ['a size of 2^63', integer(64), '\x8a\x09\0\0\0\0\0\0\0\x80\0', /it has 9223372036854775808 for a size/],
    ['a size of 2^62', integer(64), '\x8a\x08\0\0\0\0\0\0\0\x40', /it has 4611686018427387904 for a size/],
    ['a size of 2^31 - 1', integer(64), integer(2 ** 31 - 1), /has conv1\.weight of shape \[2147483647, 1, 3, 3\]/],
    ['a negative size', integer(64), integer(-64), /it has -64 for a size/],
    ['a size that is text', integer(64), string('64'), /something else for a size/],
  ])('%s', async (_, from, to, message) => {
    const text = altered('conv1.weight', `tQ${integer(0)}(${from}`, `tQ${integer(0)}(${to}`);
    expect(await refusalOf(text)).toMatch(message);
  });

  it('a view that reaches outside of its storage', async () => {
    const outside = /conv1\.bias reaches outside of its 64 values/;
    const offset = (value: string): string => altered('conv1.bias', `tQ${integer(0)}`, `tQ${value}`);
    expect(await refusalOf(offset(integer(1)))).toMatch(outside);
    expect(await refusalOf(offset('\x8a\x07\xff\xff\xff\xff\xff\xff\x1f'))).toMatch(outside);
    expect(await refusalOf(offset(integer(-1)))).toMatch(/it has -1 for a size/);
    const strided = (stride: number): string => altered('conv1.bias', view([64], [1]), view([64], [stride]));
    expect(await refusalOf(strided(2))).toMatch(outside);
    expect(await refusalOf(strided(-1))).toMatch(/it has -1 for a size/);
    expect(await refusalOf(altered('conv1.bias', view([64], [1]), view([64], [])))).toMatch(/in no way/);
  });

  it('a storage that is said to be of two types', async () => {
    const shared = altered('conv2.bias', string('03'), string('01'));
    const twoTypes = shared.replace(`ctorch\nFloatStorage\n${string('01')}`, `ctorch\nHalfStorage\n${string('01')}`);
    expect(await refusalOf(twoTypes)).toMatch(/in no way/);
  });

  it('a storage that is not as long as it is said to be, or not there', async () => {
    expect(await refusal(await withEntry('data/01', new Uint8Array(252)))).toMatch(
      /data\/01 has 252 bytes, not 64 values of F32/,
    );
    expect(await refusal(await withEntry('data/01', null))).toMatch(/it has no entry folder\/data\/01/);
    const elsewhere = altered('conv1.bias', string('01'), string('../version'));
    expect(await refusalOf(elsewhere)).toMatch(/no entry folder\/data\/\.\.\/version/);
  });
});

describe('the archive', () => {
  const text = bytesOf('\x80\x02}.');
  /** A gigabyte, never held in memory here: deflated megabytes one after the other. */
  const megabyte = deflateRawSync(Buffer.alloc(1 << 20), { finishFlush: constants.Z_FULL_FLUSH });
  const bomb = Buffer.concat(Array.from({ length: 1024 }, () => megabyte));

  it.each<[string, ZipEntry[], RegExp]>([
    ['two entries of one name', [entry('a/data.pkl', text), entry('a/data.pkl', text)], /two entries a\/data\.pkl/],
    [
      'entries that share bytes',
      [entry('a/data.pkl', text), entry('a/data/0', text, { sharedWith: 0 })],
      /share bytes/,
    ],
    ['a bomb that says so', [entry('a/data.pkl', bomb, { method: 8, size: 2 ** 30 })], /holds more than the weights/],
    ['deflated data that is none', [entry('a/data.pkl', text, { method: 8, size: 100 })], /does not match its size/],
    [
      'a stored size that lies',
      [entry('a/data.pkl', text, { size: 3 })],
      /no whole zip archive \(compressed\/uncompressed/,
    ],
    ['a flipped bit', [entry('a/data.pkl', text, { crc: 1 })], /does not match its size or checksum/],
    ['encryption', [entry('a/data.pkl', text, { flags: 1, method: 8 })], /has an entry a\/data\.pkl that is encrypted/],
    ['another compression', [entry('a/data.pkl', text, { method: 12 })], /compressed by method 12/],
    ['a name outside of the folder', [entry('../data.pkl', text)], /no whole zip archive \(invalid relative path/],
    ['no data.pkl', [entry('a/weights.bin', text)], /has no single data\.pkl/],
    ['two folders', [entry('a/data.pkl', text), entry('b/data.pkl', text)], /has no single data\.pkl/],
    ['a TorchScript program', [entry('a/data.pkl', text), entry('a/constants.pkl', text)], /a TorchScript program/],
    [
      'big-endian data',
      [entry('a/data.pkl', text), entry('a/byteorder', bytesOf('big'))],
      /not of a little-endian machine/,
    ],
    ['no entries', [], /has no single data\.pkl/],
    ['too many entries', Array.from({ length: 1025 }, (_, i) => entry(`a/${String(i)}`, text)), /holds more than/],
  ])('%s', async (_, entries, message) => {
    expect(await refusal(zipOf(entries))).toMatch(message);
  });

  it('a bomb that says it is small, is not unpacked to find out', async () => {
    const before = process.resourceUsage().maxRSS;
    expect(await refusal(zipOf([entry('a/data.pkl', bomb, { method: 8, size: 100 })]))).toMatch(
      /does not match its size/,
    );
    const kilobytes = process.resourceUsage().maxRSS - before;
    expect(kilobytes).toBeLessThan(100_000);
  });

  function entry(name: string, data: Uint8Array, claims: Partial<ZipEntry> = {}): ZipEntry {
    return { name, data, ...claims };
  }

  it('may be deflated, as other programs repack it', async () => {
    const entries = [...(await entriesOf(file))].map(([name, data]) => {
      return { ...entry(`a/${name}`, deflateRawSync(data), { method: 8, size: data.length }), crc: crc32(data) };
    });
    expectSameBits(await readWeights('f', zipOf(entries)), patternedWeights());
  });

  it('cut short anywhere, is refused', async () => {
    const ends = [2, 3, 4, 29, 30, 63, 64, 65, 2368, 2369, file.length - 22, file.length - 1];
    for (let end = 100_000; end < file.length; end += 100_000) ends.push(end);
    for (let end = file.length - 2700; end < file.length; end += 37) ends.push(end);
    for (const end of ends) expect(await refusal(file.subarray(0, end)), String(end)).toMatch(/zip archive|neither/);
  });
});

describe('no byte makes it stumble', () => {
  it('in the pickle', { timeout: 240_000 }, async () => {
    const bytes = bytesOf(pickle);
    const outcomes = new Set<string>();
    for (const [i, byte] of bytes.entries()) {
      if (i >= 600 && i % 3 !== 0) continue;
      for (const flip of i < 600 ? [1 << (i % 8), 255] : [1 << (i % 8)]) {
        const flipped = Uint8Array.from(bytes);
        flipped[i] = byte ^ flip;
        outcomes.add(await expectReadOrRefused(await archiveOf(new Map([['data.pkl', flipped]]))));
      }
    }
    expect([...outcomes]).toEqual(['refused']);
  });

  it('in the directory of the archive', { timeout: 240_000 }, async () => {
    const small = await archiveOf(new Map([...(await entriesOf(file))].filter(([name]) => !name.startsWith('data/'))));
    for (const [i, byte] of small.entries()) {
      // The pickle is the first entry and has its turn above.
      if (i > 200 && i < small.length - 400) continue;
      for (const flip of [1 << (i % 8), 255]) {
        const flipped = Uint8Array.from(small);
        flipped[i] = byte ^ flip;
        expect(await expectReadOrRefused(flipped)).toBe('refused');
      }
    }
    for (let i = file.length - 2700; i < file.length; i += 97) {
      const flipped = Uint8Array.from(file);
      flipped[i] = (flipped[i] ?? 0) ^ 255;
      await expectReadOrRefused(flipped);
    }
  });
});

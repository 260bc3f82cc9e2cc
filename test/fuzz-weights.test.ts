/**
 * Files of weights that are damaged, made up, or made to blow up, the same every time: always a clear error or weights, in
 * time and memory that their size accounts for.
 */
import { deflateRawSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { readWeights, writeWeights } from '../src/interchange/formats.js';
import { stateTensors } from '../src/interchange/weights.js';
import { damaged, many, pick, readWithin, type Outcome, type Random } from './support/inputs/fuzz.js';
import { call, dict, global, integer, list, text, TorchFile, tuple, uint32 } from './support/inputs/torch-file.js';
import { patternedWeights } from './support/inputs/weights.js';
import { zipOf, type ZipEntry } from './support/inputs/zip.js';

const read = (bytes: Uint8Array): Promise<Outcome> => readWithin(bytes.length, () => readWeights('some.file', bytes));

const rebuild = global('torch._utils', '_rebuild_tensor_v2');
const noDict = call(global('collections', 'OrderedDict'));

describe('safetensors', async () => {
  const file = await writeWeights('safetensors', patternedWeights());
  const headerEnd = 8 + Number(new DataView(file.buffer).getBigUint64(0, true));
  const header = JSON.parse(Buffer.from(file.subarray(8, headerEnd)).toString()) as Record<string, unknown>;

  function fileOf(json: string): Uint8Array {
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(Buffer.byteLength(json)));
    // With the bytes of one value.
    return Buffer.concat([length, Buffer.from(json), Buffer.alloc(4)]);
  }

  it('damaged', async () => {
    // Without the tensors most of the time, which take the time.
    const headers = await many(1500, 11, (random) => read(damaged(file.subarray(0, headerEnd), random)));
    expect(headers).toEqual({ read: 0, refused: 1500 });
    const whole = await many(60, 12, (random, i) =>
      read(damaged(file, random, i % 2 === 0 ? headerEnd : 0, i % 2 === 0 ? file.length : headerEnd)),
    );
    expect(whole.read).toBeGreaterThan(0);
    expect(whole.refused).toBeGreaterThan(5);
  });

  it('made up', async () => {
    const names = [...stateTensors.map(({ name }) => name), 'x', '__proto__', 'constructor', '__metadata__', ''];
    const number = (random: Random): unknown =>
      pick(random, [0, 1, 3, 64, 9, 256, -1, 0.5, 2 ** 31, 2 ** 53, 1e300, '64', null, [], {}]);
    const entry = (random: Random): unknown =>
      pick<() => unknown>(random, [
        () => number(random),
        () => pick(random, Object.values(header)),
        () => ({
          dtype: pick(random, ['F32', 'I64', 'BOOL', 'F8_E4M3', 'f32', 7, null]),
          shape: Array.from({ length: random() % 5 }, () => number(random)),
          data_offsets: Array.from({ length: pick(random, [0, 1, 2, 2, 2, 3]) }, () => number(random)),
        }),
      ])();
    const outcomes = await many(2000, 13, (random) => {
      const entries = Array.from({ length: random() % 40 }, () => [pick(random, names), entry(random)] as const);
      const members = entries.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`);
      return read(fileOf(`{${members.join(',')}}`));
    });
    expect(outcomes).toEqual({ read: 0, refused: 2000 });
  });

  const tensor = (shape: string): string => `{"dtype":"F32","shape":[${shape}],"data_offsets":[0,4]}`;
  it.each<[string, () => string]>([
    ['100,000 dimensions', () => `{"a":${tensor(`${'1,'.repeat(99_999)}1`)}}`],
    ['many tensors', () => `{${Array.from({ length: 18_000 }, (_, i) => `"${String(i)}":${tensor('')}`).join(',')}}`],
    ['nested lists', () => `{"a":${'['.repeat(500_000)}${']'.repeat(500_000)}}`],
    ['nested objects', () => `${'{"a":'.repeat(170_000)}1${'}'.repeat(170_000)}`],
    ['one name, over and over', () => `{${Array.from({ length: 200_000 }, () => '"a":1').join(',')}}`],
    ['a name of quotes', () => `{"${'\\"'.repeat(520_000)}":1}`],
    ['a long name', () => `{"${'conv1.weight'.repeat(87_000)}":${tensor('1')}}`],
    ['white space', () => `{"a"${' '.repeat(1_000_000)}:1}`],
    ['a long number', () => `{"a":{"dtype":"F32","shape":[${'9'.repeat(1_000_000)}],"data_offsets":[0,4]}}`],
  ])('made to blow up: %s', async (_, json) => {
    expect(await read(fileOf(json()))).toBe('refused');
  });
});

describe('PyTorch', () => {
  const file = new TorchFile();
  const state = file.stateDict(patternedWeights());
  const whole = file.save(state);

  /** An archive of a pickle alone, stored or deflated. */
  function fileOf(pickle: string, deflate = false): Buffer {
    const data = Buffer.from(`\x80\x02${pickle}.`, 'latin1');
    const packed = { name: 'a/data.pkl', data: deflateRawSync(data), method: 8, size: data.length };
    return zipOf([deflate ? { ...packed, crc: 0 } : { name: 'a/data.pkl', data }]);
  }

  it('with a damaged pickle', async () => {
    const bytes = Buffer.from(state, 'latin1');
    const outcomes = await many(1000, 21, (random) =>
      read(fileOf(Buffer.from(damaged(bytes, random)).toString('latin1'))),
    );
    expect(outcomes).toEqual({ read: 0, refused: 1000 });
  });

  it('damaged', async () => {
    const small = fileOf(state.slice(0, 400), true);
    expect((await many(1000, 22, (random) => read(damaged(small, random)))).refused).toBe(1000);
    const directory = whole.length - 2000;
    const outcomes = await many(60, 23, (random, i) => read(damaged(whole, random, i % 2 === 0 ? 6000 : directory)));
    expect(outcomes.refused).toBeGreaterThan(20);
  });

  it('made up, opcode by opcode', async () => {
    const tensorOf = new TorchFile().tensor(new Uint8Array(4), { shape: [] });
    const words = stateTensors.map(({ name }) => text(name));
    const pieces: readonly ((random: Random) => string)[] = [
      (random) => pick(random, ['N', '\x88', '\x89', ']', ')', '}', '2', '(', '(', '(', '0', '1', '\x8f']),
      (random) =>
        pick(random, [
          't',
          '\x85',
          '\x86',
          '\x87',
          'e',
          'u',
          'u',
          'a',
          's',
          'b',
          'R',
          'R',
          'Q',
          '\x90',
          '\x91',
          '\x93',
        ]),
      (random) => pick(random, words),
      (random) =>
        pick(random, [
          integer(random()),
          'K\x01',
          '\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\x7f',
          'G\x7f\xf0\0\0\0\0\0\0',
        ]),
      (random) => `${pick(random, ['q', 'h'])}${String.fromCharCode(random() % 8)}`,
      (random) =>
        pick(random, [
          rebuild,
          global('torch._utils', '_rebuild_parameter'),
          global('torch._utils', '_rebuild_tensor_v3'),
          global('torch._tensor', '_rebuild_from_type_v2'),
          global('collections', 'OrderedDict'),
          global('collections', 'Counter'),
          global('torch', 'Size'),
          global('torch', 'FloatStorage'),
          global('torch', 'device'),
        ]),
      () => tensorOf,
      () => noDict,
    ];
    const outcomes = await many(2000, 24, (random) => {
      const pickle = Array.from({ length: random() % 60 }, () => pick(random, pieces)(random));
      return read(fileOf(pickle.join('')));
    });
    expect(outcomes).toEqual({ read: 0, refused: 2000 });
  });

  /** Ten references to ten references to ... */
  const laughs = (open: string, close: string): string => {
    const level = (i: number): string =>
      `${open}${`h${String.fromCharCode(i)}`.repeat(10)}${close}q${String.fromCharCode(i + 1)}0`;
    return `K\x01q\x000${Array.from({ length: 30 }, (_, i) => level(i)).join('')}h\x1e`;
  };
  const ones = `(${'K\x01'.repeat(100_000)}t`;
  const storage = `${tuple(text('storage'), global('torch', 'FloatStorage'), text('0'), text('cpu'), integer(1))}Q`;
  const named = (count: number, pickle: string): string =>
    `}(${Array.from({ length: count }, (_, i) => `${text(String(i))}${pickle}`).join('')}u`;

  it.each<[string, () => string]>([
    [
      '100,000 dimensions',
      () => `}(${text('conv1.weight')}${call(rebuild, storage, integer(0), ones, ones, '\x89', noDict)}u`,
    ],
    [
      'as many for each of 10,000 tensors',
      () => `${ones}q\x000${storage}q\x010${rebuild}q\x020${named(10_000, 'h\x02(h\x01K\0h\0h\0\x89NtR')}`,
    ],
    [
      '64 dimensions for each of 20,000',
      () => {
        const sizes = `(${'K\x01'.repeat(64)}tq\x000${storage}q\x010${rebuild}q\x020`;
        return `${sizes}${named(20_000, 'h\x02(h\x01K\0h\0h\0\x89NtR')}`;
      },
    ],
    ['lists of lists', () => laughs('(', 't')],
    [
      'dicts of dicts',
      () =>
        `K\x01q\x000${Array.from({ length: 30 }, (_, i) => `}(${Array.from({ length: 10 }, (__, j) => `${text(String(j))}h${String.fromCharCode(i)}`).join('')}uq${String.fromCharCode(i + 1)}0`).join('')}h\x1e`,
    ],
    ['keys of keys', () => `}(${laughs('(', 't')}]u`],
    ['a list of itself', () => `]q\x00(${'h\x00'.repeat(100_000)}e`],
    ['a dict of itself', () => `}q\x00(${text('conv1.weight')}h\x00u`],
    ['dicts', () => `(${'}'.repeat(1_000_000)}t`],
    ['lists in lists', () => `${']'.repeat(100_000)}${'a'.repeat(99_999)}`],
    ['marks', () => '('.repeat(1_000_000)],
    ['a memo', () => `N${'\x94'.repeat(1_000_000)}`],
    ['empty strings', () => `(${'\x8c\x00'.repeat(500_000)}t`],
    [
      'integers with equal ends',
      () => {
        const key = (i: number): string => `\x8a\x0b${'\x01'.repeat(8)}${uint32(i + 1).slice(0, 3)}`;
        return `}(${Array.from({ length: 65_000 }, (_, i) => `${key(i)}N`).join('')}u`;
      },
    ],
    [
      'one long name in many dicts',
      () => {
        const name = `${text(`${'x'.repeat(500_000)}conv1.weight`)}q\x000`;
        const tensor = `${call(rebuild, storage, integer(0), ')', ')', '\x89', noDict)}q\x010`;
        return `${name}${tensor}(${'}h\x00h\x01s'.repeat(30_000)}t`;
      },
    ],
    [
      'one long name for many places',
      () => {
        const name = `${text('x'.repeat(500_000))}q\x000`;
        return `${name}(${'}h\x00]s'.repeat(40_000)}t`;
      },
    ],
    [
      'a tensor with attributes, of itself',
      () => {
        const typed = global('torch._tensor', '_rebuild_from_type_v2');
        return `${typed}q\x000]q\x01(h\x00Nh\x01Neh\x00(h\x00Nh\x01NtR`;
      },
    ],
    ['a name that is looked for', () => `${text('x'.repeat(900_000))}q\x000${'h\x00h\x00\x93'.repeat(10_000)}`],
  ])('made to blow up: %s', async (_, pickle) => {
    const contents = pickle();
    expect(await read(fileOf(contents))).toBe('refused');
    expect(await read(fileOf(contents, true))).toBe('refused');
  });

  it('made to blow up: one storage that is unpacked for each tensor', async () => {
    const length = 15_000_000;
    const one = tuple(text('storage'), global('torch', 'FloatStorage'), text('0'), text('cpu'), integer(length));
    const items = stateTensors.map(({ name, shape }): [string, string] => {
      const sizes = [tuple(...shape.map(integer)), tuple(...shape.map(() => 'K\x01'))];
      return [text(name), call(rebuild, `${one}Q`, integer(0), ...sizes, '\x89', noDict)];
    });
    const data = deflateRawSync(Buffer.alloc(4 * length));
    const pickle = { name: 'a/data.pkl', data: Buffer.from(`\x80\x02${dict(...items)}.`, 'latin1') };
    const bytes = zipOf([pickle, { name: 'a/data/0', data, method: 8, size: 4 * length, crc: 0 }]);
    expect(bytes.length).toBeLessThan(100_000);
    expect(await read(bytes)).toBe('read');
  });

  const entry = (name: string, data: Uint8Array, claims: Partial<ZipEntry> = {}): ZipEntry => ({
    name,
    data,
    ...claims,
  });
  const deflated = deflateRawSync(Buffer.alloc(60 * 2 ** 20));
  const claims = { method: 8, size: 60 * 2 ** 20, crc: 0 };
  it.each<[string, () => readonly ZipEntry[]]>([
    ['entries', () => Array.from({ length: 60_000 }, (_, i) => entry(`a/${String(i)}`, new Uint8Array(0)))],
    [
      'long names',
      () => Array.from({ length: 200 }, (_, i) => entry(`${String(i)}/${'a'.repeat(60_000)}`, new Uint8Array(0))),
    ],
    ['a table of contents of 60 MiB', () => [entry('a/data.pkl', deflated, claims)]],
    [
      'an order of bytes of 60 MiB',
      () => [entry('a/data.pkl', Buffer.from(list())), entry('a/byteorder', deflated, claims)],
    ],
    [
      'entries over each other',
      () => [
        entry('a/data.pkl', deflated),
        ...Array.from({ length: 1000 }, (_, i) => entry(`a/${String(i)}`, deflated, { sharedWith: 0 })),
      ],
    ],
  ])('made to blow up: %s in the archive', async (_, entries) => {
    expect(await read(zipOf(entries()))).toBe('refused');
  });
});

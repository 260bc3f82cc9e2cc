/** What PyTorch loads into the network is read, whatever stands around it; what is left out, and what is there twice, is said. */
import { describe, expect, it } from 'vitest';
import { readWeights, writeWeights } from '../../src/interchange/formats.js';
import type { FileWeights } from '../../src/interchange/state-dict.js';
import type { StateTensor } from '../../src/interchange/weights.js';
import { call, dict, global, integer, list, text, TorchFile, tuple } from '../support/inputs/torch-file.js';
import { expectSameBits, patternedWeights, refusal } from '../support/inputs/weights.js';

const weights = patternedWeights();

/** Reads what `save` puts into a file. */
function read(save: (file: TorchFile) => string): Promise<FileWeights> {
  const file = new TorchFile();
  return readWeights('f', file.save(save(file)));
}

function refusalOf(save: (file: TorchFile) => string): Promise<string> {
  const file = new TorchFile();
  return refusal(file.save(save(file)));
}

const bytesOf = (values: ArrayBufferView): Uint8Array =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
const isCount = ({ part }: StateTensor): boolean => part === 'batchesTracked';

describe('num_batches_tracked may be of any type, as load_state_dict converts it', () => {
  it.each([
    ['float16', 'HalfStorage', Uint16Array.of(0x65dc), 1500],
    ['float16 that has overflown, which leaves no count', 'HalfStorage', Uint16Array.of(0x7c00), 0],
    ['bfloat16', 'BFloat16Storage', Uint16Array.of(0x4500), 2048],
    ['float32 that was averaged', 'FloatStorage', Float32Array.of(4711.75), 4711],
    ['float64', 'DoubleStorage', Float64Array.of(2 ** 40), 2 ** 40],
    ['int32', 'IntStorage', Int32Array.of(70_000), 70_000],
    ['int16', 'ShortStorage', Int16Array.of(4711), 4711],
    ['int8', 'CharStorage', Int8Array.of(100), 100],
    ['uint8', 'ByteStorage', Uint8Array.of(200), 200],
    ['bool', 'BoolStorage', Uint8Array.of(1), 1],
  ])('%s', async (_, storage, values, count) => {
    const found = await read((file) =>
      file.stateDict(weights, '', (tensor) =>
        isCount(tensor) ? file.tensor(bytesOf(values), { storage, length: 1, shape: [] }) : undefined,
      ),
    );
    expectSameBits(found, patternedWeights(count));
  });

  it('of a type that is stored without one, and of the one dimension that scalars had once', async () => {
    const counts = Uint16Array.of(60_000);
    const typed = await read((file) =>
      file.stateDict(weights, '', (tensor) =>
        isCount(tensor) ? file.typedTensor(bytesOf(counts), 'uint16', []) : undefined,
      ),
    );
    expectSameBits(typed, patternedWeights(60_000));
    const long = BigInt64Array.of(12n);
    const options = { storage: 'LongStorage', length: 1, shape: [1] };
    const old = await read((file) =>
      file.stateDict(weights, '', (tensor) => (isCount(tensor) ? file.tensor(bytesOf(long), options) : undefined)),
    );
    expectSameBits(old, patternedWeights(12));
  });

  it.each([
    ['negative', Float32Array.of(-1)],
    ['not a number', Float32Array.of(NaN)],
    ['beyond what can be counted', Float32Array.of(1e30)],
  ])('but not %s', async (_, values) => {
    const message = await refusalOf((file) =>
      file.stateDict(weights, '', (tensor) =>
        isCount(tensor) ? file.tensor(bytesOf(values), { length: 1, shape: [] }) : undefined,
      ),
    );
    expect(message).toMatch(/num_batches_tracked is .*, which is no number of batches/);
  });
});

describe('weights are read as PyTorch reads them', () => {
  it('of integers', async () => {
    const values = Int32Array.from({ length: 64 }, (_, i) => i - 32);
    const { parameters } = await read((file) =>
      file.stateDict(weights, '', ({ name }) =>
        name === 'conv1.bias' ? file.tensor(bytesOf(values), { storage: 'IntStorage' }) : undefined,
      ),
    );
    expect([...parameters.subarray(576, 640)]).toEqual([...values]);
  });

  it('where tensors share values, with each other or within themselves', async () => {
    const one = Float32Array.of(0.5);
    const { parameters } = await read((file) =>
      file.stateDict(weights, '', ({ name }) =>
        name === 'conv1.bias' ? file.tensor(bytesOf(one), { length: 1, shape: [64], strides: [0] }) : undefined,
      ),
    );
    expect([...parameters.subarray(576, 640)]).toEqual(new Array<number>(64).fill(0.5));
  });

  it('from entries without a checksum, which PyTorch leaves at 0 where it is told to', async () => {
    const file = new TorchFile();
    expectSameBits(await readWeights('f', file.save(file.stateDict(weights), 0)), weights);
    const other = new TorchFile();
    expect(await refusal(other.save(other.stateDict(weights), 1))).toMatch(/does not match its size or checksum/);
  });

  it('but not what is stored with its sign turned, which PyTorch turns back when it is used', async () => {
    const values = Float32Array.from({ length: 64 }, (_, i) => i);
    const stored = (turned: string): Promise<string> => {
      const metadata = dict([text('neg'), turned]);
      return refusalOf((file) =>
        file.stateDict(weights, '', ({ name }) =>
          name === 'conv1.bias' ? file.tensor(bytesOf(values), { metadata }) : undefined,
        ),
      );
    };
    expect(await stored('\x88')).toMatch(/has a tensor that is stored negated .*resolve_neg/);
  });

  it('but not of a type that no weights are stored as', async () => {
    const values = new Uint8Array(64);
    const message = await refusalOf((file) =>
      file.stateDict(weights, '', ({ name }) =>
        name === 'conv1.bias' ? file.typedTensor(values, 'float8_e4m3fn', [64]) : undefined,
      ),
    );
    expect(message).toMatch(/has conv1\.bias of type float8_e4m3fn, which is none of F32, F64/);
  });
});

describe('plain data may stand beside the weights, all that weights_only=True allows', () => {
  const torch = (name: string): string => global('torch', name);
  const utils = (name: string): string => global('torch._utils', name);
  const noDict = call(global('collections', 'OrderedDict'));

  it.each<[string, (file: TorchFile) => string]>([
    ["MultiStepLR's Counter", () => call(global('collections', 'Counter'), dict([integer(30), integer(1)]))],
    ['an OrderedDict', () => `${noDict}${text('a')}${integer(1)}s`],
    ['a set', () => call(global('__builtin__', 'set'), list(integer(1), integer(2)))],
    ['bytes', () => call(global('_codecs', 'encode'), text('abc'), text('latin1'))],
    ['a bytearray', () => call(global('__builtin__', 'bytearray'), text('abc'), text('latin-1'))],
    ['a complex number', () => call(global('__builtin__', 'complex'), 'G\0\0\0\0\0\0\0\0', 'G\0\0\0\0\0\0\0\0')],
    ['a size', () => call(torch('Size'), tuple(integer(1), integer(28)))],
    ['a device', () => call(torch('device'), text('cuda'), integer(0))],
    ['types', () => list(torch('float32'), torch('complex64'), torch('float8_e5m2'), torch('uint16'))],
    ['a layout', () => call(global('torch.serialization', '_get_layout'), text('torch.strided'))],
    ['None, booleans, numbers and strings', () => list('N', '\x88', '\x89', 'K\x07', '\x8a\x00', text('ä'), 'U\x01b')],
    [
      'a tensor of another type',
      (file) => file.tensor(new Uint8Array(8), { storage: 'ComplexFloatStorage', length: 1 }),
    ],
    ['a tensor of a newer type', (file) => file.typedTensor(new Uint8Array(8), 'bits8', [8])],
    [
      'a sparse tensor',
      (file) => call(utils('_rebuild_sparse_tensor'), torch('float32'), tuple(file.tensor(new Uint8Array(8)))),
    ],
  ])('%s', async (_, pickleOf) => {
    const found = await read((file) =>
      dict([text('model'), file.stateDict(weights)], [text('extra'), pickleOf(file)], [text('epoch'), integer(3)]),
    );
    expectSameBits(found, weights);
    expect([found.prefix, found.leftOut]).toEqual(['model.', ['extra', 'epoch']]);
  });

  it('and parameters and tensors may have attributes of their own', async () => {
    const found = await read((file) => {
      const bias = (bytes: Uint8Array): string => file.tensor(bytes, { shape: [64] });
      const state = dict([text('note'), text('mine')]);
      return file.stateDict(weights, '', (tensor) => {
        const bytes = bytesOf(weights.parameters.slice(tensor.offset, tensor.offset + tensor.length));
        if (tensor.name === 'conv1.bias')
          return call(utils('_rebuild_parameter_with_state'), bias(bytes), '\x88', noDict, state);
        if (tensor.name !== 'conv2.bias') return undefined;
        const args = bias(bytes).slice(utils('_rebuild_tensor_v2').length, -1);
        return call(
          global('torch._tensor', '_rebuild_from_type_v2'),
          utils('_rebuild_tensor_v2'),
          torch('Tensor'),
          args,
          state,
        );
      });
    });
    expectSameBits(found, weights);
  });

  it('but nothing that weights_only=True does not allow', async () => {
    for (const [module, name] of [
      ['numpy.core.multiarray', 'scalar'],
      ['argparse', 'Namespace'],
      ['collections', 'defaultdict'],
      ['builtins', 'getattr'],
    ] as const) {
      const message = await refusalOf((file) =>
        dict([text('model'), file.stateDict(weights)], [text('extra'), call(global(module, name))]),
      );
      expect(message).toMatch(`asks for ${module}.${name}, which is neither a tensor nor plain data`);
    }
  });
});

describe('the one set of tensors with the names of the network is found', () => {
  const rest = [text('EPOCHS_RUN'), integer(3)] as const;

  it.each<[string, (file: TorchFile) => string, string, string[]]>([
    ['alone', (file) => file.stateDict(weights), '', []],
    ['with a prefix', (file) => file.stateDict(weights, 'net.'), 'net.', []],
    [
      'with several',
      (file) => file.stateDict(weights, 'module._orig_mod.model.network.'),
      'module._orig_mod.model.network.',
      [],
    ],
    [
      'in a dict of any name',
      (file) => dict([text('MODEL_STATE'), file.stateDict(weights)], rest),
      'MODEL_STATE.',
      ['EPOCHS_RUN'],
    ],
    [
      'in a list in a dict, with a prefix',
      (file) => dict(rest, [text('nets'), list('N', file.stateDict(weights, 'module.'))]),
      'nets.1.module.',
      ['EPOCHS_RUN', 'nets.0'],
    ],
    ['in a tuple', (file) => tuple(file.stateDict(weights), dict(rest)), '0.', ['1']],
    ['beside numbers', (file) => `${file.stateDict(weights)}(${rest.join('')}u`, '', ['EPOCHS_RUN']],
    [
      'beside a tensor that is outside of the prefix',
      (file) => `${file.stateDict(weights, 'module.')}(${text('n_averaged')}${file.tensor(new Uint8Array(4))}u`,
      'module.',
      ['n_averaged'],
    ],
    [
      'beside the gradients, which lack what is not learned',
      (file) =>
        dict(
          [text('grads'), file.stateDict(weights, '', ({ part }) => (part === 'parameters' ? undefined : null))],
          [text('model'), file.stateDict(weights)],
        ),
      'model.',
      ['grads'],
    ],
    [
      'beside the same names with other shapes',
      (file) =>
        dict(
          [
            text('teacher'),
            file.stateDict(weights, '', ({ name }) =>
              name === 'conv1.weight' ? file.tensor(new Uint8Array(4)) : undefined,
            ),
          ],
          [text('student'), file.stateDict(weights)],
        ),
      'student.',
      ['teacher'],
    ],
    [
      'named twice, but there once',
      (file) => dict([text('a'), `${file.stateDict(weights)}q\x07`], [text('b'), 'h\x07']),
      'a.',
      [],
    ],
  ])('%s', async (_, pickleOf, prefix, leftOut) => {
    const found = await read(pickleOf);
    expectSameBits(found, weights);
    expect([found.prefix, found.leftOut]).toEqual([prefix, leftOut]);
  });

  it('twice, as views of the same values, it is one', async () => {
    const found = await read((file) => {
      const items = file.stateDict(weights, 'best.').replace(/^.*?R\(/s, '(');
      return `${call(global('collections', 'OrderedDict'))}${items}${items.replaceAll('best.', 'last.')}`;
    });
    expectSameBits(found, weights);
    expect([found.prefix, found.leftOut.length, found.leftOut[0]]).toEqual(['best.', 29, 'last.conv1.weight']);
  });

  it('in safetensors too', async () => {
    const bytes = await writeWeights('safetensors', weights);
    const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
    const header = JSON.parse(Buffer.from(bytes.subarray(8, 8 + length)).toString()) as Record<string, object>;
    const end = bytes.length - 8 - length;
    const entries = Object.entries(header).map(([name, entry]) => [
      name === '__metadata__' ? name : `net.${name}`,
      entry,
    ]);
    const step = { dtype: 'F8_E5M2', shape: [4], data_offsets: [end, end + 4] };
    const json = Buffer.from(JSON.stringify({ ...(Object.fromEntries(entries) as object), step }));
    const prefix = Buffer.alloc(8);
    prefix.writeBigUInt64LE(BigInt(json.length));
    const found = await readWeights('f', Buffer.concat([prefix, json, bytes.subarray(8 + length), Buffer.alloc(4)]));
    expectSameBits(found, weights);
    expect([found.prefix, found.leftOut]).toEqual(['net.', ['step']]);
  });

  it('two of them are an error that names both', async () => {
    const inDicts = await refusalOf((file) =>
      dict([text('model'), file.stateDict(weights, 'module.')], [text('ema'), file.stateDict(weights)]),
    );
    expect(inDicts).toMatch(
      /^holds the weights of this network more than once, with the prefix model\.module\. and with the prefix ema\.; save one/,
    );
    const inOne = await refusalOf((file) => {
      const raw = file.stateDict(weights);
      return `${raw}(${file.stateDict(weights, 'ema.').replace(/^.*?R\(/s, '')}`;
    });
    expect(inOne).toMatch(/more than once, with no prefix and with the prefix ema\.; save one of them alone/);
  });

  it('a network with more layers is another one', async () => {
    const more = await refusalOf(
      (file) => `${file.stateDict(weights, 'net.')}(${text('net.head.weight')}${file.tensor(new Uint8Array(8))}u`,
    );
    expect(more).toMatch(/^is not of this network, which has no tensor net\.head\.weight of shape \[2\]; /);
    const less = await refusalOf((file) =>
      dict([text('state'), file.stateDict(weights, 'net.', ({ name }) => (name === 'bn4.bias' ? null : undefined))]),
    );
    expect(less).toMatch(/^is not of this network: it has no tensor net\.bn4\.bias of shape \[128\]; /);
  });
});

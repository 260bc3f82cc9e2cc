/**
 * Weights as `torch.save` writes a state_dict: `torch.load` gives an OrderedDict of float32 tensors, and int64 scalars for
 * `num_batches_tracked`.
 *
 * The data come first, and every name has the same length, which with its header makes 64 bytes: so tensors begin at
 * multiples of 64, as PyTorch aligns them, and can be mapped into memory. Only the four that take less than a line and come last
 * begin at multiples of 8.
 */
import { tensorBytes } from '../tensor-bytes.js';
import { stateTensors, type StateTensor, type Weights } from '../weights.js';
import { localHeaderLength, writeArchive } from './zip-archive.js';

const alignment = 64;
/** PyTorch takes the name of the folder from the archive, whatever it is. */
const folder = 'mnist-ddp'.padEnd(alignment - localHeaderLength - '/data/00'.length, '-');

/** The same bytes for the same weights. */
export async function writePyTorch(weights: Weights): Promise<Uint8Array> {
  const text = new TextEncoder();
  const tensors = stateTensors.map((tensor, i) => {
    return { tensor, key: String(i).padStart(2, '0'), bytes: tensorBytes(weights, tensor) };
  });
  // Those of whole lines first: what follows them is aligned as they are.
  const remainder = ({ bytes }: (typeof tensors)[number]): number => bytes.length % alignment;
  const ordered = [...tensors].sort((a, b) => Math.sign(remainder(a)) - Math.sign(remainder(b)));
  return writeArchive([
    ...ordered.map(({ key, bytes }) => [`${folder}/data/${key}`, bytes] as const),
    [`${folder}/data.pkl`, pickleOf(tensors)],
    [`${folder}/byteorder`, text.encode('little')],
    [`${folder}/version`, text.encode('3\n')],
  ]);
}

/** Protocol 2, with the opcodes that torch.save uses; its memo is left out. */
function pickleOf(tensors: readonly { tensor: StateTensor; key: string }[]): Uint8Array {
  const newDict = [global('collections', 'OrderedDict'), ')R'];
  const items = tensors.flatMap(({ tensor, key }) => {
    const { name, shape, length, part } = tensor;
    const storage = global('torch', part === 'batchesTracked' ? 'LongStorage' : 'FloatStorage');
    const id = tuple(text('storage'), storage, text(key), text('cpu'), integer(length));
    const strides = shape.map((_, i) => shape.slice(i + 1).reduce((product, size) => product * size, 1));
    const sizes = [tuple(...shape.map(integer)), tuple(...strides.map(integer))];
    // (storage, offset, size, stride, requires_grad, backward_hooks)
    const args = tuple(id, 'Q', integer(0), ...sizes, '\x89', ...newDict);
    return [text(name), global('torch._utils', '_rebuild_tensor_v2'), args, 'R'];
  });
  return Uint8Array.from(['\x80\x02', ...newDict, '(', ...items, 'u.'].join(''), (character) =>
    character.charCodeAt(0),
  );
}

// A piece of a pickle is a string with one character for each byte; everything here is ASCII but for opcodes and numbers.

function global(module: string, name: string): string {
  return `c${module}\n${name}\n`;
}

function tuple(...items: string[]): string {
  return `(${items.join('')}t`;
}

function text(value: string): string {
  return `X${uint32(value.length)}${value}`;
}

function integer(value: number): string {
  return `J${uint32(value)}`;
}

function uint32(value: number): string {
  return [0, 8, 16, 24].map((shift) => String.fromCharCode((value >> shift) & 0xff)).join('');
}

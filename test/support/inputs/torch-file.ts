/** What `torch.save` writes of a state_dict and whatever stands around it, piece by piece, and what it never writes. */
import { stateTensors, type StateTensor, type Weights } from '../../../src/interchange/weights.js';
import { tensorBytes } from '../../../src/interchange/tensor-bytes.js';
import { zipOf } from './zip.js';

// A piece of a pickle is a string with one character for each byte.

export const uint32 = (value: number): string => Buffer.from(Uint32Array.of(value).buffer).toString('latin1');
export const text = (value: string): string =>
  `X${uint32(Buffer.byteLength(value))}${Buffer.from(value).toString('latin1')}`;
export const integer = (value: number): string => `J${uint32(value)}`;
export const tuple = (...items: readonly string[]): string => `(${items.join('')}t`;
export const list = (...items: readonly string[]): string => `](${items.join('')}e`;
export const dict = (...items: readonly (readonly [key: string, value: string])[]): string =>
  `}(${items.flat().join('')}u`;
export const global = (module: string, name: string): string => `c${module}\n${name}\n`;
export const call = (callee: string, ...args: readonly string[]): string => `${callee}${tuple(...args)}R`;

export interface TensorOptions {
  /** A seventh argument of its function, such as what bits it has. */
  readonly metadata?: string;
  /** Such as `HalfStorage`. */
  readonly storage?: string;
  /** Elements of the storage. */
  readonly length?: number;
  readonly shape?: readonly number[];
  readonly strides?: readonly number[];
}

/** A file in the making: what is said of a tensor goes into a pickle, its bytes go into an entry of their own. */
export class TorchFile {
  private readonly storages = new Map<string, Uint8Array>();

  /** The persistent id of a new storage. */
  storage(module: string, storageClass: string, length: number, bytes: Uint8Array): string {
    const key = String(this.storages.size);
    this.storages.set(key, bytes);
    return `${tuple(text('storage'), global(module, storageClass), text(key), text('cpu'), integer(length))}Q`;
  }

  /** A tensor whose storage has those bytes: of float32, and one dimension, by default. */
  tensor(bytes: Uint8Array, options: TensorOptions = {}): string {
    const {
      storage = 'FloatStorage',
      length = bytes.length / 4,
      shape = [length],
      strides = stridesOf(shape),
      metadata = '',
    } = options;
    return this.rebuilt(this.storage('torch', storage, length, bytes), shape, strides, metadata);
  }

  /** A tensor that is stored as PyTorch stores the types that it has had for a few years only. */
  typedTensor(bytes: Uint8Array, type: string, shape: readonly number[]): string {
    const storage = this.storage('torch.storage', 'UntypedStorage', bytes.length, bytes);
    const [sizes, strides] = [shape, stridesOf(shape)].map((values) => tuple(...values.map(integer)));
    const hooks = call(global('collections', 'OrderedDict'));
    const rebuild = global('torch._utils', '_rebuild_tensor_v3');
    return call(rebuild, storage, integer(0), sizes ?? '', strides ?? '', '\x89', hooks, global('torch', type));
  }

  /** A state_dict; `change` may give another pickle for a tensor, or null for none. */
  stateDict(
    weights: Weights,
    prefix = '',
    change: (tensor: StateTensor) => string | null | undefined = () => undefined,
  ): string {
    const items = stateTensors.flatMap((tensor) => {
      const changed = change(tensor);
      if (changed === null) return [];
      return [[text(prefix + tensor.name), changed ?? this.own(weights, tensor)] as const];
    });
    return `${call(global('collections', 'OrderedDict'))}(${items.flat().join('')}u`;
  }

  /** The file of what that pickle builds. */
  save(pickle: string, crc?: number): Buffer {
    const entries = [...this.storages].map(([key, data]) => ({ name: `archive/data/${key}`, data }));
    const contents = { name: 'archive/data.pkl', data: Buffer.from(`\x80\x02${pickle}.`, 'latin1') };
    return zipOf([contents, ...entries].map((entry) => (crc === undefined ? entry : { ...entry, crc })));
  }

  private own(weights: Weights, tensor: StateTensor): string {
    const storage = tensor.part === 'batchesTracked' ? 'LongStorage' : 'FloatStorage';
    return this.tensor(tensorBytes(weights, tensor), { storage, length: tensor.length, shape: tensor.shape });
  }

  private rebuilt(storage: string, shape: readonly number[], strides: readonly number[], metadata: string): string {
    const views = [tuple(...shape.map(integer)), tuple(...strides.map(integer))];
    const hooks = call(global('collections', 'OrderedDict'));
    return call(global('torch._utils', '_rebuild_tensor_v2'), storage, integer(0), ...views, '\x89', hooks, metadata);
  }
}

function stridesOf(shape: readonly number[]): number[] {
  return shape.map((_, i) => shape.slice(i + 1).reduce((product, size) => product * size, 1));
}

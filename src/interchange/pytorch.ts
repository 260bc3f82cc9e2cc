/**
 * What `torch.save` writes of a state_dict: a zip archive with `data.pkl`, a pickle of the names, shapes and strides, and one
 * entry `data/KEY` for each storage, beside each other in a folder of any name.
 *
 * Source: https://docs.pytorch.org/docs/stable/notes/serialization.html, and torch/_utils.py and torch/serialization.py of
 * PyTorch 2.15.
 */
import { bfloat16, float16, float32, float64, int64, type ElementType } from './element-types.js';
import { PickleFunction, unpickle } from './pickle.js';
import { printable, WeightsFormatError } from './problem.js';
import { weightsFrom, type StoredTensor, type TensorStorage } from './state-dict.js';
import type { Weights } from './weights.js';
import { readArchive, type ArchiveEntry } from './zip-archive.js';

/** Where common checkpoints keep the state_dict among the rest: Lightning, and what tutorials write. */
const wrappers = ['state_dict', 'model_state_dict', 'model'];

type Archive = ReadonlyMap<string, ArchiveEntry>;

/**
 * The weights in a file of PyTorch 1.6 or newer, whatever the layout in memory they were saved in.
 * @throws WeightsFormatError
 */
export async function readPyTorch(bytes: Uint8Array): Promise<Weights> {
  const archive = await readArchive(bytes);
  const folder = folderOf(archive);
  checkOrigin(archive, folder);
  const pickle = entryOf(archive, `${folder}data.pkl`).read();
  const storages = new StorageTable(archive, `${folder}data/`);
  const saved = unpickle(pickle, { globals, persistent: (id) => storages.find(id) });
  return weightsFrom(tensorsOf(saved));
}

function folderOf(archive: Archive): string {
  const pickles = [...archive.keys()].filter((name) => /^[^/]+\/data\.pkl$/.test(name));
  const [pickle] = pickles;
  if (pickle !== undefined && pickles.length === 1) return pickle.slice(0, -'data.pkl'.length);
  throw new WeightsFormatError('is a zip archive, but not one that torch.save wrote: it has no single data.pkl');
}

function checkOrigin(archive: Archive, folder: string): void {
  if (archive.has(`${folder}constants.pkl`)) throw new WeightsFormatError('is a TorchScript program, not a state_dict');
  const order = archive.get(`${folder}byteorder`)?.read();
  // Files before PyTorch 2.1 do not say, and are little-endian.
  if (order === undefined || new TextDecoder().decode(order) === 'little') return;
  throw new WeightsFormatError('is not of a little-endian machine', 'save it again on one that is');
}

function entryOf(archive: Archive, name: string): ArchiveEntry {
  const entry = archive.get(name);
  if (entry !== undefined) return entry;
  throw new WeightsFormatError(`is corrupted: it has no entry ${printable(name)}`);
}

/** The name of a storage's class in a pickle: what its elements are. Null for types that hold no weights. */
class StorageClass {
  constructor(
    readonly name: string,
    readonly type: ElementType | null,
  ) {}
}

/** A tensor that a pickle builds: a view of a storage, checked only when it turns out to be one of the network's. */
class PickledTensor {
  constructor(
    readonly storage: PickledStorage,
    readonly offset: unknown,
    readonly shape: unknown,
    readonly strides: unknown,
  ) {}
}

class PickledStorage {
  constructor(
    readonly storageClass: StorageClass,
    readonly length: number,
    private readonly archive: Archive,
    private readonly entry: string,
  ) {}

  open(tensor: string): TensorStorage {
    const { type, name } = this.storageClass;
    if (type === null) throw new WeightsFormatError(`has ${tensor} in ${name}, which holds no weights`);
    return this.opened ?? (this.opened = { type, length: this.length, read: () => this.read(type) });
  }

  /** One for all tensors, so that they can be told to share it. */
  private opened: TensorStorage | undefined;

  private read(type: ElementType): Uint8Array {
    const entry = entryOf(this.archive, this.entry);
    if (entry.length === this.length * type.bytes) return entry.read();
    const sizes = `${String(entry.length)} bytes, not ${String(this.length)} values of ${type.name}`;
    throw new WeightsFormatError(`is corrupted: its entry ${printable(this.entry)} has ${sizes}`);
  }
}

/** The storages by key: tensors that name the same key share one. */
class StorageTable {
  private readonly storages = new Map<string, PickledStorage>();

  constructor(
    private readonly archive: Archive,
    private readonly folder: string,
  ) {}

  /** @param id what torch.save writes for a storage: ('storage', class, key, device, number of elements) */
  find(id: unknown): PickledStorage {
    const [kind, storageClass, key, , length] = Array.isArray(id) ? (id as unknown[]) : [];
    if (kind !== 'storage' || !(storageClass instanceof StorageClass) || typeof key !== 'string') throw notOfTorch();
    const known = this.storages.get(key);
    if (known !== undefined && (known.storageClass !== storageClass || known.length !== length)) throw notOfTorch();
    const storage = known ?? new PickledStorage(storageClass, sizeOf(length), this.archive, `${this.folder}${key}`);
    this.storages.set(key, storage);
    return storage;
  }
}

/** All that a pickle may name; every name stands for what is written here. */
const globals: ReadonlyMap<string, unknown> = new Map<string, unknown>([
  ['collections OrderedDict', new PickleFunction(newDict)],
  ['torch._utils _rebuild_tensor_v2', new PickleFunction(rebuildTensor)],
  ['torch._utils _rebuild_parameter', new PickleFunction(([tensor]) => tensor)],
  ...storageClasses(),
]);

function storageClasses(): [string, StorageClass][] {
  const types = { Float: float32, Double: float64, Half: float16, BFloat16: bfloat16, Long: int64 };
  const others = ['Int', 'Short', 'Char', 'Byte', 'Bool'].map((name) => [name, null] as const);
  return [...Object.entries(types), ...others].map(([name, type]) => {
    const storageClass = new StorageClass(`${name}Storage`, type);
    return [`torch ${storageClass.name}`, storageClass];
  });
}

/** An OrderedDict: Map keeps the order. Its items follow as SETITEMS. */
function newDict(args: readonly unknown[]): Map<unknown, unknown> {
  if (args.length > 0) throw notOfTorch();
  return new Map();
}

/** (storage, offset, size, stride, requires_grad, backward_hooks, [metadata]) */
function rebuildTensor([storage, offset, size, stride]: readonly unknown[]): PickledTensor {
  if (!(storage instanceof PickledStorage)) throw notOfTorch();
  return new PickledTensor(storage, offset, size, stride);
}

function tensorsOf(saved: unknown): Map<string, StoredTensor> {
  if (!(saved instanceof Map)) throw new WeightsFormatError('holds no state_dict but something else');
  const values = wrappers.map((key) => (saved as Map<unknown, unknown>).get(key));
  const dict: Map<unknown, unknown> = values.find((value) => value instanceof Map) ?? saved;
  return new Map([...dict].map(([name, value]) => [nameOf(name), tensorOf(nameOf(name), value)]));
}

function nameOf(name: unknown): string {
  if (typeof name === 'string') return name;
  throw new WeightsFormatError('holds no state_dict: its keys are no names of tensors');
}

function tensorOf(name: string, value: unknown): StoredTensor {
  if (!(value instanceof PickledTensor)) throw new WeightsFormatError(`has a ${printable(name)} that is no tensor`);
  const shape = sizesOf(value.shape);
  const strides = sizesOf(value.strides);
  if (strides.length !== shape.length) throw notOfTorch();
  return { storage: value.storage.open(printable(name)), offset: sizeOf(value.offset), shape, strides };
}

function sizesOf(value: unknown): number[] {
  if (!Array.isArray(value)) throw notOfTorch();
  return value.map(sizeOf);
}

function sizeOf(value: unknown): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  const found = typeof value === 'bigint' || typeof value === 'number' ? String(value) : 'something else';
  throw new WeightsFormatError(`is corrupted: it has ${printable(found)} for a size`);
}

function notOfTorch(): WeightsFormatError {
  return new WeightsFormatError('is corrupted: its pickle builds tensors in no way that torch.save does');
}

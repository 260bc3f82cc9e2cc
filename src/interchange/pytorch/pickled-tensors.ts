/** Tensors as `torch.save` describes them: a pickle says how each views a storage, whose bytes are an entry of their own. */
import type { ElementType } from '../element-types.js';
import { printable, WeightsFormatError } from '../problem.js';
import { maxRank, type StoredTensor, type TensorStorage } from '../state-dict.js';
import type { ArchiveEntry } from './zip-archive.js';

export type Archive = ReadonlyMap<string, ArchiveEntry>;

/** What the elements of a tensor are, by PyTorch's name; `elements` is null where no weights can be read from them. */
export class TensorType {
  constructor(
    readonly name: string,
    readonly elements: ElementType | null,
  ) {}
}

/** The class of a storage: the type of its elements, or of `UntypedStorage`, whose length is in bytes. */
export class StorageClass extends TensorType {}

/** A storage that a pickle names by its key. Nothing is read before `as(...).read()`. */
export class PickledStorage {
  private readonly views = new Map<TensorType, TensorStorage>();
  private bytes: Uint8Array | undefined;

  /** @param length in elements of its class */
  constructor(
    readonly storageClass: StorageClass,
    readonly length: number,
    private readonly archive: Archive,
    private readonly entry: string,
  ) {}

  /** The storage as elements of that type: the same object each time. */
  as(type: TensorType): TensorStorage {
    const view = this.views.get(type) ?? this.newView(type);
    this.views.set(type, view);
    return view;
  }

  private newView({ name, elements }: TensorType): TensorStorage {
    const length = Math.floor(this.byteLength() / (elements?.bytes ?? 1));
    return { typeName: elements?.name ?? name, type: elements, length, read: () => this.read() };
  }

  /** Once for all tensors that view it. */
  private read(): Uint8Array {
    if (this.bytes !== undefined) return this.bytes;
    const entry = entryOf(this.archive, this.entry);
    if (entry.length === this.byteLength()) return (this.bytes = entry.read());
    const { name, elements } = this.storageClass;
    const sizes = `${String(entry.length)} bytes, not ${String(this.length)} values of ${elements?.name ?? name}`;
    throw new WeightsFormatError(`is corrupted: its entry ${printable(this.entry)} has ${sizes}`);
  }

  private byteLength(): number {
    return this.length * (this.storageClass.elements?.bytes ?? 1);
  }
}

/** The storages by key: tensors that name the same key share one. */
export class StorageTable {
  private readonly storages = new Map<string, PickledStorage>();

  /** @param folder what the entries' names begin with, before the key */
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

/** A tensor that a pickle builds: a view of a storage. What it says is checked by `stored`. */
export class PickledTensor {
  private checked: StoredTensor | undefined;

  constructor(
    private readonly storage: PickledStorage,
    private readonly type: TensorType,
    private readonly offset: unknown,
    private readonly shape: unknown,
    private readonly strides: unknown,
  ) {}

  /** The same object each time. Throws WeightsFormatError. */
  stored(): StoredTensor {
    return (this.checked ??= this.check());
  }

  private check(): StoredTensor {
    const [shape, strides] = [sizesOf(this.shape), sizesOf(this.strides)];
    if (strides.length !== shape.length) throw notOfTorch();
    return { storage: this.storage.as(this.type), offset: sizeOf(this.offset), shape, strides };
  }
}

/** Throws WeightsFormatError where there is none. */
export function entryOf(archive: Archive, name: string): ArchiveEntry {
  const entry = archive.get(name);
  if (entry !== undefined) return entry;
  throw new WeightsFormatError(`is corrupted: it has no entry ${printable(name)}`);
}

function sizesOf(value: unknown): number[] {
  if (!Array.isArray(value)) throw notOfTorch();
  if (value.length <= maxRank) return value.map(sizeOf);
  const dimensions = `${String(value.length)} dimensions, more than a tensor can have`;
  throw new WeightsFormatError(`is corrupted: it has a tensor of ${dimensions}`);
}

function sizeOf(value: unknown): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  const found = typeof value === 'bigint' || typeof value === 'number' ? String(value) : 'something else';
  throw new WeightsFormatError(`is corrupted: it has ${printable(found)} for a size`);
}

/** What a pickle says that PyTorch would not. */
export function notOfTorch(): WeightsFormatError {
  return new WeightsFormatError('is corrupted: its pickle builds tensors in no way that torch.save does');
}

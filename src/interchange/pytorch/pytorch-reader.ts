/**
 * What `torch.save` writes: a zip archive with `data.pkl`, a pickle of whatever was saved, in which tensors are names, shapes
 * and strides, and one entry `data/KEY` for each storage, beside each other in a folder of any name.
 *
 * Source: https://docs.pytorch.org/docs/stable/notes/serialization.html, and torch/_utils.py and torch/serialization.py of
 * PyTorch 2.15.
 */
import { maxPickleBytes, unpickle } from './pickle.js';
import { entryOf, PickledTensor, StorageTable, type Archive } from './pickled-tensors.js';
import { printable, WeightsFormatError } from '../problem.js';
import { globals } from './pytorch-globals.js';
import { maxTensors, weightsFrom } from '../state-dict.js';
import type { FileWeights, StoredTensor, TensorTable } from '../state-dict.js';
import { readArchive } from './zip-archive.js';

/** Longer is neither of the orders of bytes. */
const maxByteOrderLength = 6;

/**
 * The weights in a file of PyTorch 1.6 or newer, whatever the layout in memory they were saved in, and whatever else was saved
 * with them.
 * @throws WeightsFormatError
 */
export async function readPyTorch(bytes: Uint8Array): Promise<FileWeights> {
  const archive = await readArchive(bytes);
  const folder = folderOf(archive);
  checkOrigin(archive, folder);
  const pickle = entryOf(archive, `${folder}data.pkl`);
  if (pickle.length > maxPickleBytes)
    throw new WeightsFormatError('has a larger table of contents than weights can take');
  const storages = new StorageTable(archive, `${folder}data/`);
  return weightsFrom(tablesOf(unpickle(pickle.read(), { globals, persistent: (id) => storages.find(id) })));
}

function folderOf(archive: Archive): string {
  const pickles = [...archive.keys()].filter((name) => /^[^/]+\/data\.pkl$/.test(name));
  const [pickle] = pickles;
  if (pickle !== undefined && pickles.length === 1) return pickle.slice(0, -'data.pkl'.length);
  throw new WeightsFormatError('is a zip archive, but not one that torch.save wrote: it has no single data.pkl');
}

function checkOrigin(archive: Archive, folder: string): void {
  if (archive.has(`${folder}constants.pkl`)) throw new WeightsFormatError('is a TorchScript program, not a state_dict');
  const order = archive.get(`${folder}byteorder`);
  // Files before PyTorch 2.1 do not say, and are little-endian.
  if (order === undefined) return;
  if (order.length <= maxByteOrderLength && new TextDecoder().decode(order.read()) === 'little') return;
  throw new WeightsFormatError('is not of a little-endian machine', 'save it again on one that is');
}

type Container = ReadonlyMap<unknown, unknown> | readonly unknown[];

/** A dict or a list, and where it stands. */
interface Place {
  readonly container: Container;
  /** The names that lead there, such as `trainer.model.`, fit for a message; empty for what was saved. */
  readonly name: string;
  readonly outer: Place | null;
}

/** Every dict with tensors in what was saved, however deep. Each is looked at once, however often it is referred to. */
function tablesOf(saved: unknown): TensorTable[] {
  if (!isContainer(saved)) throw new WeightsFormatError('holds no state_dict but something else');
  const tables: TensorTable[] = [];
  const found = new Set<Container>([saved]);
  const known = new Set<PickledTensor>();
  const places: Place[] = [{ container: saved, name: '', outer: null }];
  // `places` grows while it is walked.
  for (const place of places) {
    const tensors = new Map<string, StoredTensor>();
    for (const [key, value] of place.container.entries()) {
      if (value instanceof PickledTensor) {
        if (known.add(value).size > maxTensors) throw new WeightsFormatError('has more tensors than weights come with');
        if (typeof key === 'string') tensors.set(key, value.stored());
      } else if (isContainer(value) && !found.has(value)) {
        found.add(value);
        places.push({ container: value, name: `${printable(place.name + nameOf(key))}.`, outer: place });
      }
    }
    if (tensors.size > 0) tables.push({ place: place.name, tensors, others: () => othersAround(place) });
  }
  return tables;
}

/** What stands beside the tensors of a place, and around it, from the outside in. */
function othersAround(place: Place): string[] {
  const levels: string[][] = [];
  let inner: Place | null = null;
  for (let at: Place | null = place; at !== null; inner = at, at = at.outer) {
    const { container, name } = at;
    const others = [...container.entries()].filter(([key, value]) =>
      at === place ? !(value instanceof PickledTensor && typeof key === 'string') : value !== inner?.container,
    );
    levels.push(others.map(([key]) => printable(name + nameOf(key))));
  }
  return levels.reverse().flat();
}

function isContainer(value: unknown): value is Container {
  return value instanceof Map || Array.isArray(value);
}

/** A key fit for a message. */
function nameOf(key: unknown): string {
  return typeof key === 'string' || typeof key === 'number' ? printable(String(key)) : '(a key)';
}

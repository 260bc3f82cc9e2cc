/**
 * From the tensors of a file to the weights of this network: one set of rules for names, shapes, types and values, whatever
 * the format.
 */
import { batchNormChannels, parameterCount } from '../shared/network.js';
import { floatTypes, int64, type ElementType } from './element-types.js';
import { printable, printableShape, WeightsFormatError } from './problem.js';
import { stateTensors, type StateTensor, type Weights } from './weights.js';

/** Elements of one type, of which tensors are views. */
export interface TensorStorage {
  readonly type: ElementType;
  readonly length: number;
  /** Exactly `length` elements. Throws WeightsFormatError. */
  read(): Uint8Array;
}

/** Element [i, j, ...] is at `offset` + i strides[0] + j strides[1] + ... of the storage, all in elements. */
export interface StoredTensor {
  readonly storage: TensorStorage;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}

/** What wrappers put in front of every name: DDP, torch.compile, Lightning. */
const prefixes = ['module.', '_orig_mod.', 'model.'];
const maxWrappers = 3;

/**
 * The weights, in memory of their own, rounded to float32. `num_batches_tracked` counts 0 where it is missing, as in old
 * files, and the largest one counts where they differ, as when a layer was frozen.
 * @param tensors by name; names may begin with the prefixes of wrappers, all with the same
 * @throws WeightsFormatError where names or shapes are not exactly those of this network, where a tensor reaches outside its
 * storage or shares elements, and where a value is none that training can give
 */
export function weightsFrom(tensors: ReadonlyMap<string, StoredTensor>): Weights {
  const named = withoutPrefixes(tensors);
  checkNames(named);
  const parameters = new Float32Array(parameterCount);
  const runningStatistics = new Float32Array(2 * batchNormChannels);
  let batchesTracked = 0;
  const taken = new Map<TensorStorage, Uint8Array>();
  for (const expected of stateTensors) {
    const tensor = named.get(expected.name);
    if (tensor === undefined) continue;
    checkTensor(expected, tensor);
    const values = valuesOf(expected.name, tensor, taken);
    if (expected.part === 'batchesTracked') batchesTracked = Math.max(batchesTracked, countOf(expected.name, values));
    else {
      const part = expected.part === 'parameters' ? parameters : runningStatistics;
      part.set(floatsOf(expected.name, values), expected.offset);
    }
  }
  return { parameters, runningStatistics, batchesTracked };
}

function withoutPrefixes(tensors: ReadonlyMap<string, StoredTensor>): ReadonlyMap<string, StoredTensor> {
  const names = [...tensors.keys()];
  let length = 0;
  for (let wrapped = 0; wrapped < maxWrappers; wrapped++) {
    const prefix = prefixes.find((candidate) => names.every((name) => name.startsWith(candidate, length)));
    length += prefix?.length ?? 0;
  }
  return new Map([...tensors].map(([name, tensor]) => [name.slice(length), tensor]));
}

function checkNames(named: ReadonlyMap<string, StoredTensor>): void {
  const known = new Set(stateTensors.map(({ name }) => name));
  const others = [...named].filter(([name]) => !known.has(name));
  const [other] = others.map(([name, { shape }]) => `${printable(name)} of shape ${printableShape(shape)}`);
  const missing = stateTensors.find(({ name, part }) => part !== 'batchesTracked' && !named.has(name));
  if (missing !== undefined) {
    const instead = other === undefined ? '' : `, but ${other}`;
    const wanted = `${missing.name} of shape ${printableShape(missing.shape)}`;
    throw new WeightsFormatError(`is not of this network: it has no tensor ${wanted}${instead}`);
  }
  if (other !== undefined) throw new WeightsFormatError(`is not of this network, which has no tensor ${other}`);
}

function checkTensor({ name, shape, part }: StateTensor, { storage, ...tensor }: StoredTensor): void {
  if (tensor.shape.length !== shape.length || shape.some((size, i) => size !== tensor.shape[i])) {
    const found = `has ${name} of shape ${printableShape(tensor.shape)}`;
    throw new WeightsFormatError(`${found} where this network has ${printableShape(shape)}`);
  }
  const accepted = part === 'batchesTracked' ? [int64] : floatTypes;
  if (!accepted.includes(storage.type)) {
    const types = accepted.map((type) => type.name).join(', ');
    throw new WeightsFormatError(`has ${name} of type ${storage.type.name}, which is none of ${types}`);
  }
  const last = shape.reduce((sum, size, i) => sum + (size - 1) * (tensor.strides[i] ?? NaN), tensor.offset);
  const inside = tensor.offset >= 0 && tensor.strides.every((stride) => stride >= 0) && last < storage.length;
  if (!inside)
    throw new WeightsFormatError(`is corrupted: ${name} reaches outside of its ${String(storage.length)} values`);
}

/** The tensor's values, row-major. `taken` has a mark for each element of a storage that belongs to a tensor already. */
function valuesOf(name: string, tensor: StoredTensor, taken: Map<TensorStorage, Uint8Array>): Float64Array {
  const { storage, shape, strides } = tensor;
  const bytes = storage.read();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const marks = taken.get(storage) ?? new Uint8Array(storage.length);
  taken.set(storage, marks);
  const values = new Float64Array(shape.reduce((product, size) => product * size, 1));
  let next = 0;
  const visit = (dimension: number, position: number): void => {
    const [size, stride] = [shape[dimension], strides[dimension]];
    if (size === undefined || stride === undefined) {
      if (marks[position] !== 0)
        throw new WeightsFormatError(`has values that ${name} shares with another tensor or itself`);
      marks[position] = 1;
      values[next++] = storage.type.read(view, position * storage.type.bytes);
      return;
    }
    for (let i = 0; i < size; i++) visit(dimension + 1, position + i * stride);
  };
  visit(0, tensor.offset);
  return values;
}

function floatsOf(name: string, values: Float64Array): Float32Array {
  const floats = Float32Array.from(values);
  const bad = floats.findIndex((value) => !Number.isFinite(value) || (name.endsWith('.running_var') && value < 0));
  if (bad < 0) return floats;
  const what = Number.isFinite(floats[bad]) ? 'a negative variance' : 'a value that is not finite in float32';
  const where = `${name} at position ${String(bad)}: ${String(values[bad])}`;
  throw new WeightsFormatError(`has ${what} in ${where}`, 'choose weights of a training that did not diverge');
}

function countOf(name: string, [count = NaN]: Float64Array): number {
  if (Number.isSafeInteger(count) && count >= 0) return count;
  throw new WeightsFormatError(`is corrupted: ${name} is ${String(count)}, which is no number of batches`);
}

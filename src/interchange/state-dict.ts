/**
 * From the tensors of a file to the weights of this network: one set of rules for names, shapes, types and values, whatever
 * the format.
 *
 * A state_dict is found by how its names end, whatever stands in front of all of them, and whatever it stands in.
 */
import { assert } from '../shared/errors.js';
import { batchNormChannels, parameterCount } from '../shared/model/network.js';
import { elementTypes, type ElementType } from './element-types.js';
import { printable, printableShape, WeightsFormatError } from './problem.js';
import { stateTensors, type StateTensor, type Weights } from './weights.js';

/** PyTorch's tensors have no more dimensions. */
export const maxRank = 64;
/** Those of this network, of an average of it and of an optimiser's state are a hundred and some. */
export const maxTensors = 4096;

/** Elements of one type, of which tensors are views: one object for all that view the same. */
export interface TensorStorage {
  /** As the format names it. */
  readonly typeName: string;
  /** Null for elements that no weights can be read from. */
  readonly type: ElementType | null;
  readonly length: number;
  /** Exactly `length` elements. Throws WeightsFormatError. */
  readonly read: () => Uint8Array;
}

/** Element [i, j, ...] is at `offset` + i strides[0] + j strides[1] + ... of the storage, all in elements. */
export interface StoredTensor {
  readonly storage: TensorStorage;
  readonly offset: number;
  /** At most `maxRank` sizes. */
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}

/** Tensors that a file has in one place, such as one dict. */
export interface TensorTable {
  /** The names that lead there, such as `trainer.model.`, fit for a message; empty for the file itself. */
  readonly place: string;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** Names of all else that stands there, or around it, fit for a message. */
  readonly others: () => readonly string[];
}

/** The weights of a file. */
export interface FileWeights extends Weights {
  /** What the weights stand in, or their names begin with, such as `model_state_dict.module.`; fit for a message. */
  readonly prefix: string;
  /** Names of what else the file holds, fit for a message: nothing of it was looked at. */
  readonly leftOut: readonly string[];
}

/** Tensors of one table whose names are those of the network behind one prefix. */
interface Candidate {
  readonly table: TensorTable;
  readonly prefix: string;
  /** By the network's names. */
  readonly tensors: Map<string, StoredTensor>;
}

/** Strides of a tensor whose values lie row-major, one after the other. */
export function contiguousStrides(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = stride;
    stride *= shape[i] ?? 1;
  }
  return strides;
}

/**
 * The weights, in memory of their own, rounded to float32. `num_batches_tracked` counts 0 where it is missing, as in old
 * files, and the largest one counts where they differ, as when a layer was frozen.
 * @throws WeightsFormatError where no names and shapes are exactly those of this network behind some prefix, or those of
 * several are, where a tensor reaches outside its storage, and where a value is none that training can give
 */
export function weightsFrom(tables: readonly TensorTable[]): FileWeights {
  const found = findStateDict(tables);
  const parameters = new Float32Array(parameterCount);
  const runningStatistics = new Float32Array(2 * batchNormChannels);
  let batchesTracked = 0;
  for (const expected of stateTensors) {
    const tensor = found.tensors.get(expected.name);
    if (tensor === undefined) continue;
    const values = valuesOf(expected, tensor);
    if (expected.part === 'batchesTracked') batchesTracked = Math.max(batchesTracked, countOf(expected.name, values));
    else {
      const part = expected.part === 'parameters' ? parameters : runningStatistics;
      part.set(floatsOf(expected.name, values), expected.offset);
    }
  }
  const prefix = printable(found.table.place + found.prefix);
  return { parameters, runningStatistics, batchesTracked, prefix, leftOut: leftOutOf(found) };
}

function findStateDict(tables: readonly TensorTable[]): Candidate {
  const candidates = tables.flatMap(candidatesIn);
  const [found, ...others] = candidates.filter(isWhole);
  if (found === undefined) throw notThisNetwork(tables, candidates);
  const second = others.find((other) => !isSame(found, other));
  if (second !== undefined) {
    const places = `with ${describePrefix(found)} and with ${describePrefix(second)}`;
    const advice = 'save one of them alone with torch.save or safetensors.torch.save_file, and read that';
    throw new WeightsFormatError(`holds the weights of this network more than once, ${places}`, advice);
  }
  const added = unexpectedIn(found);
  if (added !== undefined) throw new WeightsFormatError(`is not of this network, which has no tensor ${added}`);
  return found;
}

function candidatesIn(table: TensorTable): Candidate[] {
  const candidates = new Map<string, Candidate>();
  for (const [fullName, tensor] of table.tensors) {
    const name = stateTensors.find((expected) => fullName.endsWith(expected.name))?.name;
    if (name === undefined) continue;
    const prefix = fullName.slice(0, fullName.length - name.length);
    const candidate = candidates.get(prefix) ?? { table, prefix, tensors: new Map<string, StoredTensor>() };
    candidate.tensors.set(name, tensor);
    candidates.set(prefix, candidate);
  }
  return [...candidates.values()];
}

/** Whether every tensor that must be there is, in its shape. */
function isWhole({ tensors }: Candidate): boolean {
  return stateTensors.every((expected) => fits(expected, tensors.get(expected.name)));
}

/** Whether both are the same values of the file, as where one state_dict was saved under two names. */
function isSame(a: Candidate, b: Candidate): boolean {
  return stateTensors.every(({ name }) => isSameView(a.tensors.get(name), b.tensors.get(name)));
}

function isSameView(a: StoredTensor | undefined, b: StoredTensor | undefined): boolean {
  if (a === undefined || b === undefined || a.storage !== b.storage || a.offset !== b.offset) return a === b;
  return a.strides.every((stride, i) => stride === b.strides[i]);
}

function fits({ shape, part }: StateTensor, tensor: StoredTensor | undefined): boolean {
  if (tensor === undefined) return part === 'batchesTracked';
  // PyTorch takes scalars of its first versions, which had one dimension.
  if (part === 'batchesTracked' && tensor.shape.length === 1) return tensor.shape[0] === 1;
  return tensor.shape.length === shape.length && shape.every((size, i) => size === tensor.shape[i]);
}

/** Of the tensors behind the same prefix, the first that the network does not have. */
function unexpectedIn({ table, prefix, tensors }: Candidate): string | undefined {
  for (const [name, tensor] of table.tensors) {
    if (name.startsWith(prefix) && !tensors.has(name.slice(prefix.length))) return describeTensor(name, tensor);
  }
  return undefined;
}

/** Names what is missing from, or different in, what comes closest. */
function notThisNetwork(tables: readonly TensorTable[], candidates: readonly Candidate[]): WeightsFormatError {
  const [closest] = [...candidates].sort((a, b) => b.tensors.size - a.tensors.size);
  const { prefix, tensors } = closest ?? { prefix: '', tensors: new Map<string, StoredTensor>() };
  const wrong = stateTensors.find((expected) => !fits(expected, tensors.get(expected.name)));
  assert(wrong !== undefined, 'what has all of the network is taken');
  const name = printable(prefix + wrong.name);
  const [shape, found] = [printableShape(wrong.shape), tensors.get(wrong.name)];
  if (found !== undefined) {
    const problem = `has ${name} of shape ${printableShape(found.shape)} where this network has ${shape}`;
    return new WeightsFormatError(problem);
  }
  if (closest?.table.others().includes(printable(closest.table.place + prefix + wrong.name)) === true) {
    const problem = `has ${name} as something else than a dense tensor with values`;
    return new WeightsFormatError(problem, 'save it as one, such as by .to_dense() or .dequantize()');
  }
  const taken = new Set(tensors.values());
  const others = [...((closest?.table ?? tables[0])?.tensors ?? [])];
  const other = others.find(([, tensor]) => !taken.has(tensor));
  const instead = other === undefined ? '' : `, but ${describeTensor(...other)}`;
  return new WeightsFormatError(`is not of this network: it has no tensor ${name} of shape ${shape}${instead}`);
}

function describeTensor(name: string, { shape }: StoredTensor): string {
  return `${printable(name)} of shape ${printableShape(shape)}`;
}

function describePrefix({ table, prefix }: Candidate): string {
  const whole = table.place + prefix;
  return whole === '' ? 'no prefix' : `the prefix ${printable(whole)}`;
}

function leftOutOf({ table, prefix, tensors }: Candidate): string[] {
  const taken = (name: string): boolean => name.startsWith(prefix) && tensors.has(name.slice(prefix.length));
  const beside = [...table.tensors.keys()].filter((name) => !taken(name));
  return [...beside.map((name) => printable(table.place + name)), ...table.others()];
}

/** The tensor's values, row-major. */
function valuesOf({ name, shape }: StateTensor, { storage, offset, strides }: StoredTensor): Float64Array {
  const { type, typeName, length } = storage;
  if (type === null) {
    const types = elementTypes.map((known) => known.name).join(', ');
    throw new WeightsFormatError(`has ${name} of type ${typeName}, which is none of ${types}`);
  }
  const last = shape.reduce((sum, size, i) => sum + (size - 1) * (strides[i] ?? NaN), offset);
  const inside = offset >= 0 && strides.every((stride) => stride >= 0) && last < length;
  if (!inside) throw new WeightsFormatError(`is corrupted: ${name} reaches outside of its ${String(length)} values`);
  const bytes = storage.read();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const values = new Float64Array(shape.reduce((product, size) => product * size, 1));
  let next = 0;
  const visit = (dimension: number, position: number): void => {
    const [size, stride] = [shape[dimension], strides[dimension]];
    if (size === undefined || stride === undefined) {
      values[next++] = type.read(view, position * type.bytes);
      return;
    }
    for (let i = 0; i < size; i++) visit(dimension + 1, position + i * stride);
  };
  visit(0, offset);
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

/** Truncated, as PyTorch does where a count was averaged. Half precision has no count beyond 65504: none is known then. */
function countOf(name: string, [value = NaN]: Float64Array): number {
  const count = Math.trunc(value);
  if (count === Infinity) return 0;
  if (Number.isSafeInteger(count) && count >= 0) return count;
  throw new WeightsFormatError(`is corrupted: ${name} is ${String(value)}, which is no number of batches`);
}

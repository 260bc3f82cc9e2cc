/**
 * Safetensors: 8 bytes with the length of a JSON header, little-endian; the header, which says type, shape and place of each
 * tensor; then the tensors, row-major and little-endian, one after the other.
 *
 * Source: https://github.com/huggingface/safetensors#format
 */
import { elementTypes, float32, int64, type ElementType } from './element-types.js';
import { printable, WeightsFormatError } from './problem.js';
import {
  contiguousStrides,
  maxRank,
  maxTensors,
  weightsFrom,
  type FileWeights,
  type StoredTensor,
} from './state-dict.js';
import { tensorBytes } from './tensor-bytes.js';
import { stateTensors, type Weights } from './weights.js';

const lengthBytes = 8;
/** The header of this network takes 3 KB. */
const maxHeaderBytes = 1024 * 1024;
const metadataKey = '__metadata__';
const otherPlace = 'a place that does not fit its shape';
const copyAgain = 'copy it again from where it came, or save it again';

const types = new Map<unknown, ElementType>(elementTypes.map((type) => [type.name, type]));

interface Header {
  readonly tensors: readonly TensorEntry[];
  /** The bytes behind the header. */
  readonly data: Uint8Array;
}

interface TensorEntry {
  readonly name: string;
  readonly typeName: string;
  /** Null for a type that weights are not read from, whose size is not known here. */
  readonly type: ElementType | null;
  readonly shape: readonly number[];
  /** Bytes of the data. */
  readonly start: number;
  readonly end: number;
}

/** Whether bytes begin as a safetensors file does, whole or not. */
export function looksLikeSafetensors(bytes: Uint8Array): boolean {
  return bytes.length > lengthBytes && bytes[lengthBytes] === '{'.charCodeAt(0);
}

/** @throws WeightsFormatError */
export function readSafetensors(bytes: Uint8Array): FileWeights {
  const { tensors, data } = headerOf(bytes);
  checkPlaces(tensors, data.length);
  const stored = new Map(tensors.map((entry) => [entry.name, storedTensor(entry, data)]));
  return weightsFrom([{ place: '', tensors: stored, others: () => [] }]);
}

function headerOf(bytes: Uint8Array): Header {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = view.getBigUint64(0, true);
  if (length > maxHeaderBytes) throw corrupted(`its header has ${String(length)} bytes, more than weights can take`);
  const start = lengthBytes + Number(length);
  if (start > bytes.length) throw corrupted('it ends inside its header');
  const entries = parseHeader(bytes.subarray(lengthBytes, start)).filter(([name]) => name !== metadataKey);
  if (entries.length > maxTensors) {
    throw new WeightsFormatError(`has ${String(entries.length)} tensors, more than weights of this network come with`);
  }
  return { tensors: entries.map(([name, value]) => tensorEntry(name, value)), data: bytes.subarray(start) };
}

function parseHeader(bytes: Uint8Array): [string, unknown][] {
  let text: string;
  let header: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    header = JSON.parse(text);
  } catch {
    throw corrupted('its header is not JSON');
  }
  if (!isObject(header)) throw corrupted('its header is not a JSON object');
  const entries = Object.entries(header);
  const fields = entries.map(([, value]) => (isObject(value) ? Object.keys(value).length : 0));
  // JSON.parse keeps the last of equal names, so there are fewer in the objects than in the text.
  if (namesIn(text) !== fields.reduce((sum, count) => sum + count, entries.length)) {
    throw corrupted('its header says something twice, or more than the format has');
  }
  return entries;
}

/** Names of members in valid JSON: its colons outside of strings. */
function namesIn(text: string): number {
  let [names, inString] = [0, false];
  for (let i = 0; i < text.length; i++) {
    const character = text[i];
    if (character === '\\') i++;
    else if (character === '"') inString = !inString;
    else if (character === ':' && !inString) names++;
  }
  return names;
}

function tensorEntry(name: string, value: unknown): TensorEntry {
  const problem = (what: string): WeightsFormatError => corrupted(`its tensor ${printable(name)} has ${what}`);
  if (!isObject(value)) throw problem('no description');
  const { dtype, shape, data_offsets: offsets } = value as Readonly<Record<string, unknown>>;
  if (!isSizes(shape) || !isSizes(offsets)) throw problem('sizes that are none');
  if (shape.length > maxRank) throw problem(`${String(shape.length)} dimensions, more than a tensor can have`);
  const [start, end] = offsets;
  const type = types.get(dtype) ?? null;
  if (start === undefined || end === undefined || offsets.length > 2 || start > end) throw problem(otherPlace);
  if (type !== null && shape.reduce((product, size) => product * size, type.bytes) !== end - start) {
    throw problem(otherPlace);
  }
  return { name, typeName: typeof dtype === 'string' ? printable(dtype) : 'unknown', type, shape, start, end };
}

/** One after the other from the first byte to the last, without gaps, as the format asks. */
function checkPlaces(tensors: readonly TensorEntry[], length: number): void {
  let position = 0;
  for (const { name, start, end } of [...tensors].sort((a, b) => a.start - b.start || a.end - b.end)) {
    if (start !== position) {
      throw corrupted(
        `its tensor ${printable(name)} ${start < position ? 'overlaps another' : 'leaves a gap before it'}`,
      );
    }
    position = end;
  }
  if (position > length) throw corrupted(`it has ${String(length)} of ${String(position)} bytes of tensors`);
  if (position < length) throw corrupted('it goes on after its last tensor');
}

function storedTensor({ typeName, type, shape, start, end }: TensorEntry, data: Uint8Array): StoredTensor {
  const length = (end - start) / (type?.bytes ?? 1);
  const storage = { typeName, type, length, read: () => data.subarray(start, end) };
  return { storage, offset: 0, shape, strides: contiguousStrides(shape) };
}

/** The bytes that safetensors.torch.save_file(state_dict, path, {"format": "pt"}) writes. */
export function writeSafetensors(weights: Weights): Uint8Array {
  const tensors = stateTensors.map((tensor) => {
    const type = tensor.part === 'batchesTracked' ? int64 : float32;
    return { ...tensor, type, bytes: tensorBytes(weights, tensor) };
  });
  // Its order: larger elements first, so that all are aligned to their size, then by name.
  tensors.sort((a, b) => b.type.bytes - a.type.bytes || (a.name < b.name ? -1 : 1));
  const header: Record<string, unknown> = { [metadataKey]: { format: 'pt' } };
  let end = 0;
  for (const { name, type, shape, bytes } of tensors) {
    const start = end;
    end += bytes.length;
    header[name] = { dtype: type.name, shape, data_offsets: [start, end] };
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  const headerBytes = Math.ceil(json.length / lengthBytes) * lengthBytes;
  const file = new Uint8Array(lengthBytes + headerBytes + end).fill(0x20, lengthBytes, lengthBytes + headerBytes);
  new DataView(file.buffer).setBigUint64(0, BigInt(headerBytes), true);
  file.set(json, lengthBytes);
  let position = lengthBytes + headerBytes;
  for (const { bytes } of tensors) {
    file.set(bytes, position);
    position += bytes.length;
  }
  return file;
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && (size as number) >= 0);
}

function corrupted(what: string): WeightsFormatError {
  return new WeightsFormatError(`is corrupted: ${what}`, copyAgain);
}

/** Fields of a checkpoint, as its file has them: each is what it has to be, or the file is refused. */
import { assertLittleEndian } from './checkpoint.js';

/** Characters of a name or a hash, all of which find their way into messages. */
export const maxTextLength = 256;
/** Of one field; there are fewer things to override. */
const maxTexts = 64;

/** Why bytes are no checkpoint: `problem` goes on from the file's name. */
export class CheckpointFormatError extends Error {
  constructor(
    readonly problem: string,
    readonly advice = 'choose another checkpoint',
  ) {
    super(problem);
    this.name = 'CheckpointFormatError';
  }
}

export type Fields = Readonly<Record<string, unknown>>;

export function fieldsOf(value: unknown, name: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed(name);
  return { ...value };
}

export function textsOf(value: unknown, name: string): string[] {
  if (!Array.isArray(value) || value.length > maxTexts) throw malformed(name);
  return value.map((item: unknown) => textIn({ [name]: item }, name));
}

export function textIn(fields: Fields, name: string): string {
  const value = fields[name];
  if (typeof value !== 'string' || value.length > maxTextLength) throw malformed(name);
  return value;
}

export function numberIn(fields: Fields, name: string): number {
  const value = fields[name];
  if (typeof value !== 'number' || !Number.isFinite(value)) throw malformed(name);
  return value;
}

export function integerIn(fields: Fields, name: string, least: number, most: number): number {
  const value = numberIn(fields, name);
  if (!Number.isInteger(value) || value < least || value > most) throw malformed(name);
  return value;
}

export function floatsOf(value: unknown, name: string, length: number): Float32Array {
  if (!(value instanceof Uint8Array) || value.length !== length * 4) throw malformed(name);
  assertLittleEndian();
  const floats = new Float32Array(length);
  new Uint8Array(floats.buffer).set(value);
  return floats;
}

export function malformed(field: string): CheckpointFormatError {
  return new CheckpointFormatError(`is corrupted: its field "${field}" is not what mnist-ddp writes`);
}

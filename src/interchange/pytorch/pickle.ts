/**
 * Python's pickle, restricted to data. A pickle is a program for a stack machine, and Python's own runs whatever function it
 * names; this one knows a fixed table of names, each standing for a function of ours, and refuses every other by name.
 *
 * Opcodes of protocols 2 to 5, from https://github.com/python/cpython/blob/main/Lib/pickletools.py. Every opcode takes a byte at
 * least and pushes one value at most, and nothing here recurses or copies what it is given: what is built is linear in the
 * opcodes, which are bounded. A value may be referred to any number of times, so whoever walks it must look at each once.
 */
import { printable, WeightsFormatError } from '../problem.js';

/** A state_dict with an optimiser's takes some 10 KB and 4,000 opcodes. */
export const maxPickleBytes = 1024 * 1024;
/** An opcode of one byte may make a dict, which takes some 200. */
const maxOpcodes = 1 << 18;
const maxNameLength = 256;
/** Of an integer: 2^2039 is the largest that the short form can say. */
const maxIntegerBytes = 255;

/** What REDUCE may apply. Arguments are whatever the file says. */
export class PickleFunction {
  constructor(readonly apply: (args: readonly unknown[]) => unknown) {}
}

export interface PickleNames {
  /** What a pickle may name, as "module name": a `PickleFunction`, or any other value. */
  readonly globals: ReadonlyMap<string, unknown>;
  /** What a persistent id stands for: an object kept outside the pickle. */
  readonly persistent: (id: unknown) => unknown;
}

/**
 * The value that a pickle builds: None, booleans, numbers, strings and bytes as themselves (bigint for an integer beyond
 * 2^53), list, tuple and set as Array, dict as Map, and what the table makes. An array may contain itself.
 * @throws WeightsFormatError
 */
export function unpickle(bytes: Uint8Array, names: PickleNames): unknown {
  if (bytes.length > maxPickleBytes) throw tooLarge();
  return new Machine(bytes, names).run();
}

class Machine {
  private readonly reader: Reader;
  private readonly memo = new Map<number, unknown>();
  private stack: unknown[] = [];
  /** The stacks below each open mark. */
  private readonly below: unknown[][] = [];

  constructor(
    bytes: Uint8Array,
    private readonly names: PickleNames,
  ) {
    this.reader = new Reader(bytes);
  }

  run(): unknown {
    for (let opcodes = 0; opcodes < maxOpcodes; opcodes++) {
      const opcode = this.reader.unsigned(1);
      if (opcode === 0x2e) return this.pop(); // STOP
      const valueOf = values.get(opcode);
      if (valueOf === undefined) this.act(opcode);
      else this.push(valueOf(this.reader, this));
    }
    throw tooLarge();
  }

  /** Opcodes that push nothing. */
  private act(opcode: number): void {
    switch (opcode) {
      case 0x80: // PROTO, FRAME
        this.reader.take(1);
        return;
      case 0x95:
        this.reader.take(8);
        return;
      case 0x28: // MARK
        this.below.push(this.stack);
        this.stack = [];
        return;
      case 0x30: // POP, POP_MARK
        this.pop();
        return;
      case 0x31:
        this.popMark();
        return;
      case 0x61: // APPEND, APPENDS
        this.append(this.popMany(1));
        return;
      case 0x65:
      case 0x90: // ADDITEMS
        this.append(this.popMark());
        return;
      case 0x73: // SETITEM, SETITEMS
        this.setItems(this.popMany(2));
        return;
      case 0x75:
        this.setItems(this.popMark());
        return;
      case 0x71: // BINPUT, LONG_BINPUT, MEMOIZE
        this.memo.set(this.reader.unsigned(1), this.top());
        return;
      case 0x72:
        this.memo.set(this.reader.unsigned(4), this.top());
        return;
      case 0x94:
        this.memo.set(this.memo.size, this.top());
        return;
      case 0x62: // BUILD
        this.build();
        return;
      default:
        throw notData(opcode);
    }
  }

  top(): unknown {
    if (this.stack.length === 0) throw malformed('a value missing on its stack');
    return this.stack.at(-1);
  }

  pop(): unknown {
    const value = this.top();
    this.stack.pop();
    return value;
  }

  popMany(count: number): unknown[] {
    if (this.stack.length < count) throw malformed('values missing on its stack');
    return this.stack.splice(this.stack.length - count);
  }

  /** All values above the last mark. */
  popMark(): unknown[] {
    const items = this.stack;
    const below = this.below.pop();
    if (below === undefined) throw malformed('a mark missing on its stack');
    this.stack = below;
    return items;
  }

  memoised(index: number): unknown {
    if (!this.memo.has(index)) throw malformed('a reference to nothing');
    return this.memo.get(index);
  }

  /** What a name stands for in the table. */
  global([module, name]: readonly unknown[]): unknown {
    if (typeof module !== 'string' || typeof name !== 'string') throw malformed('a name that is no string');
    const value = this.names.globals.get(`${module} ${name}`);
    if (value === undefined) throw notAllowed(module, name);
    return value;
  }

  persistent(): unknown {
    return this.names.persistent(this.pop());
  }

  reduce(): unknown {
    const [callee, args] = this.popMany(2);
    if (!(callee instanceof PickleFunction)) throw malformed('a call of what is no function');
    if (!Array.isArray(args)) throw malformed('a call without a tuple');
    return callee.apply(args);
  }

  private push(value: unknown): void {
    this.stack.push(value);
  }

  private append(items: readonly unknown[]): void {
    const list = this.top();
    if (!Array.isArray(list)) throw malformed('an append to what is no list');
    for (const item of items) list.push(item);
  }

  private setItems(items: readonly unknown[]): void {
    const dict = this.top();
    if (!(dict instanceof Map) || items.length % 2 !== 0) throw malformed('an item of what is no dict');
    for (let i = 0; i < items.length; i += 2) dict.set(keyOf(items[i]), items[i + 1]);
  }

  /** Drops the attributes of a dict: an OrderedDict's `_metadata` has versions of PyTorch's layers. */
  private build(): void {
    this.pop();
    if (!(this.top() instanceof Map)) throw malformed('attributes of what is no dict');
  }
}

/** JavaScript hashes integers by their low 64 bits alone, so that very many of them could fall together. */
function keyOf(key: unknown): unknown {
  return typeof key === 'bigint' ? String(key) : key;
}

/** Made once: a pickle may have very many strings. */
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

class Reader {
  private position = 0;
  private readonly view: DataView;

  constructor(private readonly bytes: Uint8Array) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** A view of the next bytes. */
  take(length: number): Uint8Array {
    const start = this.position;
    if (length > this.bytes.length - start) throw malformed('an end before its STOP');
    this.position = start + length;
    return this.bytes.subarray(start, this.position);
  }

  unsigned(length: 1 | 2 | 4 | 8): number {
    // 2^53 and more are rounded, and more than any file has.
    return this.take(length).reduceRight((value, byte) => value * 256 + byte, 0);
  }

  int32(): number {
    return this.unsigned(4) | 0;
  }

  float64(): number {
    this.take(8);
    return this.view.getFloat64(this.position - 8);
  }

  /** Little-endian two's complement. */
  integer(length: number): number | bigint {
    if (length > maxIntegerBytes) throw malformed('an integer of too many digits');
    const value = this.take(length).reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
    const signed = BigInt.asIntN(8 * length, value);
    return Number.isSafeInteger(Number(signed)) ? Number(signed) : signed;
  }

  text(length: number): string {
    try {
      return utf8.decode(this.take(length));
    } catch (error) {
      if (error instanceof WeightsFormatError) throw error;
      throw malformed('a string that is not UTF-8');
    }
  }

  line(): string {
    const length = this.bytes.subarray(this.position, this.position + maxNameLength).indexOf(0x0a);
    if (length < 0) throw malformed('a name without an end');
    const text = this.text(length);
    this.position++;
    return text;
  }
}

type ValueOf = (reader: Reader, machine: Machine) => unknown;

/** Opcodes that push a value: what it is. */
const values: ReadonlyMap<number, ValueOf> = new Map<number, ValueOf>([
  [0x4e, () => null], // NONE
  [0x88, () => true], // NEWTRUE
  [0x89, () => false], // NEWFALSE
  [0x4a, (reader) => reader.int32()], // BININT
  [0x4b, (reader) => reader.unsigned(1)], // BININT1
  [0x4d, (reader) => reader.unsigned(2)], // BININT2
  [0x8a, (reader) => reader.integer(reader.unsigned(1))], // LONG1
  [0x8b, (reader) => reader.integer(reader.unsigned(4))], // LONG4
  [0x47, (reader) => reader.float64()], // BINFLOAT
  [0x8c, (reader) => reader.text(reader.unsigned(1))], // SHORT_BINUNICODE
  [0x58, (reader) => reader.text(reader.unsigned(4))], // BINUNICODE
  [0x8d, (reader) => reader.text(reader.unsigned(8))], // BINUNICODE8
  [0x43, (reader) => reader.take(reader.unsigned(1))], // SHORT_BINBYTES
  [0x42, (reader) => reader.take(reader.unsigned(4))], // BINBYTES
  [0x8e, (reader) => reader.take(reader.unsigned(8))], // BINBYTES8
  [0x96, (reader) => reader.take(reader.unsigned(8))], // BYTEARRAY8
  [0x55, (reader) => reader.take(reader.unsigned(1))], // SHORT_BINSTRING
  [0x5d, () => []], // EMPTY_LIST
  [0x29, () => []], // EMPTY_TUPLE
  [0x7d, () => new Map()], // EMPTY_DICT
  [0x8f, () => []], // EMPTY_SET
  [0x91, (_, machine) => machine.popMark()], // FROZENSET
  [0x32, (_, machine) => machine.top()], // DUP
  [0x74, (_, machine) => machine.popMark()], // TUPLE
  [0x85, (_, machine) => machine.popMany(1)], // TUPLE1
  [0x86, (_, machine) => machine.popMany(2)], // TUPLE2
  [0x87, (_, machine) => machine.popMany(3)], // TUPLE3
  [0x68, (reader, machine) => machine.memoised(reader.unsigned(1))], // BINGET
  [0x6a, (reader, machine) => machine.memoised(reader.unsigned(4))], // LONG_BINGET
  [0x63, (reader, machine) => machine.global([reader.line(), reader.line()])], // GLOBAL
  [0x93, (_, machine) => machine.global(machine.popMany(2))], // STACK_GLOBAL
  [0x51, (_, machine) => machine.persistent()], // BINPERSID
  [0x52, (_, machine) => machine.reduce()], // REDUCE
]);

/** Opcodes that make objects of classes, for the message. */
const ofClasses: ReadonlyMap<number, string> = new Map([
  [0x69, 'INST'],
  [0x6f, 'OBJ'],
  [0x81, 'NEWOBJ'],
  [0x92, 'NEWOBJ_EX'],
  [0x82, 'EXT1'],
  [0x83, 'EXT2'],
  [0x84, 'EXT4'],
]);

function tooLarge(): WeightsFormatError {
  return new WeightsFormatError('has a larger table of contents than weights can take');
}

function notData(opcode: number): WeightsFormatError {
  const name = ofClasses.get(opcode) ?? `0x${opcode.toString(16).padStart(2, '0')}`;
  return new WeightsFormatError(`uses the pickle opcode ${name}, which data does not need`);
}

function notAllowed(module: string, name: string): WeightsFormatError {
  return new WeightsFormatError(`asks for ${printable(`${module}.${name}`)}, which is neither a tensor nor plain data`);
}

function malformed(what: string): WeightsFormatError {
  return new WeightsFormatError(`is corrupted: its pickle has ${what}`);
}

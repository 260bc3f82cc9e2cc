/** Two memories with the same data in them, for the same work of two machines, and what is to be equal afterwards. */

type Format = 'float32' | 'float64' | 'bits';

/** Words [start, end) of a memory. */
export interface Result {
  readonly start: number;
  readonly end: number;
  readonly format: Format;
}

const bytesOfPage = 65536;
/** Primes, so that no stride of a kernel's meets the same values again. */
const dataLength = 4099;
const bytesLength = 251;

export class Arena {
  readonly memories: readonly [WebAssembly.Memory, WebAssembly.Memory];
  readonly #start: number;
  readonly #pages: number;
  readonly #words: readonly [Uint32Array, Uint32Array];
  readonly #data = mixedData();
  /** Where the next data begin. */
  #next = 0;
  /** What is given or compared goes upwards, so that what is left there is the same in both; other room goes downwards. */
  #bottom = 0;
  #top = 0;
  #results: Result[] = [];

  /**
   * @param start bytes at the start of the memories that belong to the modules
   * @param pages of each memory, of 64 KiB
   */
  constructor(start: number, pages: number) {
    const [first, second] = [memory(pages), memory(pages)];
    this.memories = [first, second];
    this.#words = [new Uint32Array(first.buffer), new Uint32Array(second.buffer)];
    this.#start = start;
    this.#pages = pages;
    this.reset();
  }

  /** Frees everything. */
  reset(): void {
    this.#bottom = this.#start;
    this.#top = this.#pages * bytesOfPage;
    this.#results = [];
  }

  /** Room that is nobody's result; what is in it is left from others. */
  room(bytes: number): number {
    this.#top = Math.floor((this.#top - bytes) / 64) * 64;
    if (this.#top < this.#bottom) throw new RangeError('the arena is too small');
    return this.#top;
  }

  zeros(bytes: number): number {
    return this.givenWords(new Uint32Array(bytes / 4));
  }

  /** float32 [count] of data. */
  given(count: number): number {
    const offset = this.#take(4 * count);
    for (const { buffer } of this.memories) repeat(this.#data, this.#next, new Float32Array(buffer, offset, count));
    this.#next = (this.#next + count) % dataLength;
    return offset;
  }

  /** float32 [count], at most 128, of data of ordinary size: what is added to others and must show. */
  ordinary(count: number): number {
    const offset = this.#take(4 * count);
    for (const { buffer } of this.memories) repeat(this.#data, 0, new Float32Array(buffer, offset, count));
    return offset;
  }

  /** float64 [count] of data. */
  givenDoubles(count: number): number {
    const values = new Float32Array(this.memories[0].buffer, this.given(count), count).slice();
    const offset = this.#take(8 * count);
    for (const { buffer } of this.memories) new Float64Array(buffer, offset, count).set(values);
    return offset;
  }

  /** int8 [count] that `of` makes of random whole numbers. */
  givenBytes(count: number, of: (random: number) => number): number {
    const offset = this.#take(count);
    const next = generator(count);
    const data = new Int8Array(bytesLength);
    // The low bits of the generator go round in small circles.
    for (let i = 0; i < bytesLength; i++) data[i] = of(next() >>> 8);
    for (const { buffer } of this.memories) repeat(data, 0, new Int8Array(buffer, offset, count));
    return offset;
  }

  givenWords(values: ArrayLike<number>): number {
    const offset = this.#take(4 * values.length);
    for (const target of this.#words) target.set(values, offset / 4);
    return offset;
  }

  /** float32 [count] of data that the kernel changes in place. */
  changed(count: number): number {
    const offset = this.given(count);
    this.result(offset, count);
    return offset;
  }

  /** float32 [count] of results. */
  made(count: number): number {
    const offset = this.#take(4 * count);
    this.result(offset, count);
    return offset;
  }

  madeDoubles(count: number): number {
    const offset = this.#take(8 * count);
    this.result(offset, 2 * count, 'float64');
    return offset;
  }

  madeBytes(count: number): number {
    const offset = this.#take(count);
    this.result(offset, Math.ceil(count / 4), 'bits');
    return offset;
  }

  /** So many words are a result. */
  result(offset: number, words: number, format: Format = 'float32'): void {
    this.#results.push({ start: offset / 4, end: offset / 4 + words, format });
  }

  /** What was registered since the last reset. */
  get results(): readonly Result[] {
    return this.#results;
  }

  /** Whether the modules have written the same static data, their tables: no trial reads all of these. */
  isStaticDataEqual(): boolean {
    const [expected, actual] = this.#words;
    return areEqual(expected, actual, { start: 0, end: this.#start / 4, format: 'bits' });
  }

  /** Whether all results are the same in both memories. */
  isEqual(): boolean {
    const [expected, actual] = this.#words;
    return this.#results.every((result) => areEqual(expected, actual, result));
  }

  #take(bytes: number): number {
    const offset = this.#bottom;
    this.#bottom = Math.ceil((offset + bytes) / 64) * 64;
    if (this.#top < this.#bottom) throw new RangeError('the arena is too small');
    return offset;
  }
}

function areEqual(expected: Uint32Array, actual: Uint32Array, { start, end, format }: Result): boolean {
  for (let i = start; i < end; i++) {
    if (expected[i] !== actual[i] && !(isNaNAt(expected, i, format) && isNaNAt(actual, i, format))) return false;
  }
  return true;
}

/** Whether a word is one of a NaN. */
function isNaNAt(words: Uint32Array, i: number, format: Format): boolean {
  if (format === 'bits') return false;
  if (format === 'float64') return Number.isNaN(new Float64Array(words.buffer)[i >> 1]);
  return Number.isNaN(new Float32Array(words.buffer)[i]);
}

/** Fills an array with data from a position on, and again from their start where they end. */
function repeat<T extends Float32Array | Int8Array>(data: T, from: number, target: T): void {
  for (let done = 0, at = from; done < target.length; at = 0) {
    const part = data.subarray(at, at + target.length - done);
    target.set(part, done);
    done += part.length;
  }
}

function memory(pages: number): WebAssembly.Memory {
  return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
}

/**
 * Ordinary values, and every third time 64 of them so small that their products are subnormal; among them zeros of both signs,
 * subnormals and a few infinities.
 */
function mixedData(): Float32Array {
  const [random, choice] = [generator(1), generator(2)];
  const data = new Float32Array(dataLength);
  for (let i = 0; i < dataLength; i++) {
    const value = random() / 0x80000000 - 1;
    const among = choice() >>> 23;
    // 2^-68.
    data[i] = (i >> 6) % 3 === 2 ? value * 3.388131789017201e-21 : value;
    if (among < 8) data[i] = among < 4 ? 0 : -0;
    else if (among < 16) data[i] = value * 1e-39;
    else if (among === 16) data[i] = value < 0 ? -Infinity : Infinity;
  }
  return data;
}

/** Uint32, the same sequence for the same seed. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state;
  };
}

/** Objects of OpenCL that a thread owns: each is released once, by its thread, or by the main thread where that was ended. */
import { check, type Handle, type OpenCl } from './library.js';

/** In the order in which they are released where a thread left them behind. */
const releaseCalls = [
  'clReleaseKernel',
  'clReleaseProgram',
  'clReleaseMemObject',
  'clReleaseCommandQueue',
  'clReleaseContext',
] as const;
type ReleaseCall = (typeof releaseCalls)[number];

/** What a thread's objects have in common. */
export interface Owner {
  readonly cl: OpenCl;
  /** The device, for messages. */
  readonly title: string;
  readonly ledger: Ledger;
}

/**
 * The objects that a thread owns, in memory that it shares with the main thread: nothing of a thread that is ended runs any
 * more, so that the main thread has to release what it left. What finds no place here is not released then.
 */
export class Ledger {
  static readonly #capacity = 4096;
  readonly buffer: SharedArrayBuffer;
  readonly #handles: BigUint64Array;
  /** Of each handle: position in `releaseCalls`. */
  readonly #calls: Uint8Array;
  readonly #free: number[] = [];
  #used = 0;

  /** @param buffer of a ledger that another thread made, or none for a new one */
  constructor(buffer = new SharedArrayBuffer(Ledger.#capacity * 9)) {
    this.buffer = buffer;
    this.#handles = new BigUint64Array(buffer, 0, Ledger.#capacity);
    this.#calls = new Uint8Array(buffer, Ledger.#capacity * 8);
  }

  /** Returns the entry's place; null where there is none left. */
  enter(call: ReleaseCall, handle: Handle): number | null {
    const place = this.#free.pop() ?? this.#used++;
    if (place >= Ledger.#capacity) return null;
    this.#calls[place] = releaseCalls.indexOf(call);
    this.#handles[place] = handle;
    return place;
  }

  strike(place: number): void {
    this.#handles[place] = 0n;
    this.#free.push(place);
  }

  /** Objects that are not released. */
  get live(): number {
    return this.#handles.reduce((count, handle) => count + (handle === 0n ? 0 : 1), 0);
  }

  /** Releases all that is left, once the thread that owned it has ended. What a lost device makes of that is of no account. */
  releaseAll(cl: OpenCl): void {
    for (const [index, call] of releaseCalls.entries()) {
      for (const [place, handle] of this.#handles.entries()) {
        if (handle !== 0n && this.#calls[place] === index) cl[call](handle);
      }
    }
    this.#handles.fill(0n);
    this.#free.length = 0;
    this.#used = 0;
  }
}

/** An object of OpenCL with its one release. */
export class Owned {
  protected readonly owner: Owner;
  readonly #call: ReleaseCall;
  readonly #place: number | null;
  #handle: Handle | null;

  constructor(owner: Owner, call: ReleaseCall, handle: Handle) {
    this.owner = owner;
    this.#call = call;
    this.#handle = handle;
    this.#place = owner.ledger.enter(call, handle);
  }

  get handle(): Handle {
    if (this.#handle === null) throw new Error(`used after ${this.#call}`);
    return this.#handle;
  }

  /** May be called again, to no effect. */
  release(): void {
    if (this.#handle === null) return;
    const { cl, title, ledger } = this.owner;
    const status = cl[this.#call](this.#handle);
    this.#handle = null;
    if (this.#place !== null) ledger.strike(this.#place);
    check(this.#call, status, title);
  }
}

/** Waiting for a device: marks in a queue, whose status is asked. */
import { check, type Handle } from './library.js';
import type { Owner } from './owned.js';
import { OpenClError } from './status.js';

const executionStatus = 0x11d3;
const complete = 0;

/** Questions before the first sleep: most waits are short. */
const eagerTests = 50;
const firstSleepMs = 0.02;
const longestSleepMs = 0.5;

/** A mark behind what was in a queue when it was set. It may be set again and again; each setting must be awaited or dropped. */
export class Mark {
  readonly #owner: Owner;
  readonly #queue: { readonly handle: Handle };
  readonly #place = new BigUint64Array(1);
  readonly #status = new Int32Array(1);
  readonly #nap = new Int32Array(new SharedArrayBuffer(4));
  #event: Handle | null = null;

  /** See `Queue.newMark`. */
  constructor(owner: Owner, queue: { readonly handle: Handle }) {
    this.#owner = owner;
    this.#queue = queue;
  }

  /** Puts it behind all that is in the queue, and has the device begin with that. */
  set(): void {
    const { cl, title } = this.#owner;
    this.drop();
    const status = cl.clEnqueueMarkerWithWaitList(this.#queue.handle, 0, null, this.#place);
    check('clEnqueueMarkerWithWaitList', status, title);
    this.#event = this.#place[0] ?? 0n;
    check('clFlush', cl.clFlush(this.#queue.handle), title);
  }

  /**
   * Whether all that is before it is done; a mark that is not set is.
   * @throws OpenClError where a command before it failed
   */
  isDone(): boolean {
    if (this.#event === null) return true;
    const { cl, title } = this.#owner;
    check('clGetEventInfo', cl.clGetEventInfo(this.#event, executionStatus, 4, this.#status, null), title);
    const status = this.#status[0] ?? 0;
    if (status < complete) {
      this.drop();
      throw new OpenClError('a command', status, title);
    }
    if (status !== complete) return false;
    this.drop();
    return true;
  }

  /**
   * Sleeps until it is done, in JavaScript: a thread that blocked in native code could be neither ended nor replaced.
   * @throws OpenClError where a command before it failed
   */
  wait(): void {
    for (let tests = 0; !this.isDone(); tests++) {
      if (tests < eagerTests) continue;
      const sleepMs = firstSleepMs * (1 + (tests - eagerTests) / 10);
      Atomics.wait(this.#nap, 0, 0, sleepMs < longestSleepMs ? sleepMs : longestSleepMs);
    }
  }

  /** Takes it back without a wait. */
  drop(): void {
    if (this.#event === null) return;
    const event = this.#event;
    this.#event = null;
    check('clReleaseEvent', this.#owner.cl.clReleaseEvent(event), this.#owner.title);
  }
}

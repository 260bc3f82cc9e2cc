/**
 * How a group asks its process's MPI thread for an exchange with the other processes: a few shared words, since both sides
 * are threads that block. The main thread uses messages, and rings the same bell.
 *
 * | word | written by | meaning |
 * | --- | --- | --- |
 * | bell | whoever asks | counts requests and messages; the MPI thread waits for it to move |
 * | kind, step, rows, length | rank 0, before `bell` | what to exchange; kind 0 is nothing, the step is counted from 1 |
 * | done | MPI thread | counts exchanges that are complete; rank 0 waits for it to move |
 * | abort | main thread | non-zero: leave every wait and abort the job |
 * | since | MPI thread | when the exchange at hand began, as the low bits of Date.now(); 0 while there is none |
 * | missing | MPI thread | 1 + a process whose part it waits for; 0 while there is none to name |
 */
import type { Control } from './control.js';

const words = { bell: 0, kind: 1, step: 2, rows: 3, length: 4, done: 5, abort: 6, missing: 7, since: 8 };
const wordCount = 16;

/** In the order of a step; `gather` is the main thread's, outside of steps. */
export const exchangeKinds = ['gather', 'statistics', 'reduce-scatter', 'all-gather'] as const;
export type ExchangeKind = (typeof exchangeKinds)[number];

/** How messages name an exchange. */
export function exchangeName(kind: ExchangeKind): string {
  return kind === 'statistics' ? 'statistics exchange' : kind;
}

export interface ExchangeRequest {
  readonly kind: ExchangeKind;
  /** Counted from 0. */
  readonly step: number;
  /** Of the global batch. */
  readonly rows: number;
  /** Columns of a statistics exchange; 0 for others. */
  readonly length: number;
}

/** How long a wait sleeps before it gives a sign of life, and looks whether it is to end: a lost job has little time. */
const sliceMs = 50;
/** Polls before a thread sleeps. */
const spins = 2000;

export class Mailbox {
  readonly #words: Int32Array;

  constructor(readonly buffer: SharedArrayBuffer = new SharedArrayBuffer(4 * wordCount)) {
    this.#words = new Int32Array(buffer);
  }

  /** Of the last exchange that was asked for, counted from 0; -1 before the first. */
  get step(): number {
    return Atomics.load(this.#words, words.step) - 1;
  }

  /** Rank 0: has an exchange carried out, and returns when it is complete. Throws ABORTED when the group is told to leave. */
  carryOut({ kind, step, rows, length }: ExchangeRequest, control: Control, onWait: () => void): void {
    const done = Atomics.load(this.#words, words.done);
    Atomics.store(this.#words, words.step, step + 1);
    Atomics.store(this.#words, words.rows, rows);
    Atomics.store(this.#words, words.length, length);
    Atomics.store(this.#words, words.kind, 1 + exchangeKinds.indexOf(kind));
    this.ring();
    for (let i = 0; i < spins; i++) if (Atomics.load(this.#words, words.done) !== done) return;
    while (Atomics.load(this.#words, words.done) === done) {
      control.throwIfAborted();
      onWait();
      Atomics.wait(this.#words, words.done, done, sliceMs);
    }
  }

  /** Wakes the MPI thread. */
  ring(): void {
    Atomics.add(this.#words, words.bell, 1);
    Atomics.notify(this.#words, words.bell);
  }

  /** Makes the MPI thread leave its waits and abort the job. */
  abort(): void {
    Atomics.store(this.#words, words.abort, 1);
    this.ring();
  }

  get aborted(): boolean {
    return Atomics.load(this.#words, words.abort) !== 0;
  }

  /** The exchange that is asked for or under way; null where there is none. */
  get request(): ExchangeRequest | null {
    const kind = exchangeKinds[Atomics.load(this.#words, words.kind) - 1];
    if (kind === undefined) return null;
    const word = (index: number): number => Atomics.load(this.#words, index);
    return { kind, step: this.step, rows: word(words.rows), length: word(words.length) };
  }

  /** For how long the MPI thread has been exchanging, which may be stuck in a call; 0 where it is not. */
  get waitedMs(): number {
    const since = Atomics.load(this.#words, words.since);
    return since === 0 ? 0 : (Date.now() - since) | 0;
  }

  /** The process whose part is waited for, where that is known. */
  get missing(): number | null {
    const value = Atomics.load(this.#words, words.missing);
    return value === 0 ? null : value - 1;
  }

  // The MPI thread's side.

  get bell(): number {
    return Atomics.load(this.#words, words.bell);
  }

  /** Sleeps until the bell is not at `seen` any more, or for a slice. */
  awaitBell(seen: number): void {
    Atomics.wait(this.#words, words.bell, seen, sliceMs);
  }

  /** Says that the exchange asked for is complete. */
  finish(): void {
    Atomics.store(this.#words, words.kind, 0);
    Atomics.add(this.#words, words.done, 1);
    Atomics.notify(this.#words, words.done);
  }

  /** Says that an exchange with others begins or ends. */
  setExchanging(exchanging: boolean): void {
    Atomics.store(this.#words, words.since, exchanging ? Date.now() | 1 : 0);
    Atomics.store(this.#words, words.missing, 0);
  }

  nameMissing(process: number | null): void {
    Atomics.store(this.#words, words.missing, process === null ? 0 : process + 1);
  }
}

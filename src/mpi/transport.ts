/**
 * One process's messages over MPI. It never blocks inside MPI: Node cannot end while a thread sits in native code, and a
 * blocking receive burns a core. So messages are started, then tested for, with short sleeps in between.
 */
import { OperationalError } from '../shared/errors.js';
import type { Mailbox } from '../shared/group/mailbox.js';
import type { Schedule } from './exchange.js';
import type { Mpi } from './library.js';

/** Tests before the first sleep, and how long a sleep is: little at first, since most messages come soon. */
const eagerTests = 20;
const firstSleepMs = 0.05;
const longestSleepMs = 1;
/** How often it is looked up whose message is missing. */
const lookMs = 100;

export class Transport {
  readonly #mpi: Mpi;
  readonly #mailbox: Mailbox;
  readonly #flag = new Int32Array(1);
  readonly #flagAddress: bigint;
  readonly #nap = new Int32Array(new SharedArrayBuffer(4));
  #requests = new Uint8Array(0);
  #requestsAddress = 0n;

  constructor(mpi: Mpi, mailbox: Mailbox) {
    this.#mpi = mpi;
    this.#mailbox = mailbox;
    this.#flagAddress = mpi.address(this.#flag);
  }

  /**
   * Carries out a schedule on the memory at `base`, and returns when all of it is sent and received.
   * @param tag the same in all processes, and another one for another exchange
   * @param what of the exchange, in words, for the error
   * @throws OperationalError PROCESS_LOST where nothing came for `timeoutMs`, and ABORTED
   */
  exchange({ sends, receives }: Schedule, base: bigint, tag: number, timeoutMs: number, what: string): void {
    const count = receives.length + sends.length;
    this.#reserve(count);
    this.#mailbox.setExchanging(true);
    let index = 0;
    for (const { peer, offset, bytes } of receives) {
      this.#check(this.#mpi.receive(base + BigInt(offset), bytes, peer, tag, this.#request(index++)), what);
    }
    for (const { peer, offset, bytes } of sends) {
      this.#check(this.#mpi.send(base + BigInt(offset), bytes, peer, tag, this.#request(index++)), what);
    }
    this.#complete([...receives, ...sends], timeoutMs, what);
    this.#mailbox.setExchanging(false);
  }

  #complete(messages: Schedule['sends'], timeoutMs: number, what: string): void {
    let [waitedMs, nextLookMs] = [0, lookMs];
    let last = performance.now();
    for (let tests = 0; ; tests++) {
      this.#check(this.#mpi.testAll(messages.length, this.#requestsAddress, this.#flagAddress), what);
      if (this.#flag[0] !== 0) return;
      if (this.#mailbox.aborted) throw new OperationalError('ABORTED', 'the job was told to end');
      if (tests < eagerTests) continue;
      Atomics.wait(this.#nap, 0, 0, Math.min(longestSleepMs, firstSleepMs * (1 + Math.floor(tests / 100))));
      const now = performance.now();
      // A sleep that took far longer was a suspended process.
      waitedMs += Math.min(now - last, lookMs);
      last = now;
      if (waitedMs < nextLookMs) continue;
      nextLookMs = waitedMs + lookMs;
      const open = messages.findIndex((_, index) => !this.#isComplete(index, what));
      this.#mailbox.nameMissing(messages[open]?.peer ?? null);
      if (waitedMs > timeoutMs) {
        throw new OperationalError('PROCESS_LOST', `${what} is not complete after ${String(timeoutMs / 1000)} s`);
      }
    }
  }

  #isComplete(index: number, what: string): boolean {
    this.#check(this.#mpi.test(this.#request(index), this.#flagAddress), what);
    return this.#flag[0] !== 0;
  }

  #check(code: number, what: string): void {
    if (code === 0) return;
    throw new OperationalError('PROCESS_LOST', `${what} failed in MPI: ${this.#mpi.errorText(code)}`);
  }

  #request(index: number): bigint {
    return this.#requestsAddress + BigInt(index * this.#mpi.requestBytes);
  }

  #reserve(count: number): void {
    const bytes = count * this.#mpi.requestBytes;
    if (bytes <= this.#requests.length) return;
    this.#requests = new Uint8Array(bytes);
    this.#requestsAddress = this.#mpi.address(this.#requests);
  }
}

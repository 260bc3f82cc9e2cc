/**
 * The one thread that calls MPI, from Init to Finalize. It waits for the group's exchanges (by the mailbox) and for the main
 * thread's requests (by message), one at a time, until it is told to end.
 */
import { hostname } from 'node:os';
import { receiveMessageOnPort, workerData, type MessagePort } from 'node:worker_threads';
import { planBatch, type BatchPlan } from '../shared/sums/batch-plan.js';
import { at, OperationalError, serialiseError, type SerialisedError } from '../shared/errors.js';
import type { ExchangeTraffic, Traffic } from '../shared/group/job.js';
import {
  exchangeKinds,
  exchangeName,
  Mailbox,
  type ExchangeKind,
  type ExchangeRequest,
} from '../shared/group/mailbox.js';
import type { MemoryLayout } from '../shared/group/memory.js';
import { leafCount, type JobPosition } from '../shared/sums/tree.js';
import type { Launched } from './environment.js';
import { scheduleOf, type Message, type Schedule } from './exchange.js';
import { loadMpi, type Mpi } from './library.js';
import { Transport } from './transport.js';

export interface ThreadData {
  readonly port: MessagePort;
  readonly mailbox: SharedArrayBuffer;
  readonly library: Launched['library'];
  /** How long one exchange may wait for the others. */
  readonly timeoutMs: number;
  /** How long the main thread's may: others may be reading a data set. */
  readonly patienceMs: number;
}

/** What the main thread asks for; each gets one answer, in order. */
export type ThreadRequest =
  | { readonly kind: 'start' }
  | { readonly kind: 'attach'; readonly memory: WebAssembly.Memory; readonly layout: MemoryLayout }
  | { readonly kind: 'gather'; readonly bytes: Uint8Array }
  | { readonly kind: 'traffic' }
  | { readonly kind: 'finish' };

export type ThreadMessage =
  | { readonly kind: 'answer'; readonly value: unknown }
  /** The job is lost: an exchange failed, and no other will work. */
  | { readonly kind: 'failure'; readonly error: SerialisedError };

export interface Started extends JobPosition {
  readonly hosts: readonly string[];
}

/** Of a tag, which MPI lets be 32767 at most. */
const tagSteps = 4000;

interface Attached {
  /** Of the memory, held for as long as MPI may use it. */
  readonly bytes: Uint8Array;
  readonly base: bigint;
  readonly layout: MemoryLayout;
  readonly plans: Map<number, BatchPlan>;
  readonly schedules: Map<string, Schedule>;
  readonly traffic: Readonly<Record<ExchangeKind, { exchanges: number; bytesSent: number; ms: number }>>;
}

class MpiThread {
  readonly #data: ThreadData;
  readonly #mailbox: Mailbox;
  readonly #mpi: Mpi;
  readonly #transport: Transport;
  #position: JobPosition = { process: 0, processes: 1 };
  #attached: Attached | null = null;
  #gathers = 0;
  #finished = false;

  constructor(data: ThreadData) {
    this.#data = data;
    this.#mailbox = new Mailbox(data.mailbox);
    this.#mpi = loadMpi(data.library);
    this.#transport = new Transport(this.#mpi, this.#mailbox);
  }

  run(): void {
    while (!this.#finished) {
      const seen = this.#mailbox.bell;
      if (this.#mailbox.aborted) this.#mpi.abort(1);
      const message = receiveMessageOnPort(this.#data.port) as { message: ThreadRequest } | undefined;
      const { request } = this.#mailbox;
      try {
        if (message !== undefined) this.#answer(this.#carryOut(message.message));
        else if (request !== null) this.#exchange(request);
        else this.#mailbox.awaitBell(seen);
      } catch (error) {
        this.#fail(error);
      }
    }
  }

  /** Nothing can follow: the main thread says what happened, and then has the job aborted. */
  #fail(error: unknown): void {
    if (!this.#mailbox.aborted) this.#post({ kind: 'failure', error: serialiseError(error, null) });
    while (!this.#mailbox.aborted) this.#mailbox.awaitBell(this.#mailbox.bell);
  }

  #carryOut(request: ThreadRequest): unknown {
    switch (request.kind) {
      case 'start':
        return this.#start();
      case 'attach':
        this.#attach(request.memory, request.layout);
        return null;
      case 'gather':
        return this.#gather(request.bytes);
      case 'traffic':
        return this.#traffic();
      case 'finish':
        // All are here, so that Finalize, which blocks, has nobody to wait for.
        this.#gather(new Uint8Array());
        this.#mpi.finalize();
        this.#finished = true;
        return null;
    }
  }

  #start(): Started {
    const code = this.#mpi.init();
    if (code !== 0) throw new OperationalError('MPI_UNAVAILABLE', `MPI does not start: ${this.#mpi.errorText(code)}`);
    this.#position = { process: this.#mpi.rank(), processes: this.#mpi.size() };
    const hosts = this.#gather(new TextEncoder().encode(hostname())).map((name) => new TextDecoder().decode(name));
    return { ...this.#position, hosts };
  }

  #attach({ buffer }: WebAssembly.Memory, layout: MemoryLayout): void {
    const traffic = Object.fromEntries(exchangeKinds.map((kind) => [kind, { exchanges: 0, bytesSent: 0, ms: 0 }]));
    const bytes = new Uint8Array(buffer);
    this.#attached = {
      bytes,
      base: this.#mpi.address(bytes),
      layout,
      plans: new Map(),
      schedules: new Map(),
      traffic: traffic as Attached['traffic'],
    };
  }

  #exchange(request: ExchangeRequest): void {
    const { kind, step } = request;
    const attached = this.#attached;
    if (attached === null) throw new Error('an exchange before there is a memory');
    const schedule = this.#scheduleOf(attached, request);
    const start = performance.now();
    const tag = (step % tagSteps) * exchangeKinds.length + exchangeKinds.indexOf(kind);
    const what = `the ${exchangeName(kind)} of step ${String(step + 1)}`;
    this.#transport.exchange(schedule, attached.base, tag, this.#data.timeoutMs, what);
    const traffic = attached.traffic[kind];
    traffic.ms += performance.now() - start;
    traffic.bytesSent += sumBytes(schedule.sends);
    traffic.exchanges++;
    this.#mailbox.finish();
  }

  #scheduleOf({ layout, plans, schedules }: Attached, request: ExchangeRequest): Schedule {
    const { kind, rows, length } = request;
    const key = `${kind} ${String(rows)} ${String(length)}`;
    let schedule = schedules.get(key);
    if (schedule !== undefined) return schedule;
    const { microBatch, groupSize, job } = layout.shape;
    const plan = plans.get(rows) ?? planBatch(rows, leafCount(rows, microBatch), 0, groupSize, job);
    plans.set(rows, plan);
    schedule = scheduleOf(request, layout, plan);
    schedules.set(key, schedule);
    return schedule;
  }

  /** Lengths first, then contents, to and from everybody. */
  #gather(own: Uint8Array): Uint8Array[] {
    const { process, processes } = this.#position;
    const lengths = new Int32Array(processes);
    lengths[process] = own.length;
    this.#allToAll(new Uint8Array(lengths.buffer), (of) => ({ offset: 4 * of, bytes: 4 }));
    const ends = Array.from(lengths, (_, of) => lengths.subarray(0, of + 1).reduce((sum, length) => sum + length, 0));
    const startOf = (of: number): number => ends[of - 1] ?? 0;
    const all = new Uint8Array(ends.at(-1) ?? 0);
    all.set(own, startOf(process));
    this.#allToAll(all, (of) => ({ offset: startOf(of), bytes: at(lengths, of) }));
    return ends.map((end, of) => all.slice(startOf(of), end));
  }

  #allToAll(array: Uint8Array, runOf: (process: number) => Omit<Message, 'peer'>): void {
    const { process, processes } = this.#position;
    const peers = Array.from({ length: processes }, (_, peer) => peer).filter((peer) => peer !== process);
    const messages = (of: (peer: number) => number): Message[] =>
      peers.map((peer) => ({ peer, ...runOf(of(peer)) })).filter(({ bytes }) => bytes > 0);
    const schedule = { sends: messages(() => process), receives: messages((peer) => peer) };
    const tag = (this.#gathers++ % tagSteps) * exchangeKinds.length;
    this.#transport.exchange(schedule, this.#mpi.address(array), tag, this.#data.patienceMs, 'a message between steps');
  }

  #traffic(): Traffic {
    const of = (...kinds: readonly ExchangeKind[]): ExchangeTraffic => {
      const total = { exchanges: 0, bytesSent: 0, ms: 0 };
      for (const kind of kinds) {
        const part = this.#attached?.traffic[kind] ?? total;
        total.exchanges += part.exchanges;
        total.bytesSent += part.bytesSent;
        total.ms += part.ms;
      }
      return total;
    };
    return { statistics: of('statistics'), gradients: of('reduce-scatter', 'all-gather') };
  }

  #answer(value: unknown): void {
    this.#post({ kind: 'answer', value });
  }

  #post(message: ThreadMessage): void {
    this.#data.port.postMessage(message);
  }
}

function sumBytes(messages: readonly Message[]): number {
  return messages.reduce((sum, { bytes }) => sum + bytes, 0);
}

new MpiThread(workerData as ThreadData).run();

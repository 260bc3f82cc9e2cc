/**
 * The ranks of a run, each on a thread of its own. Commands go out through the control words, answers come back in messages;
 * the event loop stays free all the while.
 */
import type { TrainConfig } from '../../shared/model/config.js';
import { Control, type Command } from '../../shared/group/control.js';
import type { ComputeDevice } from '../../shared/compute-device.js';
import type { EngineName } from '../../shared/engine.js';
import { deserialiseError, isBugByKind, messageOf, OperationalError, serialiseError } from '../../shared/errors.js';
import type { MemoryLayout } from '../../shared/group/memory.js';
import { packMessage, unpackMessage } from '../../shared/group/protocol.js';
import type { RankFailure, RankMessage, RankReport } from '../../shared/group/protocol.js';
import type { Host, RankThreads } from './host.js';

/** How long ranks may take to leave by themselves before their threads are ended. */
const graceMs = 1000;
const watchMs = 500;

export interface WorkerGroupOptions {
  readonly host: Host;
  readonly groupSize: number;
  readonly engine: EngineName;
  /** What the engine imports on each thread, see `ReplicaBinding`. */
  readonly libraries: readonly string[];
  readonly config: TrainConfig;
  readonly layout: MemoryLayout;
  readonly memory: WebAssembly.Memory;
  readonly module: WebAssembly.Module | null;
  /** Where exchanges with other processes are asked for; null where there are none. */
  readonly mailbox: SharedArrayBuffer | null;
  /** Core of each rank, or null. */
  readonly cores: readonly (number | null)[];
  /** What each rank computes on besides the processor, or null. */
  readonly devices?: readonly ComputeDevice[] | null;
  readonly timeoutMs: number;
  /** Receives lines for the user that are no errors. */
  readonly onNote: (text: string) => void;
}

interface Pending {
  readonly generation: number;
  readonly reports: RankReport[];
  readonly resolve: (reports: RankReport[]) => void;
  readonly reject: (error: Error) => void;
}

export class WorkerGroup {
  readonly control: Control;
  readonly #options: WorkerGroupOptions;
  readonly #threads: RankThreads;
  readonly #tasks: Promise<void>[] = [];
  #pending: Pending | null = null;
  #failure: Error | null = null;
  #closed: Promise<void> | null = null;

  /** Starts the threads; the ranks wait for their first command. */
  constructor(options: WorkerGroupOptions) {
    const { host, memory, layout, groupSize, timeoutMs } = options;
    this.#options = options;
    this.control = new Control(memory.buffer, layout.control, groupSize, timeoutMs);
    this.#threads = host.startThreads(groupSize);
    for (let rank = 0; rank < groupSize; rank++) this.#tasks.push(this.#startRank(rank));
  }

  /** Has every rank carry out a command and resolves with their reports, by rank. Rejects with the first failure. */
  async run(command: Command): Promise<RankReport[]> {
    if (this.#failure !== null) throw this.#failure;
    const generation = this.control.generation + 1;
    const endWatch = this.#watch();
    try {
      const reports = await new Promise<RankReport[]>((resolve, reject) => {
        this.#pending = { generation, reports: [], resolve, reject };
        this.control.post(command);
      });
      return reports.sort((a, b) => a.rank - b.rank);
    } finally {
      endWatch();
    }
  }

  /**
   * Fails the command when no rank gives a sign of life for `patienceMs`: ranks in a barrier would say so themselves.
   * @returns what ends the watch
   */
  #watch(): () => void {
    let pulse = this.control.pulse();
    let silentMs = 0;
    let last = performance.now();
    const timer = setInterval(() => {
      const [now, seen] = [performance.now(), this.control.pulse()];
      // A much longer gap was a suspended process, in which nobody could give a sign.
      silentMs = seen === pulse ? silentMs + Math.min(now - last, 2 * watchMs) : 0;
      [pulse, last] = [seen, now];
      if (silentMs > this.control.patienceMs + 2 * watchMs) this.#fail(this.#stalled());
    }, watchMs);
    return () => {
      clearInterval(timer);
    };
  }

  #stalled(): OperationalError {
    const { groupSize } = this.#options;
    const answered = new Set(this.#pending?.reports.map((report) => report.rank));
    const silent = Array.from({ length: groupSize }, (_, rank) => rank).filter((rank) => !answered.has(rank));
    const names = silent.map(
      (rank) => `rank ${String(rank)} (in ${this.control.placeOf(rank)}${this.#onDevice(rank)})`,
    );
    const message = `${names.join(', ')} gave no sign of life for ${String(this.control.patienceMs / 1000)} s`;
    return new OperationalError('RANK_STALLED', message, { rank: silent[0] ?? 0 });
  }

  /** Ends what the group does with an error from outside of it. */
  fail(error: Error): void {
    this.#fail(error);
  }

  /** Ends every rank, and resolves when their threads are gone. Safe at any time, more than once. */
  close(): Promise<void> {
    return (this.#closed ??= this.#end());
  }

  async #end(): Promise<void> {
    if (this.#failure === null && this.#pending === null) this.control.post({ name: 'exit', first: 0, end: 0 });
    else this.control.abort();
    await new Promise<unknown>((resolve) => {
      // The timer holds Node's event loop open while the ranks leave.
      const patience = setTimeout(resolve, graceMs);
      void Promise.all(this.#tasks).then(() => {
        clearTimeout(patience);
        resolve(null);
      });
    });
    await this.#threads.close();
  }

  async #startRank(rank: number): Promise<void> {
    const { groupSize, engine, libraries, config, layout, cores, devices, timeoutMs } = this.#options;
    const { memory, module, mailbox } = this.#options;
    const core = cores[rank] ?? null;
    const packed = packMessage({ rank, groupSize, engine, libraries, config, layout, timeoutMs, core });
    try {
      const device = devices?.[rank] ?? null;
      await this.#threads.run({ packed, memory, module, mailbox, device }, (message) => {
        this.#receive(unpackMessage(message));
      });
      if (this.#closed === null) this.#fail(this.#died(rank, `ended early${this.#onDevice(rank)}`));
    } catch (cause) {
      this.#fail(this.#endOfThread(rank, cause));
    }
  }

  #receive(message: RankMessage): void {
    if (message.kind === 'note') this.#note(`warning: rank ${String(message.rank)}: ${message.text}`);
    if (message.kind === 'failure') this.#fail(this.#failureOf(message));
    if (message.kind !== 'report' || message.generation !== this.#pending?.generation) return;
    this.#pending.reports.push(message);
    if (this.#pending.reports.length < this.#options.groupSize) return;
    const { resolve, reports } = this.#pending;
    this.#pending = null;
    resolve(reports);
  }

  /** A program's mistake in its `onNote` ends the run, and not the process from an event. */
  #note(text: string): void {
    try {
      this.#options.onNote(text);
    } catch (error) {
      this.#fail(error instanceof Error ? error : new Error(String(error)));
    }
  }

  /** The first failure counts; the others follow from it. */
  #fail(error: Error): void {
    if (this.#failure !== null || (this.#closed !== null && isAborted(error))) return;
    this.#failure = error;
    this.control.abort();
    this.#pending?.reject(error);
    this.#pending = null;
  }

  /** What a rank says that it failed with: a bug has the stack of its thread. */
  #failureOf({ rank, error: serialised }: RankFailure): Error {
    const error = deserialiseError(serialised, this.#failedAt(rank));
    const lost = error instanceof OperationalError && error.code === 'RANK_FAILED';
    return lost ? this.#died(rank, error.message, error) : error;
  }

  /** What a rank is lost by that says nothing more itself. */
  #endOfThread(rank: number, cause: unknown): Error {
    if (cause instanceof OperationalError) return cause;
    if (isBugByKind(cause)) return deserialiseError(serialiseError(cause, rank), this.#failedAt(rank));
    return this.#died(rank, messageOf(cause) + this.#onDevice(rank), cause);
  }

  #died(rank: number, reason: string, cause?: unknown): OperationalError {
    return new OperationalError('RANK_FAILED', this.#failedAt(rank) + reason, { rank, cause });
  }

  /** What it computes on besides the processor, for messages of those who cannot say so themselves. */
  #onDevice(rank: number): string {
    const device = this.#options.devices?.[rank];
    return device === undefined ? '' : `, on ${device.title}`;
  }

  #failedAt(rank: number): string {
    return `rank ${String(rank)} failed in ${this.control.placeOf(rank)}: `;
  }
}

function isAborted(error: Error): boolean {
  return error instanceof OperationalError && error.code === 'ABORTED';
}

/** A job of several processes, as one of them sees it; src/mpi is behind it. */
import type { Mailbox } from './mailbox.js';
import type { MemoryLayout } from './memory.js';
import type { JobPosition } from '../sums/tree.js';

export interface Job extends JobPosition {
  /** Host name of each process. */
  readonly hosts: readonly string[];
  /** What the group's rank 0 asks for exchanges by. */
  readonly mailbox: Mailbox;
  /** Called once where another process is lost, or the network. */
  onFailure: (error: Error) => void;
  /** Has the exchanges of the group that follows work on this memory. */
  attach(memory: WebAssembly.Memory, layout: MemoryLayout): Promise<void>;
  /** What each process gives, by process: all call it in the same order, none while its group is in a step. */
  gather(bytes: Uint8Array): Promise<Uint8Array[]>;
  /** Ends what waits for others, here, with an error; `onFailure` is called. */
  fail(error: Error): void;
  /** What went over the network in steps since `attach`. */
  traffic(): Promise<Traffic>;
  /** Who keeps the exchange at hand waiting, and which it is, in words; null where nobody does, or not for so long yet. */
  missing(leastMs?: number): string | null;
}

/** Totals of one kind of exchange. */
export interface ExchangeTraffic {
  readonly exchanges: number;
  readonly bytesSent: number;
  /** From the request to the last byte: the wait for slower processes is in it. */
  readonly ms: number;
}

export interface Traffic {
  readonly statistics: ExchangeTraffic;
  readonly gradients: ExchangeTraffic;
}

/** How messages name a process of a job. */
export function processName(job: Pick<Job, 'hosts'>, process: number): string {
  return `process ${String(process)} on host ${job.hosts[process] ?? 'unknown'}`;
}

/** What coordinator and ranks say to each other in messages: configuration, reports and errors, never tensors. */
import { Packr } from '../msgpack.js';
import type { TrainConfig } from '../model/config.js';
import type { EngineName } from '../engine.js';
import type { SerialisedError } from '../errors.js';
import type { MemoryLayout } from './memory.js';

/** All that a rank needs to start; sent once, packed. */
export interface RankConfig {
  readonly rank: number;
  readonly groupSize: number;
  readonly engine: EngineName;
  /** What the engine imports, see `ReplicaBinding`. */
  readonly libraries: readonly string[];
  readonly config: TrainConfig;
  readonly layout: MemoryLayout;
  /** How long a rank may keep the others waiting. */
  readonly timeoutMs: number;
  /** Processor core to pin the thread to, or null. */
  readonly core: number | null;
}

/** What a thread is given to run a rank. */
export interface RankTask {
  /** A packed `RankConfig`. */
  readonly config: Uint8Array;
  /** Memory and module travel by structured clone. */
  readonly memory: WebAssembly.Memory;
  readonly module: WebAssembly.Module | null;
  /** Words of the mailbox to the other processes, or null where there are none. */
  readonly mailbox: SharedArrayBuffer | null;
}

/** What a rank computes on. `core` is the CPU that its thread is pinned to, null for any. */
export interface Device {
  readonly kind: 'cpu';
  readonly core: number | null;
}

/** Milliseconds that a rank spent on each part of the steps of one command. */
export interface StepTimes {
  readonly data: number;
  readonly compute: number;
  readonly allReduce: number;
  readonly optimiser: number;
  readonly waiting: number;
}

/** A rank's answer to one command. */
export interface RankReport {
  readonly kind: 'report';
  readonly rank: number;
  readonly generation: number;
  /** Of rank 0: sum of the loss over the global batch in the last step of a `train` command; null of others, and before one. */
  readonly lossSum: number | null;
  readonly times: StepTimes;
  /** Milliseconds of each step. */
  readonly stepMs: readonly number[];
}

export interface RankFailure {
  readonly kind: 'failure';
  readonly rank: number;
  readonly error: SerialisedError;
}

export interface RankNote {
  readonly kind: 'note';
  readonly rank: number;
  readonly text: string;
}

export type RankMessage = RankReport | RankFailure | RankNote;

// Plain maps: self-contained messages that any msgpack reader understands.
const packr = new Packr({ useRecords: false, moreTypes: false });

export function packMessage(message: RankMessage | RankConfig): Uint8Array {
  return packr.pack(message);
}

export function unpackMessage(bytes: Uint8Array): RankMessage {
  return packr.unpack(bytes) as RankMessage;
}

export function unpackConfig(bytes: Uint8Array): RankConfig {
  return packr.unpack(bytes) as RankConfig;
}

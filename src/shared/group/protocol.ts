/** What coordinator and ranks say to each other in messages: configuration, reports and errors, never tensors. */
import { Packr } from '../msgpack.js';
import type { ComputeDevice, DeviceTime } from '../compute-device.js';
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
  /** A `RankConfig`. */
  readonly packed: Uint8Array;
  /** Memory and module travel by structured clone. */
  readonly memory: WebAssembly.Memory;
  readonly module: WebAssembly.Module | null;
  /** Words of the mailbox to the other processes, or null where there are none. */
  readonly mailbox: SharedArrayBuffer | null;
  /** What the rank computes on besides the processor, or null. */
  readonly device: ComputeDevice | null;
}

/** What a rank computes on, as the option `devices` names it. */
export type Device =
  /** `core` is the CPU that its thread is pinned to, null for any. */
  | { readonly kind: 'cpu'; readonly core: number | null }
  /** `index` counts the GPUs of OpenCL, null for the next one in turn. */
  | { readonly kind: 'gpu'; readonly index: number | null }
  /** `index` counts all devices of OpenCL. */
  | { readonly kind: 'opencl'; readonly index: number };

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
  readonly times: StepTimes;
  /** Milliseconds of each step. */
  readonly stepMs: readonly number[];
  /** What the rank's device ran, where times are taken of it. */
  readonly deviceTimes?: readonly DeviceTime[];
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

/**
 * What a group needs of the world that it runs in: threads, and the engine's module. There are two: Node (node-host.ts) and
 * a browser's page (src/browser/page-host.ts).
 */
import type { RankTask } from '../shared/protocol.js';

export interface Host {
  /** The bytes of an engine's WebAssembly module, by its file name. Rejects where they cannot be had. */
  readKernels(file: string): Promise<Uint8Array<ArrayBuffer>>;
  /** Threads for so many ranks. */
  startThreads(count: number): RankThreads;
}

export interface RankThreads {
  /**
   * Runs one rank on a thread of its own.
   * @param receive is given each packed message of the rank, in order
   * @returns when the rank has left and all its messages were received; rejects where its thread ends otherwise
   */
  run(task: RankTask, receive: (message: Uint8Array) => void): Promise<void>;
  /** Ends all threads, and resolves when they are gone. */
  close(): Promise<void>;
}

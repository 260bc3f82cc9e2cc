/**
 * What a group needs of the world that it runs in: threads, and the engine's modules. There are two: Node (node-host.ts) and
 * a browser's page (src/browser/page-host.ts).
 */
import type { SimdBits } from '../../shared/engine.js';
import type { RankTask } from '../../shared/group/protocol.js';

/** How wide the kernels' vectors are. */
export interface Simd {
  readonly bits: SimdBits;
  /** In a few words. */
  readonly why: string;
  /** One line on what would make them wider on this processor; null where nothing would, or they are wide. */
  readonly advice: string | null;
}

/** A host that can make them 256 bits wide compiles the modules for that itself, on the calling thread. */
export type HostSimd = Simd & { readonly compileWide: ((bytes: Uint8Array<ArrayBuffer>) => WebAssembly.Module) | null };

export interface Host {
  /** How wide vectors can be here. Rejects with an OperationalError USAGE where more is asked for than that. */
  simd(): Promise<HostSimd>;
  /** Where one of an engine's WebAssembly modules is, by its file name: for people. */
  kernelsPath(file: string): string;
  /** The bytes of such a module. Rejects where they cannot be had. */
  readKernels(file: string): Promise<Uint8Array<ArrayBuffer>>;
  /** Threads for so many ranks. Throws OperationalError THREADS_EXCEEDED where the system has not the means for them. */
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

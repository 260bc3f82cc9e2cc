/** Node's side of a group: a piscina pool with a thread for each rank, and kernels from this package's folder. */
import { readFile } from 'node:fs/promises';
import { MessageChannel } from 'node:worker_threads';
import { Piscina } from 'piscina';
import type { RankTask } from '../shared/protocol.js';
import type { Host, RankThreads } from './host.js';
import { nodeSimd } from './node-simd.js';

export const nodeHost: Host = {
  simd: nodeSimd,
  readKernels: (file) => readFile(new URL(`../kernels/${file}`, import.meta.url)),
  startThreads: (count) => new ThreadPool(count),
};

/** Exactly as many threads as ranks, each holding one long-lived task, so that a rank stays on its thread and device. */
class ThreadPool implements RankThreads {
  readonly #pool: Piscina;

  constructor(count: number) {
    this.#pool = new Piscina({
      filename: new URL('../worker/main.js', import.meta.url).href,
      minThreads: count,
      maxThreads: count,
      concurrentTasksPerWorker: 1,
      // A rank blocks its thread in waits of its own.
      atomics: 'disabled',
    });
    // Piscina emits what its threads throw outside of a task; the tasks' rejections say the same.
    this.#pool.on('error', () => undefined);
  }

  async run(task: RankTask, receive: (message: Uint8Array) => void): Promise<void> {
    const { port1: own, port2: theirs } = new MessageChannel();
    // Listened for from the start: the port may close before the pool says that the task has ended.
    const drained = new Promise((resolve) => own.once('close', resolve));
    own.on('message', receive);
    try {
      await this.#pool.run({ ...task, port: theirs }, { transferList: [theirs] });
      await drained;
    } finally {
      own.close();
    }
  }

  close(): Promise<void> {
    return this.#pool.destroy();
  }
}

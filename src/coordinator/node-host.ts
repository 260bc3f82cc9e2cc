/** Node's side of a group: a thread of piscina's for each rank, and kernels from this package's folder. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { MessageChannel } from 'node:worker_threads';
import { Piscina } from 'piscina';
import { threadError } from '../shared/errors.js';
import type { RankTask } from '../shared/protocol.js';
import type { Host, RankThreads } from './host.js';
import { nodeSimd } from './node-simd.js';

const kernelsPath = (file: string): string => fileURLToPath(new URL(`../kernels/${file}`, import.meta.url));

export const nodeHost: Host = {
  simd: nodeSimd,
  kernelsPath,
  readKernels: (file) => readFile(kernelsPath(file)),
  startThreads: (count) => new Threads(count),
};

/** A pool of one thread for each rank, with one long-lived task, so that a rank stays on its thread and device. */
class Threads implements RankThreads {
  readonly #count: number;
  readonly #pools: Piscina[] = [];

  constructor(count: number) {
    this.#count = count;
  }

  async run(task: RankTask, receive: (message: Uint8Array) => void): Promise<void> {
    const { port1: own, port2: theirs } = new MessageChannel();
    // Listened for from the start: the port may close before the pool says that the task has ended.
    const drained = new Promise((resolve) => own.once('close', resolve));
    own.on('message', receive);
    const pool = new Piscina({
      filename: new URL('../worker/main.js', import.meta.url).href,
      // The task starts the thread, and no other one takes the place of one that ends.
      minThreads: 0,
      maxThreads: 1,
      idleTimeout: Infinity,
      // A rank blocks its thread in waits of its own.
      atomics: 'disabled',
    });
    // Of a thread that ends before it takes its task, the task is not told.
    const ended = new Promise<never>((_, reject) => pool.on('error', reject));
    try {
      const done = pool.run({ ...task, port: theirs }, { transferList: [theirs] });
      this.#pools.push(pool);
      await Promise.race([done, ended]);
      await drained;
    } catch (error) {
      const what = this.#count === 1 ? 'a worker thread' : `${String(this.#count)} worker threads`;
      throw threadError(error, what, this.#count === 1 ? null : 'use fewer --workers');
    } finally {
      own.close();
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#pools.map((pool) => pool.destroy()));
  }
}

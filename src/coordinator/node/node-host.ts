/** Node's side of a group: a thread of piscina's for each rank, and kernels from this package's folder. */
import { closeSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { devNull } from 'node:os';
import { fileURLToPath } from 'node:url';
import { MessageChannel } from 'node:worker_threads';
import { Piscina } from 'piscina';
import { threadError, threadsExceeded } from '../../shared/errors.js';
import type { RankTask } from '../../shared/group/protocol.js';
import type { Host, RankThreads } from '../session/host.js';
import { nodeSimd } from './node-simd.js';

const kernelsPath = (file: string): string => fileURLToPath(new URL(`../../kernels/${file}`, import.meta.url));

export const nodeHost: Host = {
  simd: nodeSimd,
  kernelsPath,
  readKernels: (file) => readFile(kernelsPath(file)),
  startThreads: (count) => new Threads(count),
};

/** A pool of one thread for each rank, with one long-lived task, so that a rank stays on its thread and device. */
class Threads implements RankThreads {
  readonly #what: string;
  readonly #instead: string | null;
  readonly #pools: Piscina[] = [];

  constructor(count: number) {
    this.#what = count === 1 ? 'a worker thread' : `${String(count)} worker threads`;
    this.#instead = count === 1 ? null : 'use fewer `workers`';
    if (!mayOpen(count * filesOfThread)) throw threadsExceeded('EMFILE', this.#what, this.#instead);
  }

  async run(task: RankTask, receive: (message: Uint8Array) => void): Promise<void> {
    const { port1: own, port2: theirs } = new MessageChannel();
    // Listened for from the start: the port may close before the pool says that the task has ended.
    const drained = new Promise((resolve) => own.once('close', resolve));
    own.on('message', receive);
    const pool = new Piscina({
      filename: new URL('../../worker/node/main.js', import.meta.url).href,
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
      throw threadError(error, this.#what, this.#instead);
    } finally {
      own.close();
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#pools.map((pool) => pool.destroy()));
  }
}

/** Those of its event loop, without which Node may end the process, and what it loads its modules from. */
const filesOfThread = 6;

/** Whether the system lets this process open that many files more. */
function mayOpen(count: number): boolean {
  const files: number[] = [];
  try {
    while (files.length < count) files.push(openSync(devNull, 'r'));
    return true;
  } catch (error) {
    return !(error instanceof Error && 'code' in error && /^E[MN]FILE$/.test(String(error.code)));
  } finally {
    files.forEach(closeSync);
  }
}

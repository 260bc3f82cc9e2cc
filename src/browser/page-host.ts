/** A page's side of a group: a Web Worker for each rank, and kernels from the page's own server. */
import type { Host, RankThreads } from '../coordinator/session/host.js';
import { demoPaths } from '../shared/demo.js';
import type { RankTask } from '../shared/group/protocol.js';
import { fetchBytes } from './fetch-bytes.js';

const kernelsPath = (file: string): string => demoPaths.kernels + file;

export const pageHost: Host = {
  // No page can switch a pass of its browser on.
  simd: () => Promise.resolve({ bits: 128, why: 'in a browser', advice: null, compileWide: null }),
  kernelsPath,
  readKernels: (file) => fetchBytes(kernelsPath(file)),
  startThreads: () => new WebWorkers(),
};

class WebWorkers implements RankThreads {
  readonly #workers: Worker[] = [];

  run(task: RankTask, receive: (message: Uint8Array) => void): Promise<void> {
    const worker = new Worker('worker.js', { type: 'module' });
    this.#workers.push(worker);
    return new Promise((resolve, reject) => {
      worker.addEventListener('message', ({ data }: MessageEvent<Uint8Array | null>) => {
        if (data === null) resolve();
        else receive(data);
      });
      worker.addEventListener('error', ({ message }) => {
        reject(new Error(message === '' ? 'its script did not load' : message));
      });
      worker.postMessage(task);
    });
  }

  close(): Promise<void> {
    for (const worker of this.#workers) worker.terminate();
    return Promise.resolve();
  }
}

/** A group whose worker fails: the others leave their waits, the error names the rank, and the threads end, all in time. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Host, RankThreads } from '../../../src/coordinator/session/host.js';
import { nodeHost } from '../../../src/coordinator/node/node-host.js';
import { WorkerGroup } from '../../../src/coordinator/session/worker-group.js';
import { defaultConfig } from '../../../src/shared/model/config.js';
import { allocateMemory, planMemory } from '../../../src/shared/group/memory.js';
import { OperationalError } from '../../../src/shared/errors.js';
import { wasmEngine } from '../../../src/worker/engines/wasm/wasm-engine.js';

/** `\0asm`, version 1, and nothing in it: a module without the kernels' exports. */
const emptyModule = new WebAssembly.Module(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0));
const boundMs = 20_000;

let group: WorkerGroup | undefined;
afterEach(async () => {
  await group?.close();
});

function start(module: WebAssembly.Module | null, groupSize: number, host: Host = nodeHost): WorkerGroup {
  const shape = { groupSize, shardRows: 8, subtrees: 1, microBatch: 8, trainCount: 8, testCount: 8 };
  const layout = planMemory(wasmEngine, shape);
  group = new WorkerGroup({
    host,
    groupSize,
    engine: 'wasm',
    libraries: [],
    config: defaultConfig,
    layout,
    memory: allocateMemory(layout),
    module,
    mailbox: null,
    cores: [],
    timeoutMs: 5000,
    onNote: () => undefined,
  });
  return group;
}

async function failure(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof Error) return error;
  }
  throw new Error('expected a failure');
}

describe.each([
  { name: 'kernels that lack every export', module: emptyModule },
  { name: 'no kernels', module: null },
])('a group with $name', ({ module }) => {
  it('fails with the rank that failed, for every later command too, and closes', { timeout: boundMs }, async () => {
    const broken = start(module, 2);
    const error = await failure(broken.run({ name: 'prepare', first: 0, end: 0 }));
    expect(error.message).toMatch(/rank [01]\b/);
    // Kernels that are not what they were checked to be are a bug: its stack is that of the rank's thread.
    expect(error).not.toBeInstanceOf(OperationalError);
    expect(error.stack).toMatch(/^rank [01] failed in .+\n {4}at .*[\\/]worker[\\/]/s);
    expect(await failure(broken.run({ name: 'train', first: 0, end: 1 }))).toBe(error);
    await broken.close();
    await broken.close();
  });
});

describe('a group that has nothing to do', () => {
  it('closes before its workers have started', { timeout: boundMs }, async () => {
    await start(emptyModule, 3).close();
  });

  it('is closed once, however often it is told to: every call awaits the end of the threads', async () => {
    let [closes, ended] = [0, false];
    const threads: RankThreads = {
      run: () => new Promise(() => undefined),
      close: async () => {
        closes++;
        await sleep(100);
        ended = true;
      },
    };
    const waiting = start(null, 2, { ...nodeHost, startThreads: () => threads });
    const first = waiting.close();
    await waiting.close();
    expect([closes, ended]).toEqual([1, true]);
    await first;
  });
});

describe('a group whose ranks give no sign of life', () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  it('fails when the timeout is over, but gives them longer to start', async () => {
    vi.useFakeTimers();
    const threads: RankThreads = { run: () => new Promise(() => undefined), close: () => Promise.resolve() };
    const silent = start(null, 2, { ...nodeHost, startThreads: () => threads });
    let error: Error | null = null;
    const failed = failure(silent.run({ name: 'prepare', first: 0, end: 0 })).then((cause) => (error = cause));
    silent.control.setPhase(0, 'idle');
    await vi.advanceTimersByTimeAsync(100_000);
    expect(error).toBeNull();
    silent.control.setPhase(1, 'idle');
    await vi.advanceTimersByTimeAsync(5000);
    expect(error).toBeNull();
    await vi.advanceTimersByTimeAsync(3000);
    expect((await failed).message).toBe(
      'rank 0 (in idle of step 0), rank 1 (in idle of step 0) gave no sign of life for 5 s',
    );
    const closed = silent.close();
    await vi.advanceTimersByTimeAsync(2000);
    await closed;
  });
});

/** What ends a command without being a mistake in what was asked for: bugs, and threads and files that the system does not give. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { limitLine, moduleMissing } from '../../../src/commands/shell/limits.js';
import { version } from '../../../src/index.js';
import { allocateMemory, planMemory } from '../../../src/shared/group/memory.js';
import type { RankMessage } from '../../../src/shared/group/protocol.js';
import { defaultConfig } from '../../../src/shared/model/config.js';
import { wasmEngine } from '../../../src/worker/engines/wasm/wasm-engine.js';
import { serveRank } from '../../../src/worker/rank.js';
import { cli, cliPath, type CliResult } from '../../support/processes/cli.js';
import { temporaryRuns } from '../../support/processes/runs.js';

const { directory, data, out } = await temporaryRuns(32, 20);

let modules = 0;

/** Trains for a moment with two workers, with that module in every thread before anything else. */
async function trainWith(source: string, workers = 2): Promise<CliResult> {
  const preload = join(directory, `preload-${String(modules++)}.mjs`);
  await writeFile(preload, source);
  const flags = ['--batch-size', '16', '--micro-batch', '4', '--max-steps', '2', '--workers', String(workers)];
  return cli(['train', '--data', data, '--out', out(), ...flags], { node: ['--import', preload] });
}

/** The twelfth atomic addition of any worker thread, within its first step, does that instead. */
const inFirstStep = (act: string): string => `
  import { isMainThread } from 'node:worker_threads';
  const add = Atomics.add;
  let left = 11;
  if (!isMainThread) Atomics.add = (...args) => { if (left-- === 0) { ${act} } return add(...args); };`;

/** From the third thread on the system refuses. */
const twoThreads = `
  import threads from 'node:worker_threads';
  let startable = 2;
  threads.Worker = class extends threads.Worker {
    constructor(...args) {
      const refusal = 'Worker initialization failure: EAGAIN';
      if (startable-- <= 0) throw Object.assign(new Error(refusal), { code: 'ERR_WORKER_INIT_FAILED' });
      super(...args);
    }
  };`;

describe('a bug in a rank', () => {
  it.each([
    ['a TypeError', 'null.nothing'],
    ['a RangeError', 'new Uint8Array(-1)'],
    ['an error without a code', "throw new Error('a bug on purpose')"],
  ])('ends the run at once, with the stack of its thread: %s', async (_, act) => {
    const { code, stderr } = await trainWith(inFirstStep(act));
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^mnist-ddp: this is a bug, please report it: rank [01] failed in .+ of step [01]: \w*Error: /m,
    );
    expect(stderr).toMatch(/^ {4}at .*[\\/]worker[\\/]\w+\.js:/m);
    expect(stderr).not.toContain('starting the workers again');
  });

  it('is none where there was no memory: the rank is started again', async () => {
    const { code, stderr } = await trainWith(inFirstStep("throw new RangeError('Array buffer allocation failed')"));
    expect(code).toBe(1);
    expect(stderr.match(/starting the workers again/g)).toHaveLength(3);
    expect(stderr).toMatch(
      /^mnist-ddp: rank [01] failed in .+: Array buffer allocation failed; gave up after 3 restarts/m,
    );
    expect(stderr).not.toMatch(/this is a bug|^ {4}at /m);
  });

  it.each([
    { libraries: [], thrown: 'an Error', code: null },
    { libraries: ['file:///of/another'], thrown: 'an Error', code: 'RANK_FAILED' },
    { libraries: ['file:///of/another'], thrown: 'a TypeError', code: null },
  ] as const)('is told from the loss of a device by who computes: $thrown with $libraries.length', async (given) => {
    const { libraries, thrown, code } = given;
    const shape = { groupSize: 1, shardRows: 8, subtrees: 1, microBatch: 8, trainCount: 8, testCount: 8 };
    const layout = planMemory(wasmEngine, shape);
    const place = { rank: 0, groupSize: 1, engine: 'wasm', layout, timeoutMs: 1000, attempt: 0, core: null } as const;
    const sent: RankMessage[] = [];
    await serveRank(
      {
        rankConfig: { ...place, libraries, config: defaultConfig },
        memory: allocateMemory(layout),
        module: null,
        mailbox: null,
        device: null,
      },
      {
        ...wasmEngine,
        createReplica: () => {
          throw thrown === 'an Error' ? new Error('device lost') : new TypeError('no function');
        },
      },
      (message) => sent.push(message),
    );
    expect(sent).toMatchObject([{ kind: 'failure', error: { code } }]);
    const [failure] = sent;
    expect(failure?.kind === 'failure' && failure.error.stack !== null).toBe(code === null);
  });
});

describe('threads that the system does not start', () => {
  it('are said in one line, with how many were asked for and what to do', async () => {
    const { code, stdout, stderr } = await trainWith(twoThreads, 3);
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toBe(
      'mnist-ddp: cannot start 3 worker threads: the system gives no more (EAGAIN); use fewer --workers, or raise the limit on ' +
        "threads and processes (ulimit -u, or the container's pids limit)\n",
    );
  });

  it('in the place of lost ones end the run with its last good step saved', async () => {
    const { code, stderr } = await trainWith(inFirstStep('process.exit(3);') + twoThreads);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^rank [01] failed in .+; starting the workers again \(1 of 3\)$/m);
    expect(stderr).toMatch(
      /^mnist-ddp: cannot start 2 worker threads: .+; gave up after 3 restarts; step 0 is saved: /m,
    );
    expect(stderr).not.toMatch(/this is a bug|^ {4}at /m);
  });
});

// Under a limit of some 20 Node does not start. What is read and started grows with the number of workers.
describe.runIf(process.platform === 'linux')('open files that the system does not give', () => {
  async function limited(limit: number, args: readonly string[]): Promise<CliResult> {
    const child = spawn('sh', ['-c', 'ulimit -n "$0"; exec "$@"', String(limit), process.execPath, cliPath, ...args]);
    const texts = { stdout: '', stderr: '' };
    child.stdout.on('data', (text: Buffer) => (texts.stdout += text.toString()));
    child.stderr.on('data', (text: Buffer) => (texts.stderr += text.toString()));
    const [code] = (await once(child, 'close')) as [number | null];
    return { code, ...texts };
  }

  it.each([30, 45, 60])('are one line, with the limit, where a module cannot be loaded for it: %d', async (limit) => {
    // How many are open at a time depends on the Node.
    const { code, stdout, stderr } = await limited(limit, ['--version']);
    const line = `mnist-ddp: too many open files: this process may have ${String(limit)}; raise the limit, such as by ulimit -n 1024\n`;
    if (code === 0) expect([stdout, stderr]).toEqual([`${version}\n`, '']);
    else expect([code, stdout, stderr]).toEqual([1, '', line]);
  });

  it.each([80, 100])('are one line where threads cannot be started: %d for 16 workers', async (limit) => {
    const flags = ['--batch-size', '32', '--micro-batch', '2', '--workers', '16', '--max-steps', '1'];
    const { code, stderr } = await limited(limit, ['train', '--data', data, '--out', out(), ...flags]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^mnist-ddp: [^\n]*(EMFILE|too many open files)[^\n]*\n$/);
  });
});

describe('an error of the system', () => {
  const error = (code: string): Error => Object.assign(new Error(`${code}: such a thing, at x\nand more`), { code });

  it('is the limit on open files by its code, and none where modules are missing among many files', () => {
    expect(limitLine(error('EMFILE'))).toMatch(/^too many open files(: this process may have \d+)?; raise the limit/);
    expect(limitLine(error('ENFILE'))).toMatch(/^too many open files/);
    for (const other of [error('ENOENT'), new Error('EMFILE'), 'EMFILE', null]) expect(limitLine(other)).toBeNull();
    expect(moduleMissing(error('ERR_MODULE_NOT_FOUND'))).toBe(
      'ERR_MODULE_NOT_FOUND: such a thing, at x: install the package again',
    );
    expect(moduleMissing(error('EMFILE'))).toBeNull();
  });

  it('is one line where a module of the program is not there', async () => {
    const dist = join(directory, 'dist');
    await mkdir(join(dist, 'commands/shell'), { recursive: true });
    await writeFile(join(directory, 'package.json'), '{ "type": "module" }');
    for (const file of ['cli.js', 'commands/shell/limits.js']) await cp(join(dirname(cliPath), file), join(dist, file));
    const { code, stdout, stderr } = await cli(['--version'], { path: join(dist, 'cli.js') });
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(/^mnist-ddp: Cannot find module '[^\n]*main\.js'[^\n]*: install the package again\n$/);
  });
});

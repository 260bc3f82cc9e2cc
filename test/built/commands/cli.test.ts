/** The commands as a user meets them: what they print where, their exit codes, and what they leave on disk. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdir, readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadCheckpoint, version } from '../../../src/index.js';
import { assert } from '../../../src/shared/errors.js';
import { locateDataset, openDataset } from '../../../src/coordinator/node/dataset-files.js';
import { cli, cliBatch, cliPath, type CliResult } from '../../support/processes/cli.js';
import { adviceExpected, expectedBits } from '../../support/compute/kernels.js';
import { idxHeader, temporaryDirectory, writeIdxSet } from '../../support/inputs/idx-files.js';

let directory: string;
let remove: () => Promise<void>;
/** 816 training rows: 102 steps of 8. */
let data: string;
/** Working folder of the first run, with its `runs/`. */
let home: string;
let trained: CliResult;
let folders = 0;
const out = (): string => join(directory, `out-${String(folders++)}`);

async function dataSet(name: string, train: number, test = 20): Promise<string> {
  const folder = join(directory, name);
  await mkdir(folder);
  return writeIdxSet(folder, train, test);
}

beforeAll(async () => {
  ({ directory, remove } = await temporaryDirectory());
  data = await dataSet('data', 408);
  home = join(directory, 'home');
  await mkdir(home);
  const flags = ['--batch-size', '4', '--micro-batch', '2', '--epochs', '2', '--lr-step', '101', '--workers', '2'];
  trained = await cli(['train', '--data', data, ...flags], { cwd: home });
});
afterAll(async () => {
  await remove();
});

async function runFolder(): Promise<string> {
  const [name = 'none'] = await readdir(join(home, 'runs'));
  return join(home, 'runs', name);
}

describe('train', () => {
  it("prints the reference program's lines and nothing else on stdout", () => {
    expect(trained.stderr).not.toContain('bug');
    expect(trained.code).toBe(0);
    const lines = trained.stdout.split('\n');
    expect(lines.slice(0, 2)).toEqual(['Using device: cpu', 'Training:']);
    expect(lines[2]).toMatch(/^Epoch \[1\/2\], Step \[100\/102\], Loss: \d\.\d{4}, Learning Rate: 0\.0010000000$/);
    expect(lines[3]).toMatch(/^Epoch \[2\/2\], Step \[100\/102\], Loss: \d\.\d{4}, Learning Rate: 0\.0000100000$/);
    expect(lines[4]).toMatch(/^Accuracy on test set: \d+\.\d\d %$/);
    expect(lines.slice(5)).toEqual(['']);
  });

  it('says on stderr how wide its vectors are, and once which Node would have wider ones', () => {
    const lines = trained.stderr.split('\n');
    expect(lines[0]).toContain(`, ${String(expectedBits())}-bit vectors, data set `);
    const advice = lines.filter((line) => line.includes('Node 24 or later would train 1.5 to 2 times as fast'));
    expect(advice).toHaveLength(adviceExpected() ? 1 : 0);
  });

  it('writes checkpoint, metrics and summary to a folder named by the start time, without colons', async () => {
    expect(await readdir(join(home, 'runs'))).toEqual([expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d$/)]);
    expect((await readdir(await runFolder())).sort()).toEqual([
      'checkpoint.msgpack',
      'checkpoint.previous.msgpack',
      'metrics.csv',
      'metrics.jsonl',
      'summary.json',
    ]);
    const summary = JSON.parse(await readFile(join(await runFolder(), 'summary.json'), 'utf8')) as object;
    expect(summary).toMatchObject({
      accuracy: expect.any(Number) as number,
      correct: expect.any(Number) as number,
      total: 20,
      dataset: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
      steps: 204,
      config: {
        ...{ epochs: 2, batchSize: 4, microBatch: 2, learningRate: 0.001, lrStep: 101, lrGamma: 0.1 },
        ...{ seed: 0, batchNorm: 'sync', validation: 0, patience: 0 },
      },
      workers: 2,
      engine: 'wasm',
      simdBits: expectedBits(),
      version,
      node: process.versions.node,
      imagesPerSecond: expect.any(Number) as number,
      trainSeconds: expect.any(Number) as number,
      trainLoss: expect.any(Number) as number,
      parametersSha256: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
    });
  });

  it('ends quietly where its pipe is closed, in its own time and with a checkpoint', async () => {
    const folder = out();
    const flags = `--data ${data} --batch-size 4 --epochs 5 --out ${folder} --workers 1`;
    const command = `{ ${process.execPath} ${cliPath} train ${flags}; echo "code $?" >&2; } | head -1`;
    const { stdout, stderr } = await promisify(execFile)('sh', ['-c', command], { timeout: 60_000 });
    expect(stdout).toBe('Using device: cpu\n');
    expect(stderr).toMatch(/stopped by SIGHUP; go on with: mnist-ddp train --resume .*\ncode 129\n$/);
    expect(stderr).not.toMatch(/EPIPE|Error|bug/);
    expect((await loadCheckpoint(folder)).step).toBeLessThan(510);
  });

  it.runIf(existsSync('/dev/full'))(
    'trains on where stdout cannot be written, and says once what is lost',
    async () => {
      const folder = out();
      const flags = `--data ${data} --batch-size 8 --max-steps 3 --out ${folder} --workers 1 --quiet`;
      const command = `${process.execPath} ${cliPath} train ${flags} > /dev/full; echo "code $?" >&2`;
      const { stderr } = await promisify(execFile)('sh', ['-c', command], { timeout: 60_000 });
      expect(stderr).toMatch(/^mnist-ddp: warning: stdout cannot be written, its lines are lost: ENOSPC.*\ncode 1\n$/);
      expect((await loadCheckpoint(folder)).step).toBe(3);
    },
  );

  it.runIf(existsSync('/dev/full'))(
    'is no success where what a command prints is lost, such as its version',
    async () => {
      const command = `${process.execPath} ${cliPath} --version > /dev/full; echo "code $?" >&2`;
      const { stderr } = await promisify(execFile)('sh', ['-c', command], { timeout: 60_000 });
      expect(stderr).toMatch(/stdout cannot be written.*\ncode 1\n$/);
    },
  );

  it('ends a command that waits, as a hang-up does, where its pipe is closed', async () => {
    const command = `{ ${process.execPath} ${cliPath} demo --data ${data}; echo "code $?" >&2; } | true`;
    const { stderr } = await promisify(execFile)('sh', ['-c', command], { timeout: 60_000 });
    expect(stderr).toMatch(/\ncode 129\n$/);
  });

  it('goes on where nobody reads stderr any more', async () => {
    const flags = `--data ${data} --batch-size 8 --max-steps 3 --out ${out()} --workers 1`;
    const command = `${process.execPath} ${cliPath} train ${flags} 2>&1 >&3 | true`;
    const { stdout } = await promisify(execFile)('sh', ['-c', `{ ${command}; } 3>&1`], { timeout: 60_000 });
    expect(stdout).toMatch(/^Accuracy on test set: /m);
  });

  it('stops on SIGINT with exit code 130, a checkpoint, and how to go on; going on gives the same hash', async () => {
    const folder = out();
    const flags = ['--batch-size', '4', '--micro-batch', '2', '--epochs', '2', '--lr-step', '101', '--workers', '2'];
    const stopped = await cli(['train', '--data', data, '--out', folder, ...flags], {
      onStart: (child) => {
        child.stdout?.once('data', () => setTimeout(() => child.kill('SIGINT'), 100));
      },
    });
    expect(stopped.code).toBe(130);
    expect(stopped.stderr).toContain(
      `stopped by SIGINT; go on with: mnist-ddp train --resume ${folder} --workers 2 --data ${data}\n`,
    );
    expect(stopped.stderr).not.toMatch(/bug|^ {4}at /m);
    expect((await loadCheckpoint(folder)).step).toBeLessThan(204);
    const resumed = await cli(['train', '--resume', folder, '--data', data]);
    expect(resumed.code).toBe(0);
    const hash = async (run: string): Promise<string> => (await loadCheckpoint(run)).parametersSha256;
    expect(await hash(folder)).toBe(await hash(await runFolder()));
  });

  it('ends in time, and names the rank, where a worker thread dies', async () => {
    const killer = join(directory, 'killer.mjs');
    // The fifth atomic addition of any worker thread is its last: within the first step.
    await writeFile(
      killer,
      `import { isMainThread } from 'node:worker_threads';
      const add = Atomics.add;
      let left = 4;
      if (!isMainThread) Atomics.add = (...args) => (left-- === 0 ? process.exit(3) : add(...args));`,
    );
    const flags = ['--batch-size', '8', '--micro-batch', '4', '--epochs', '2', '--workers', '2'];
    const died = await cli(['train', '--data', data, '--out', out(), ...flags], { node: ['--import', killer] });
    expect(died.code).toBe(1);
    expect(died.stderr.trim().split('\n').at(-1)).toMatch(/^mnist-ddp: .*rank [01] /);
    expect(died.stderr).not.toMatch(/^ {4}at /m);
  });
});

describe('eval', () => {
  it('takes the newest run, and prints the accuracy that train printed', async () => {
    const result = await cli(['eval', '--data', data, '--workers', '3'], { cwd: home });
    expect(result.stdout).toBe(`${trained.stdout.split('\n')[4] ?? ''}\n`);
    expect(result.code).toBe(0);
  });

  it.each(['positional', '--', '--checkpoint'])('takes a run by name: %s', async (how) => {
    const path = join(await runFolder(), 'checkpoint.msgpack');
    const args = how === 'positional' ? [path] : [how, path];
    const result = await cli(['eval', '--data', data, '--json', '--workers', '1', ...args]);
    expect(JSON.parse(result.stdout)).toMatchObject({ total: 20, step: 204, checkpoint: path });
  });

  it('says where it looked where there is no run', async () => {
    const result = await cli(['eval', '--data', data], { cwd: directory });
    expect(result.code).toBe(1);
    expect(result.stderr).toContain(`there is no run with a checkpoint under ${join(directory, 'runs')}`);
  });
});

describe('bench', () => {
  const flags = ['--workers', '1,2', '--steps', '2', '--batch-size', '8', '--micro-batch', '4'];

  it('prints one JSON array of throughput, step time, efficiency and shares', async () => {
    const result = await cli(['bench', '--data', data, '--json', ...flags]);
    expect(result.code).toBe(0);
    const rows = JSON.parse(result.stdout) as Record<string, unknown>[];
    expect(rows.map(({ workers }) => workers)).toEqual([1, 2]);
    for (const row of rows) {
      expect(row['imagesPerSecond']).toBeGreaterThan(0);
      expect(row['stepMsP50']).toBeGreaterThan(0);
      expect(row['efficiency']).toBeGreaterThan(0);
      const share = row['share'] as Record<string, number>;
      expect(Object.keys(share).sort()).toEqual(['allReduce', 'compute', 'data', 'optimiser', 'waiting']);
      expect(Object.values(share).reduce((sum, part) => sum + part, 0)).toBeCloseTo(1, 6);
    }
  });

  it('counts the images that there are, where a batch would take more', async () => {
    const large = ['--workers', '1', '--steps', '1', '--batch-size', '100000'];
    const { stdout } = await cli(['bench', '--data', data, '--json', ...large]);
    const [row] = JSON.parse(stdout) as { imagesPerSecond: number; stepMsP50: number }[];
    const images = ((row?.imagesPerSecond ?? NaN) * (row?.stepMsP50 ?? NaN)) / 1000;
    expect(images).toBeCloseTo((await openDataset(await locateDataset(data))).trainCount, 3);
  });

  it('prints a table for people', async () => {
    const result = await cli(['bench', '--data', data, ...flags]);
    const lines = result.stdout.trimEnd().split('\n');
    expect(lines).toHaveLength(4);
    expect(lines[0]).toBe(`${String(expectedBits())}-bit vectors`);
    expect(lines[1]).toMatch(/workers +images\/s +step ms +efficiency +compute +all-reduce +optimiser +waiting +data/);
  });
});

describe('help', () => {
  it.each([
    [['--help'], ['train', 'eval', 'bench', '-h, --help', '-v, --version']],
    [['-h'], ['train', 'eval', 'bench']],
    [['predict', '-h'], ['--rows']],
    [
      ['train', '--help'],
      ['--workers', '--devices', '--epochs', '--resume', '--checkpoint-every', '--batch-norm'],
    ],
    [
      ['eval', '--help'],
      ['--workers', '--checkpoint', '--json'],
    ],
    [
      ['bench', '--help'],
      ['--workers', '--steps', '--json'],
    ],
    [['verify', '--help'], ['choices: "wasm", "opencl"]']],
  ])('%j lists %j', async (args, expected) => {
    const { code, stdout, stderr } = await cli(args);
    expect([code, stderr]).toEqual([0, '']);
    for (const word of expected) expect(stdout).toContain(word);
  });

  it.each(['--version', '-v'])('prints the version of the package: %s', async (flag) => {
    const { version } = JSON.parse(await readFile(new URL('../../../package.json', import.meta.url), 'utf8')) as {
      version: string;
    };
    expect((await cli([flag])).stdout).toBe(`${version}\n`);
  });
});

/** One line on stderr, nothing on stdout, and no stack trace. */
function expectRefused(result: CliResult, code: 1 | 2, message: string): void {
  expect(result.stderr).toContain(message);
  expect(result.stderr).toMatch(/^mnist-ddp: [^\n]+\n$/);
  expect(result.stderr).not.toContain('bug');
  expect([result.code, result.stdout]).toEqual([code, '']);
}

/** Such a refusal of a process of its own, and no file in the folder that was to be written. */
async function expectRefusal(args: readonly string[], code: 1 | 2, message: string, folder?: string): Promise<void> {
  expectRefused(await cli(args, { cwd: home }), code, message);
  if (folder !== undefined) expect(await readdir(folder).catch(() => [])).toEqual([]);
}

const refused: readonly (readonly [args: readonly string[], message: string])[] = [
  [['train', '--bogus'], 'there is no option --bogus'],
  [['train', 'extra'], 'train takes no "extra" there'],
  [['trian'], 'there is no command trian: did you mean train?'],
  [[], 'name a command'],
  [['train', '--no-out'], 'there is no option --no-out; see mnist-ddp train --help'],
  [
    ['train', '--learning-rate', '3'],
    'there is no option --learning-rate: did you mean --lr?; see mnist-ddp train --help',
  ],
  [['fit'], 'there is no command fit: did you mean train?'],
  [
    ['train', '--max_epochs', '3'],
    'there is no option --max_epochs: did you mean --epochs?; see mnist-ddp train --help',
  ],
  [['help', 'evil'], 'there is no command evil: did you mean eval?'],
  [['train', '--out.x', '1'], 'there is no option --out.x'],
  [['train', '--seed'], 'Not enough arguments following: seed'],
  [['train', '--seed', '1', '--seed', '2'], '--seed is given 2 times; give it once'],
  [['train', '--out', 'a', '--out', 'b'], '--out is given 2 times; give it once'],
  [['eval', '--data', 'a', '--data', 'b'], '--data is given 2 times; give it once'],
  [['train', '--epochs', 'abc'], '--epochs takes a number in decimal, not "abc"'],
  [['train', '--epochs', '1.5'], '--epochs must be a whole number'],
  [['train', '--lr', 'x'], '--lr takes a number in decimal, not "x"'],
  // As of a shell variable that is not set.
  [['train', '--lr', ''], '--lr takes a number in decimal, not ""'],
  [['train', '--lr='], '--lr takes a number in decimal, not ""'],
  [['train', '--epochs', '0x10'], '--epochs takes a number in decimal, not "0x10"'],
  [['verify', '--steps', ' 2'], '--steps takes a number in decimal, not " 2"'],
  [['train', '--timeout', 'Infinity'], '--timeout takes a number in decimal, not "Infinity"'],
  // What a double cannot hold is quoted as it was given.
  [['train', '--lr', '1e999'], '--lr takes a finite number in double precision, and "1e999" is none'],
  [['train', '--lr', '1e-400'], 'and "1e-400" is none'],
  [['train', '--seed', '9007199254740993'], 'and "9007199254740993" is none'],
  [['bench', '--steps', '+9007199254740993'], 'and "+9007199254740993" is none'],
  [['train', '--seed', '9007199254740992'], 'from 0 to 4294967295, not 9007199254740992'],
  [['bench', '--workers', '99999999999999999999'], 'not "99999999999999999999"'],
  [['verify', '--workers', '0'], '--workers takes whole numbers from 1 to 16, such as 1,2, not "0"'],
  [['bench', '--workers', '1,17'], '--workers takes whole numbers from 1 to 16, such as 1,2, not "1,17"'],
  [['train', '--out', ''], '"" is given for out'],
  [['eval', ''], '"" is given for run'],
  [['predict', 'a.png', ''], '"" is given for files'],
  [['train', '--data='], '"" is given for data'],
  [['predict', 'a.png', '--checkpoint', 'a,,b'], '--checkpoint takes runs or files, with commas between, not "a,,b"'],
  [['train', '--lr', '-0.1'], '--lr must be a finite number of at least 0'],
  [['train', '--', '--max-steps', '1'], 'train takes no "--max-steps" there'],
  [['train', '--workers', '0'], '--workers must be auto or a whole number from 1 to 16, not "0"'],
  [['train', '--workers', '17'], '--workers must be auto or a whole number from 1 to 16, not "17"'],
  [['train', '--workers', '5', '--batch-size', '32'], '32'],
  [['train', '--devices', 'npu'], '"npu", is not a device'],
  [['train', '--devices', 'cpu,cpu', '--workers', '3'], '3'],
  [['train', '--engine', 'tpu'], 'Given: "tpu"'],
  [['train', '--batch-norm', 'none'], 'Given: "none"'],
  [['bench', '--workers', 'a'], '--workers takes numbers such as 1,2,4, not "a"'],
  [['bench', '--steps', '0'], '--steps must be a whole number from 1'],
  [['eval', 'a', '--checkpoint', 'b'], 'name the checkpoint once'],
  [['eval', '-'], '"-" stands for no file here; a file of that name is written ./-'],
  [['eval', '-dash'], 'there is no option -dash; a file of that name is written ./-dash'],
  [['-V'], 'there is no option -V'],
  [['--version=3'], '--version takes no value'],
  [['eval', '-h=1'], '-h takes no value'],
  [['eval', '--json=maybe'], '--json takes no value'],
  [['train', '--quiet=no'], '--quiet takes no value'],
  [['verify', '--workers', '1', '--steps', '1'], 'leaves nothing to compare'],
];

describe('a request that cannot be carried out as written', () => {
  let results: Promise<CliResult[]> | null = null;
  it.each(refused.map(([args, message], i) => ({ args, message, i })))(
    'is refused with exit code 2: $args',
    async ({ args, message, i }) => {
      results ??= cliBatch(
        refused.map(([words]) => words),
        home,
      );
      const result = (await results)[i];
      assert(result !== undefined, `a result of ${args.join(' ')}`);
      expectRefused(result, 2, message);
    },
  );

  it('restates the division where there are more workers than micro-batches', async () => {
    const { stderr } = await cli(['train', '--workers', '5', '--batch-size', '32']);
    expect(stderr).toMatch(/5.*32.*8.*4|32.*8.*4.*5/);
  });

  it('names a batch that leaves one row alone for a batch norm', async () => {
    const odd = await dataSet('odd', 17);
    const folder = out();
    const message = 'the last batch of an epoch has 1 row (17 training rows in batches of 8)';
    await expectRefusal(['train', '--data', odd, '--batch-size', '8', '--out', folder], 2, message, folder);
    const local = ['--batch-size', '10', '--micro-batch', '3', '--batch-norm', 'local', '--workers', '4'];
    await expectRefusal(['train', '--data', odd, ...local, '--out', folder], 2, 'rank 3 of 4 gets 1 of', folder);
  });
});

describe('bad data', () => {
  let broken: string;
  beforeAll(async () => {
    broken = await dataSet('broken', 16);
  });

  it.each([
    { name: 'missing', file: 't10k-labels-idx1-ubyte', bytes: null, message: 'lacks a file' },
    { name: 'truncated', file: 'train-images-idx3-ubyte', bytes: 1000, message: 'is cut short' },
    {
      name: 'of a wrong magic',
      file: 'train-images-idx3-ubyte',
      bytes: idxHeader(0x999, 16, 28, 28),
      message: '0x00000999',
    },
    {
      name: 'of another count',
      file: 'train-labels-idx1-ubyte',
      bytes: Uint8Array.of(...idxHeader(0x801, 2), 1, 2),
      message: '2 labels, but',
    },
  ])('is refused: a file that is $name', async ({ name, file, bytes, message }) => {
    const folder = join(directory, `data ${name}`);
    await cp(broken, folder, { recursive: true });
    const path = join(folder, file);
    if (bytes === null) await promisify(execFile)('rm', [path]);
    else if (typeof bytes === 'number') await truncate(path, bytes);
    else await writeFile(path, bytes);
    const target = out();
    await expectRefusal(['train', '--data', folder, '--out', target], 1, message, target);
  });

  it('is refused: no such folder', async () => {
    await expectRefusal(['train', '--data', join(directory, 'nowhere'), '--out', out()], 1, 'there is no such folder');
  });
});

describe('bad checkpoints', () => {
  it.each([
    { name: 'missing', change: null },
    { name: 'truncated', change: (bytes: Buffer) => bytes.subarray(0, bytes.length - 100) },
    {
      name: 'corrupted',
      change: (bytes: Buffer) => Buffer.concat([bytes.subarray(0, 5000), Buffer.from('oops'), bytes.subarray(5004)]),
    },
    { name: 'not one', change: () => Buffer.from('hello') },
  ])('are refused by eval and by train --resume: $name', async ({ name, change }) => {
    const path = join(directory, `${name}.msgpack`);
    if (change !== null) await writeFile(path, change(await readFile(join(await runFolder(), 'checkpoint.msgpack'))));
    await expectRefusal(['eval', path, '--data', data], 1, path);
    const folder = out();
    await expectRefusal(['train', '--resume', path, '--data', data, '--out', folder], 1, path, folder);
  });
});

describe('bad places to write to', () => {
  it('are refused: a folder below a file', async () => {
    await writeFile(join(directory, 'file'), '');
    await expectRefusal(['train', '--data', data, '--out', join(directory, 'file', 'run')], 1, join(directory, 'file'));
  });

  it('are refused: a folder that holds a checkpoint, which stays as it was', async () => {
    const folder = await runFolder();
    const before = await readFile(join(folder, 'checkpoint.msgpack'));
    await expectRefusal(['train', '--data', data, '--out', folder], 1, `resume it with --resume ${folder}`);
    expect((await readFile(join(folder, 'checkpoint.msgpack'))).equals(before)).toBe(true);
  });
});

describe('a batch too large for 4 GiB of WebAssembly memory', () => {
  it('is refused with what it needs, before any data is loaded', async () => {
    const folder = out();
    const args = ['train', '--batch-size', '60000', '--workers', '1', '--out', folder];
    await expectRefusal(args, 1, 'a shard of 60000 rows on each of 1 worker needs', folder);
  });
});

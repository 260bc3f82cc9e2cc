/** Engines as a user meets them: by name, by their best, over a run that changes them, and where they are missing. */
import { existsSync } from 'node:fs';
import { cp, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { loadCheckpoint, type DevicesReport } from '../../../src/index.js';
import { folderVariable } from '../../../src/library/engines/packages.js';
import { cli, type CliResult } from '../../support/processes/cli.js';
import { installPackage, tensorFlowSource } from '../../support/compute/packages.js';
import { findTensorFlow } from '../../support/compute/tensorflow.js';
import { temporaryRuns } from '../../support/processes/runs.js';

const { directory, data, out } = await temporaryRuns(16, 8);

const { libraries, missing } = findTensorFlow('tfjs-node');
const gpuNode = '@tensorflow/tfjs-node-gpu';

/** Vulkan without a driver. */
const noGpu = { VK_ICD_FILENAMES: '/nonexistent.json', VK_DRIVER_FILES: '/nonexistent.json' };

const title = (what: string, reason: string | null): string =>
  reason === null ? what : `${what}, NOT TESTED: ${reason}`;

/** 16 training rows. */
/** Environment in which neither tfjs-node nor tfjs-node-gpu is installed. */
let nothing: Record<string, string>;
const flags = ['--batch-size', '8', '--micro-batch', '4', '--epochs', '2', '--workers', '2'];

beforeAll(async () => {
  await mkdir(join(directory, 'empty'));
  nothing = { [folderVariable]: join(directory, 'empty'), HOME: join(directory, 'empty') };
});

async function trained(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<CliResult> {
  const source = args.includes('--data') ? [] : ['--data', data];
  const result = await cli(['train', ...source, ...args], { cwd: directory, env });
  expect(result.stderr).not.toMatch(/bug|^ {4}at /m);
  return result;
}

interface Figures {
  readonly engine: string;
  readonly workers: number;
  readonly trainLoss: number;
  readonly steps: number;
}

async function summaryOf(run: string): Promise<Figures> {
  return JSON.parse(await readFile(join(run, 'summary.json'), 'utf8')) as Figures;
}

/** One line on stderr, nothing on stdout, no stack trace, and no run. */
async function expectRefusal(
  engine: string,
  env: Readonly<Record<string, string>>,
  message: RegExp,
  code = 1,
  more: readonly string[] = [],
): Promise<void> {
  const folder = out();
  const result = await trained(['--engine', engine, '--out', folder, ...more], env);
  expect(result.stderr).toMatch(message);
  expect(result.stderr).toMatch(/^mnist-ddp: [^\n]+\n$/);
  expect([result.code, result.stdout]).toEqual([code, '']);
  expect(existsSync(folder)).toBe(false);
}

describe('an engine that does not work', () => {
  it('is refused in one line with how to get it: tfjs-node', async () => {
    await expectRefusal('tfjs-node', nothing, /@tensorflow\/tfjs-node is not installed in .*: npm install @tensorflow/);
  });

  it('is refused in one line where its addon is missing', async () => {
    const folder = join(directory, 'addonless');
    installPackage(folder, '@tensorflow/tfjs-node', { addon: false });
    await expectRefusal(
      'tfjs-node',
      { [folderVariable]: folder },
      /is installed without its native addon.*: npm install/,
    );
  });

  it('is refused in one line where its package cannot be loaded', async () => {
    const folder = join(directory, 'broken');
    installPackage(folder, '@tensorflow/tfjs-node', { source: "throw new Error('no libtensorflow\\nat all')" });
    await expectRefusal(
      'tfjs-node',
      { [folderVariable]: folder },
      /cannot be loaded \(no libtensorflow\): npm install/,
    );
  });

  const elsewhere = process.platform === 'linux' ? null : 'only Linux lets a test hide its GPUs';
  it.skipIf(elsewhere !== null)(
    title('is refused in one line: tfjs-webgpu without an adapter', elsewhere),
    async () => {
      await expectRefusal('tfjs-webgpu', noGpu, /--engine tfjs-webgpu: no WebGPU adapter: a GPU with a driver for /);
    },
  );

  it.skipIf(elsewhere !== null)(title('is refused with the reason of each: tfjs', elsewhere), async () => {
    const reasons =
      /none.*tfjs-node-gpu: .*not installed.*; tfjs-node: .*not installed.*; tfjs-webgpu: no WebGPU adapter/;
    await expectRefusal('tfjs', { ...nothing, ...noGpu }, reasons);
  });

  it('is refused as a request that cannot be carried out where cores were named for it', async () => {
    await expectRefusal('tfjs-node', nothing, /cpu:N does not pin/, 2, ['--devices', 'cpu:0,cpu:0']);
  });
});

describe('auto', () => {
  it('says which and why before training, in the metrics too', async () => {
    const run = out();
    const result = await trained([...flags, '--max-steps', '1', '--out', run], nothing);
    expect(result.stderr).toMatch(
      /^2 workers, engine wasm \(no GPU: .*libOpenCL.*\), (128|256)-bit vectors, data set /,
    );
    expect(result.stdout).toMatch(/^Using device: cpu\n/);
    const [start = ''] = (await readFile(join(run, 'metrics.jsonl'), 'utf8')).split('\n');
    expect(JSON.parse(start)).toMatchObject({ kind: 'start', engine: 'wasm', device: 'cpu' });
  });

  it('shows in devices, with the engines that do not work and why', async () => {
    const folder = join(directory, 'gpu');
    installPackage(folder, gpuNode, { version: '4.20.0', source: tensorFlowSource({ gpu: true }) });
    installPackage(folder, '@tensorflow/tfjs-node', { version: '4.21.0', source: 'process.abort()' });
    const env = { [folderVariable]: folder, ...noGpu };
    const { stdout, stderr, code } = await cli(['devices', '--json'], { cwd: directory, env });
    expect([code, stderr]).toEqual([0, '']);
    const report = JSON.parse(stdout) as DevicesReport;
    const names = ['wasm', 'opencl', 'tfjs-node-gpu', 'tfjs-node', 'tfjs-webgpu'];
    expect(report.engines.map(({ name }) => name)).toEqual(names);
    expect(report.choice).toEqual({ engine: 'tfjs-node-gpu', why: 'TensorFlow 2.9.1 on a CUDA GPU' });
    expect(report.engines[3]).toMatchObject({
      version: '4.21.0',
      available: false,
      detail: expect.stringMatching(/SIGABRT/) as string,
    });
    const text = await cli(['devices'], { cwd: directory, env });
    expect(text.stdout).toMatch(
      /^ {2}tfjs-node-gpu 4\.20\.0 +available, bits depend on machine and workers: TensorFlow/m,
    );
    expect(text.stdout).toMatch(/^ {2}tfjs-node 4\.21\.0 +not available: loading it ended the process with SIGABRT/m);
    expect(text.stdout).toMatch(/^ {2}--engine auto +tfjs-node-gpu: TensorFlow 2\.9\.1 on a CUDA GPU$/m);
  });

  // The real TensorFlow, which claims to compute on a GPU.
  it.skipIf(missing !== null)(title('takes a GPU with one worker', missing), async () => {
    const folder = join(directory, 'claimed');
    const url = JSON.stringify(libraries[0] ?? '');
    const source = `
      require('node:util').isNullOrUndefined = (value) => value == null;
      const tf = require(require('node:url').fileURLToPath(${url}));
      tf.backend().isUsingGpuDevice = true;
      module.exports = tf;`;
    installPackage(folder, gpuNode, { source });
    const run = out();
    const args = ['--batch-size', '8', '--micro-batch', '4', '--max-steps', '1', '--out', run];
    const result = await trained(args, { [folderVariable]: folder });
    expect(result.stderr).toMatch(/^1 worker, engine tfjs-node-gpu \(TensorFlow \S+ on a CUDA GPU\), data set /);
    expect(result.stdout).toMatch(/^Using device: gpu\n/);
    expect(await summaryOf(run)).toMatchObject({ engine: 'tfjs-node-gpu', workers: 1, steps: 1 });
  });
});

describe.skipIf(missing !== null)(title('tfjs-node', missing), () => {
  let wasm: string;
  let tfjs: string;
  let result: CliResult;
  beforeAll(async () => {
    [wasm, tfjs] = [out(), out()];
    await trained([...flags, '--max-steps', '3', '--engine', 'wasm', '--out', wasm]);
    result = await trained([...flags, '--max-steps', '3', '--engine', 'tfjs-node', '--out', tfjs]);
  });

  it('trains with two workers to the losses of wasm, and all that is written names it', async () => {
    expect(result.code, result.stderr).toBe(0);
    expect(result.stderr).toMatch(/^2 workers, engine tfjs-node \(TensorFlow [\d.]+\), data set /);
    expect(result.stdout).toMatch(/^Using device: cpu\nTraining:\nAccuracy on test set: \d+\.\d\d %\n$/);
    const [ours, theirs] = [await summaryOf(tfjs), await summaryOf(wasm)];
    expect(ours).toMatchObject({ engine: 'tfjs-node', workers: 2, steps: 3 });
    expect(Math.abs(ours.trainLoss - theirs.trainLoss)).toBeLessThan(1e-3);
    expect(ours.trainLoss).not.toBe(theirs.trainLoss);
    expect(await loadCheckpoint(tfjs)).toMatchObject({ engine: 'tfjs-node', arithmetic: null });
    const [start = ''] = (await readFile(join(tfjs, 'metrics.jsonl'), 'utf8')).split('\n');
    expect(JSON.parse(start)).toMatchObject({ kind: 'start', engine: 'tfjs-node', device: 'cpu' });
  });

  it('reads the checkpoints of wasm, and wasm its own: the accuracy is the same', async () => {
    for (const run of [wasm, tfjs]) {
      const [here, there] = await Promise.all(
        ['wasm', 'tfjs-node'].map((engine) => cli(['eval', run, '--data', data, '--engine', engine])),
      );
      expect(there?.stderr).toMatch(/^engine tfjs-node: TensorFlow /);
      expect([here?.code, there?.code, there?.stdout]).toEqual([0, 0, here?.stdout]);
    }
  });

  it('is in the report, with the command that trains so', async () => {
    const page = join(directory, 'report.html');
    const { code } = await cli(['report', tfjs, '--data', data, '--out', page]);
    expect(code).toBe(0);
    const html = await readFile(page, 'utf8');
    expect(html).toMatch(/mnist-ddp train [^<]*--engine tfjs-node --workers 2/);
    expect(html).toContain('The engine tfjs-node rounds as the machine does');
    expect(html).not.toContain('bit for bit');
  });

  it.each([
    { from: 'wasm', to: 'tfjs-node' },
    { from: 'tfjs-node', to: 'wasm' },
  ])('a run of $from goes on with $to only by --override engine', async ({ from, to }) => {
    const source = from === 'wasm' ? wasm : tfjs;
    const before = await loadCheckpoint(source);
    const args = ['--resume', source, '--max-steps', '4', '--workers', '2', '--engine', to];
    const refused = await trained([...args, '--out', out()]);
    expect([refused.code, refused.stderr]).toEqual([
      1,
      `mnist-ddp: the checkpoint was trained by engine ${from}, this is ${to}: its bits will differ; use --engine ${from}, ` +
        'or add --override engine\n',
    ]);
    const run = out();
    const taken = await trained([...args, '--out', run, '--override', 'engine']);
    expect(taken.code, taken.stderr).toBe(0);
    const after = await loadCheckpoint(run);
    expect(after).toMatchObject({ engine: to, step: 4 });
    expect(after.parametersSha256).not.toBe(before.parametersSha256);
  });

  it('goes on by itself with what it was trained by', async () => {
    const copy = out();
    await cp(tfjs, copy, { recursive: true });
    const { code, stderr } = await trained(['--resume', copy, '--max-steps', '4', '--workers', '2']);
    expect([code, stderr]).toEqual([0, expect.stringContaining('engine tfjs-node (as in the run to resume)')]);
    expect(await summaryOf(copy)).toMatchObject({ engine: 'tfjs-node', steps: 4 });
  });

  it('goes on where it is not installed only by --override engine, with what auto takes', async () => {
    const args = ['--resume', tfjs, '--max-steps', '4', '--workers', '2'];
    const refused = await trained([...args, '--out', out()], nothing);
    expect([refused.code, refused.stdout]).toEqual([1, '']);
    expect(refused.stderr).toMatch(/^mnist-ddp: .*by engine tfjs-node, .*not installed.*; or add --override engine\n$/);
    const run = out();
    const taken = await trained([...args, '--out', run, '--override', 'engine'], nothing);
    expect(taken.code, taken.stderr).toBe(0);
    expect(await summaryOf(run)).toMatchObject({ engine: 'wasm', steps: 4 });
  });

  it('is measured by bench, and its threads are said to be those of one number of workers', async () => {
    const args = ['--steps', '1', '--batch-size', '8', '--micro-batch', '4', '--json'];
    const bench = await cli(['bench', '--engine', 'tfjs-node', '--workers', '1,2', '--data', data, ...args]);
    expect(bench.code, bench.stderr).toBe(0);
    expect(bench.stderr).toContain("TensorFlow's threads are set once for a process, here for 2 workers");
    const rows = JSON.parse(bench.stdout) as { workers: number; imagesPerSecond: number }[];
    expect(rows.map(({ workers }) => workers)).toEqual([1, 2]);
    for (const row of rows) expect(row.imagesPerSecond).toBeGreaterThan(0);
  });
});

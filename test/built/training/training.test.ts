/** Whole runs: stopping and going on, anywhere and in any way, comes to the bits of a run that was never stopped. */
import { execFile } from 'node:child_process';
import { copyFileSync } from 'node:fs';
import { appendFile, copyFile, cp, mkdir, readdir, readFile, realpath, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { goldenHashes } from '../../../src/coordinator/checkpoint/golden-hashes.js';
import { nodeSimd } from '../../../src/coordinator/node/node-simd.js';
import {
  train,
  defaultConfig,
  evaluate,
  loadCheckpoint,
  predict,
  report,
  type Summary,
  type TrainMetric,
  type TrainOptions,
} from '../../../src/index.js';
import { operationalError } from '../../support/compute/errors.js';
import { writeIdxSet } from '../../support/inputs/idx-files.js';
import { expectedBits } from '../../support/compute/kernels.js';
import { metricsOf, temporaryRuns, trainRun } from '../../support/processes/runs.js';

const { directory, data, out } = await temporaryRuns(38, 20);

/** Two epochs of 3 steps: 16, 16 and 6 rows. */
const config = { batchSize: 16, microBatch: 2, epochs: 2, seed: 9 };
const steps = 6;

/** A step after which to stop, and the number of workers to go on with; test/long has them all. */
type Stop = readonly [stop: number, others: number];
const syncStops: readonly Stop[] = [
  [3, 1],
  [5, 5],
];
const localStops: readonly Stop[] = [[2, 2]];

describe.each([
  { batchNorm: 'sync', workers: 2, stops: syncStops },
  { batchNorm: 'local', workers: 2, stops: localStops },
] as const)('batch norm $batchNorm', ({ batchNorm, workers, stops }) => {
  let options: TrainOptions;
  let whole: Summary;
  beforeAll(async () => {
    options = { ...config, batchNorm, data, workers };
    ({ summary: whole } = await trainRun({ ...options, out: out() }));
  });

  it.each(stops)(
    'goes on after step %d with %d workers to the hash of the uninterrupted run, and its metrics',
    async (stop, others) => {
      const folder = out();
      const first = await trainRun({ ...options, out: folder, maxSteps: stop });
      expect(first.summary.steps).toBe(stop);
      expect(first.summary.parametersSha256).not.toBe(whole.parametersSha256);
      const { summary } = await trainRun({ resume: folder, data, workers: others });
      expect(summary).toMatchObject({
        steps,
        parametersSha256: whole.parametersSha256,
        trainLoss: whole.trainLoss,
        correct: whole.correct,
        out: folder,
      });
      expect(await metricsOf(folder)).toEqual(await metricsOf(whole.out));
      expect(JSON.parse(await readFile(join(folder, 'summary.json'), 'utf8'))).toEqual({ ...summary });
    },
  );

  it.each([
    { when: 'before the first step', kind: 'start' },
    { when: 'after an epoch', kind: 'evaluation' },
  ] as const)('aborted $when, leaves a checkpoint of where it stood, to go on from', async ({ kind }) => {
    const folder = await abortedAt(options, steps, kind, 0);
    const { summary } = await trainRun({ resume: folder, data, workers });
    expect(summary.parametersSha256).toBe(whole.parametersSha256);
    expect(await metricsOf(folder)).toEqual(await metricsOf(whole.out));
  });

  it('writes checkpoints every so many steps and keeps the one before', async () => {
    const folder = out();
    await trainRun({ ...options, out: folder, maxSteps: 5, checkpointEvery: 2 });
    const step = async (name: string): Promise<number> => (await loadCheckpoint(join(folder, name))).step;
    expect([await step('checkpoint.msgpack'), await step('checkpoint.previous.msgpack')]).toEqual([5, 4]);
    const { summary } = await trainRun({ resume: join(folder, 'checkpoint.previous.msgpack'), data, workers });
    expect(summary.parametersSha256).toBe(whole.parametersSha256);
  });

  it('does nothing but evaluate where the run had ended, and notes that once', async () => {
    const { summary, metrics } = await trainRun({ resume: whole.out, data, workers });
    expect(metrics.map(({ kind }) => kind)).toEqual(['start', 'evaluation', 'summary']);
    expect(summary).toMatchObject({ steps, parametersSha256: whole.parametersSha256, correct: whole.correct });
    const places = (await metricsOf(whole.out)).map(({ kind, step }) => [kind, step]);
    expect(places).toEqual([3, 6].flatMap((step) => ['step', 'evaluation'].map((name) => [name, step])));
  });

  it.each([1, 3])('scores its checkpoint as train did, with %d workers', async (count) => {
    const { correct, total, accuracy, testLoss, dataset, step, parametersSha256 } = whole;
    expect(await evaluate({ checkpoint: whole.out, data, workers: count })).toEqual({
      split: 'test',
      correct,
      total,
      accuracy,
      loss: testLoss,
      dataset,
      step,
      parametersSha256,
      checkpoint: join(whole.out, 'checkpoint.msgpack'),
    });
    expect(total).toBe(20);
  });
});

/** Aborts a run of that many steps so long after its first metric of that kind. Returns its folder, with a checkpoint of where it stood. */
async function abortedAt(
  options: TrainOptions,
  lastStep: number,
  kind: TrainMetric['kind'],
  delayMs: number,
): Promise<string> {
  const folder = out();
  const controller = new AbortController();
  const reason = new Error('enough');
  const abort = (): void => {
    controller.abort(reason);
  };
  let stopped = -1;
  const run = trainRun({ ...options, out: folder, signal: controller.signal }, (metric) => {
    if (metric.kind !== kind || stopped >= 0) return;
    stopped = metric.step;
    if (delayMs === 0) abort();
    else setTimeout(abort, delayMs);
  });
  await expect(run).rejects.toMatchObject({ name: 'OperationalError', code: 'ABORTED', cause: reason });
  const { step } = await loadCheckpoint(folder);
  if (delayMs === 0) expect(step).toBe(stopped);
  expect(step).toBeLessThan(lastStep);
  return folder;
}

describe('a run of 102 steps an epoch', () => {
  const long = { batchSize: 2, microBatch: 1, epochs: 2, seed: 2, workers: 2 };
  let options: TrainOptions;
  let whole: Summary;

  beforeAll(async () => {
    const longData = join(directory, 'long');
    options = { ...long, data: await writeIdxSet(longData, 204, 20) };
    ({ summary: whole } = await trainRun({ ...options, workers: 1, out: out() }));
  });

  it('logs every 100 steps of an epoch and at its end, where it evaluates', async () => {
    const places = (await metricsOf(whole.out)).map(({ kind, step, epoch, steps }) => [kind, step, epoch, steps]);
    expect(places).toEqual([
      ['step', 100, 1, 100],
      ['step', 102, 1, 2],
      ['evaluation', 102, 1, undefined],
      ['step', 202, 2, 100],
      ['step', 204, 2, 2],
      ['evaluation', 204, 2, undefined],
    ]);
  });

  it('logs means over every step since the line before, and over the epoch, and yields the batch of each 100th step', async () => {
    const stepsOf = async (more: TrainOptions): Promise<TrainMetric[]> => {
      return (await trainRun({ ...options, ...more, out: out(), maxSteps: 150 })).metrics;
    };
    const each = await stepsOf({ logEvery: 1 });
    const losses = each.flatMap((metric) => (metric.kind === 'step' ? [metric.loss] : []));
    expect(new Set(losses).size).toBe(150);
    const mean = (first: number, end: number): number =>
      losses.slice(first, end).reduce((sum, loss) => sum + loss, 0) / (end - first);
    const some = await stepsOf({ logEvery: 40, workers: 1 });
    expect(some.flatMap((metric) => (metric.kind === 'step' ? [[metric.step, metric.loss]] : []))).toEqual(
      [0, 40, 80, 102, 142].map((first, i, firsts) => {
        const end = firsts[i + 1] ?? 150;
        return [end, mean(first, end)];
      }),
    );
    expect(some.flatMap((metric) => (metric.kind === 'evaluation' ? [metric.trainLoss] : []))).toEqual([
      mean(0, 102),
      mean(102, 150),
    ]);
    const batches = [each, some].map((metrics) => metrics.filter(({ kind }) => kind === 'batch'));
    expect(batches[0]).toMatchObject([{ step: 100, loss: losses[99] }]);
    expect(batches[1]).toEqual(batches[0]);
  });

  /** Goes on from a folder and compares with the run that was never stopped. */
  async function expectWhole(folder: string): Promise<void> {
    const { summary } = await trainRun({ resume: folder, data: options.data, workers: 1 });
    expect(summary.parametersSha256).toBe(whole.parametersSha256);
    expect(await metricsOf(folder)).toEqual(await metricsOf(whole.out));
  }

  it('cuts off what a killed run wrote after its checkpoint, half a line too', async () => {
    const [source, folder] = [out(), out()];
    await trainRun({ ...options, out: source, maxSteps: 101 });
    await mkdir(folder);
    await copyFile(join(source, 'checkpoint.msgpack'), join(folder, 'checkpoint.msgpack'));
    await copyFile(join(whole.out, 'metrics.jsonl'), join(folder, 'metrics.jsonl'));
    await appendFile(join(folder, 'metrics.jsonl'), '{"kind":"step","st');
    await expectWhole(folder);
  });

  it.each([
    { when: 'at a line of the log', kind: 'step', delayMs: 0 },
    { when: 'in the middle of steps', kind: 'start', delayMs: 100 },
  ] as const)('that is aborted $when leaves a checkpoint of where it stood', async ({ kind, delayMs }) => {
    await expectWhole(await abortedAt(options, 204, kind, delayMs));
  });

  it('does not start where its signal was aborted before', async () => {
    const folder = out();
    const reason = new Error('never');
    const run = trainRun({ ...options, out: folder, signal: AbortSignal.abort(reason) });
    await expect(run).rejects.toMatchObject({ code: 'ABORTED', cause: reason });
    expect((await operationalError(() => loadCheckpoint(folder))).code).toBe('CHECKPOINT_MISSING');
  });

  it('ends its workers with the iteration, so that the process ends', async () => {
    const index = new URL('../../../dist/index.js', import.meta.url).href;
    const script = `
      const { train } = await import(${JSON.stringify(index)});
      const options = ${JSON.stringify({ ...options, out: out() })};
      for await (const metric of train(options)) if (metric.kind === 'step') break;
      console.log('left');`;
    const arguments_ = ['--input-type=module', '--eval', script];
    const { stdout } = await promisify(execFile)(process.execPath, arguments_, { timeout: 30_000 });
    expect(stdout).toBe('left\n');
  });
});

describe('an evaluation', () => {
  let manyImages: string;
  let options: TrainOptions;
  beforeAll(async () => {
    manyImages = await writeIdxSet(join(directory, 'many-images'), 32, 3000);
    options = { ...config, data: manyImages, workers: 2 };
  });

  /** A run that is aborted in its first evaluation. Returns its folder. */
  async function abortedInEvaluation(more: TrainOptions = {}): Promise<string> {
    const folder = out();
    const controller = new AbortController();
    const onProgress: TrainOptions['onProgress'] = ({ phase }) => {
      if (phase !== 'evaluation') return;
      setTimeout(() => {
        controller.abort();
      }, 50);
    };
    const run = trainRun({ ...options, ...more, out: folder, signal: controller.signal, onProgress });
    expect((await operationalError(() => run)).code).toBe('ABORTED');
    return folder;
  }

  it('comes after the checkpoint of its epoch, and is made up for where an abort cut it short', async () => {
    const { summary: whole } = await trainRun({ ...options, out: out() });
    const folder = await abortedInEvaluation();
    expect((await loadCheckpoint(folder)).step).toBe(2);
    expect((await metricsOf(folder)).map(({ kind }) => kind)).toEqual(['step']);
    const { summary, metrics } = await trainRun({ resume: folder, data: manyImages, workers: 1 });
    expect(metrics.map(({ kind, step }) => [kind, step])).toEqual([
      ['start', 2],
      ['evaluation', 2],
      ['step', 4],
      ['evaluation', 4],
      ['summary', 4],
    ]);
    expect(summary.stateSha256).toBe(whole.stateSha256);
    expect(await metricsOf(folder)).toEqual(await metricsOf(whole.out));
  });

  it('at the end of a run is cut short too, and going on comes to the same summary', async () => {
    const { summary: whole } = await trainRun({ ...options, out: out(), epochs: 1 });
    const folder = await abortedInEvaluation({ epochs: 1 });
    const { summary } = await trainRun({ resume: folder, data: manyImages, workers: 1 });
    expect(summary).toMatchObject({ stateSha256: whole.stateSha256, correct: whole.correct });
  });
});

describe('a network that computes infinite values', () => {
  it('is an error wherever it is used, and never a score', async () => {
    const folder = out();
    const run = {
      batchSize: 32,
      microBatch: 4,
      learningRate: 1e20,
      maxSteps: 1,
      seed: 0,
      data,
      workers: 2,
      out: folder,
    };
    const uses: [string, () => Promise<unknown>][] = [
      ['train', () => trainRun(run)],
      ['evaluate', () => evaluate({ checkpoint: folder, data })],
      ['predict', () => predict({ checkpoint: folder, files: [join(data, 't10k-images-idx3-ubyte')] })],
      ['report', () => report({ run: folder, data })],
    ];
    for (const [name, use] of uses) {
      const { code, message } = await operationalError(use);
      expect(code, name).toBe('NOT_FINITE');
      expect(message, name).toMatch(/^the network computes infinite values or NaN for \d+ of 20 images/);
    }
    // The step itself was sound.
    expect((await loadCheckpoint(folder)).step).toBe(1);
  });
});

describe('values that cease to be finite', () => {
  it('end the run, naming step and unit, and leave the last checkpoint whole', async () => {
    const folder = out();
    const run = { ...config, data, workers: 2, out: folder, learningRate: 1e30, checkpointEvery: 1 };
    const { code, message } = await operationalError(() => trainRun(run));
    expect(code).toBe('NOT_FINITE');
    expect(message).toMatch(/of (conv|linear|bn)\S* became infinite or NaN in step [2-6];/);
    expect(message).toContain(`the last checkpoint in ${folder} is whole`);
    const failed = Number(/in step (\d)/.exec(message)?.[1]);
    const checkpoint = await loadCheckpoint(folder);
    expect(checkpoint.step).toBe(failed - 1);
    expect(checkpoint.parameters.every(Number.isFinite)).toBe(true);
    expect(checkpoint.runningStatistics.every((statistics) => statistics.every(Number.isFinite))).toBe(true);
  });

  it('do not promise a checkpoint that was never written', async () => {
    const run = { ...config, data, workers: 2, out: out(), learningRate: 1e30 };
    const { message } = await operationalError(() => trainRun(run));
    expect(message).toContain('there is no checkpoint yet');
  });
});

describe('a run to go on from', () => {
  let folder: string;
  beforeAll(async () => {
    folder = out();
    await trainRun({ ...config, data, batchNorm: 'local', workers: 2, out: folder, maxSteps: 1 });
  });

  it.each([
    [{ learningRate: 0.5 }, 'learningRate 0.001, but 0.5'],
    [{ seed: 1 }, 'seed 9, but 1'],
    [{ batchSize: 64 }, 'batchSize 16, but 64'],
    [{ batchNorm: 'sync' as const }, 'batchNorm local, but sync'],
    [{ workers: 1 }, 'workers 2, but 1'],
  ])('refuses %o, which would change its result', async (changed, message) => {
    const error = await operationalError(() => trainRun({ resume: folder, data, workers: 2, ...changed }));
    expect(error.code).toBe('CONFIGURATION_CHANGED');
    expect(error.message).toContain(message);
  });

  it('takes as many workers as its statistics are of, where none are asked for', async () => {
    const copy = out();
    await cp(folder, copy, { recursive: true });
    const { summary } = await trainRun({ resume: copy, data, maxSteps: 2 });
    expect(summary).toMatchObject({ steps: 2, workers: 2 });
  });

  it('is read again once its folder is taken: what another run wrote there meanwhile is not lost', async () => {
    const [copy, further] = [out(), out()];
    await cp(folder, copy, { recursive: true });
    await trainRun({ resume: folder, data, workers: 2, out: further, maxSteps: 2 });
    let asked = 0;
    const options = {
      resume: copy,
      workers: 2,
      // What stands between reading the checkpoint and taking the folder.
      get data() {
        if (asked++ > 0) copyFileSync(join(further, 'checkpoint.msgpack'), join(copy, 'checkpoint.msgpack'));
        return data;
      },
    };
    const error = await operationalError(() => trainRun(options));
    expect([error.code, error.message]).toEqual(['OUT_IN_USE', expect.stringContaining('written to')]);
    expect((await loadCheckpoint(copy)).step).toBe(2);
    expect(await readdir(copy)).not.toContain('run.lock');
  });

  it('refuses another data set', async () => {
    const other = join(directory, 'other');
    await writeIdxSet(other, 39, 20);
    const error = await operationalError(() => trainRun({ resume: folder, data: other, workers: 2 }));
    expect(error.code).toBe('CONFIGURATION_CHANGED');
  });

  it('has no summary of its end before once it goes on', async () => {
    const copy = out();
    await cp(folder, copy, { recursive: true });
    const run = train({ resume: copy, data, workers: 2 });
    expect((await run.next()).value).toMatchObject({ kind: 'start' });
    expect(await readdir(copy)).not.toContain('summary.json');
    await run.return();
  });

  it('may be given more epochs', async () => {
    const copy = out();
    await cp(folder, copy, { recursive: true });
    const { summary } = await trainRun({ resume: copy, data, workers: 2, epochs: 1 });
    expect(summary).toMatchObject({ steps: 3, config: { epochs: 1 } });
  });

  it("does not take another run's folder over", async () => {
    const other = out();
    await trainRun({ ...config, data, workers: 1, out: other, maxSteps: 1 });
    const error = await operationalError(() => trainRun({ resume: folder, data, workers: 2, out: other }));
    expect(error.code).toBe('OUT_IN_USE');
  });

  it('is a loose checkpoint: its folder is left alone, and a new one begun', async () => {
    const downloads = out();
    await mkdir(downloads);
    for (const name of ['download.msgpack', 'checkpoint.msgpack']) {
      await copyFile(join(folder, 'checkpoint.msgpack'), join(downloads, name));
      const script = `
        const { train } = await import(${JSON.stringify(new URL('../../../dist/index.js', import.meta.url).href)});
        const options = ${JSON.stringify({ resume: join(downloads, name), data, workers: 2, maxSteps: 2 })};
        for await (const metric of train(options)) if (metric.kind === 'summary') console.log(metric.out);`;
      const arguments_ = ['--input-type=module', '--eval', script];
      const { stdout } = await promisify(execFile)(process.execPath, arguments_, { cwd: directory, timeout: 60_000 });
      expect(stdout.startsWith(join(await realpath(directory), 'runs'))).toBe(true);
      expect((await loadCheckpoint(stdout.trim())).step).toBe(2);
    }
    expect((await readdir(downloads)).sort()).toEqual(['checkpoint.msgpack', 'download.msgpack']);
  });

  it('whose newest checkpoint is damaged goes on from the one before, which is there until the new one is', async () => {
    const damaged = out();
    await trainRun({ ...config, data, workers: 2, out: damaged, maxSteps: 2, checkpointEvery: 1 });
    await writeFile(join(damaged, 'checkpoint.msgpack'), 'damaged');
    const advice = (await operationalError(() => trainRun({ resume: damaged, data, workers: 2 }))).message;
    const previous = join(damaged, 'checkpoint.previous.msgpack');
    expect(advice).toContain(`use ${previous}`);
    const { summary } = await trainRun({ resume: previous, data, workers: 2, maxSteps: 2 });
    expect(summary).toMatchObject({ steps: 2, out: damaged });
    expect((await loadCheckpoint(damaged)).step).toBe(2);
    expect((await loadCheckpoint(previous)).step).toBe(1);
  });

  it('that ends where it began leaves the checkpoint of its summary', async () => {
    const own = out();
    await trainRun({ ...config, data, workers: 2, out: own, maxSteps: 2, checkpointEvery: 1 });
    const previous = join(own, 'checkpoint.previous.msgpack');
    const { summary } = await trainRun({ resume: previous, data, workers: 2, maxSteps: 1 });
    expect([summary.steps, summary.out]).toEqual([1, own]);
    expect((await loadCheckpoint(own)).parametersSha256).toBe(summary.parametersSha256);
    const before = await readFile(join(own, 'checkpoint.msgpack'));
    await trainRun({ resume: own, data, workers: 2, maxSteps: 1 });
    expect((await readFile(join(own, 'checkpoint.msgpack'))).equals(before)).toBe(true);
    expect((await loadCheckpoint(previous)).step).toBe(1);
  });

  it('may be named by a link, beside its own folder as `out`', async () => {
    const [own, named] = [out(), out()];
    await cp(folder, own, { recursive: true });
    await symlink(own, named);
    const { summary } = await trainRun({ resume: named, data, workers: 2, out: own });
    expect(summary).toMatchObject({ steps: 6, out: own });
  });

  it('goes on in a new folder where one is named, and leaves its own alone', async () => {
    const [other, before] = [out(), await readFile(join(folder, 'checkpoint.msgpack'))];
    const { summary } = await trainRun({ resume: folder, data, workers: 2, out: other, maxSteps: 2 });
    expect(summary).toMatchObject({ steps: 2, out: other });
    expect((await readFile(join(folder, 'checkpoint.msgpack'))).equals(before)).toBe(true);
  });
});

describe('what is asked of a run that goes on', () => {
  it('is no fewer steps than it has trained: nothing of it changes', async () => {
    const folder = out();
    await trainRun({ ...config, data, workers: 1, out: folder });
    const before = await readFile(join(folder, 'summary.json'), 'utf8');
    for (const fewer of [{ epochs: 1 }, { maxSteps: 5 }]) {
      const { code, message } = await operationalError(() => trainRun({ resume: folder, data, workers: 1, ...fewer }));
      expect([code, message]).toEqual([
        'USAGE',
        expect.stringMatching(/^the run to resume has trained 6 steps, and [35] /),
      ]);
    }
    expect(await readFile(join(folder, 'summary.json'), 'utf8')).toBe(before);
  });

  it('is no override where there is no such run', async () => {
    const refused = await operationalError(() => trainRun({ ...config, data, override: ['seed'] }));
    expect([refused.code, refused.message]).toEqual(['USAGE', expect.stringContaining('is about a run to go on with')]);
  });
});

it.runIf(process.platform === 'linux')('warns of a core that is not there, and trains', async () => {
  const notes: string[] = [];
  const options = { ...config, data, devices: 'cpu:4095', out: out(), maxSteps: 1 };
  await trainRun({ ...options, onNote: (text) => notes.push(text) });
  expect(notes).toContainEqual(expect.stringMatching(/^warning: rank 0: cannot pin this worker to core 4095: /));
});

it('stores which arithmetic computed, and says how wide', async () => {
  const folder = out();
  const { metrics, summary } = await trainRun({ ...config, data, workers: 1, out: folder, maxSteps: 1 });
  expect((await loadCheckpoint(folder)).arithmetic).toBe(goldenHashes('mnist', defaultConfig, 20)?.parametersSha256);
  const { bits, why, advice } = await nodeSimd();
  expect(metrics[0]).toMatchObject({ kind: 'start', simd: { bits, why, advice } });
  expect(summary.simdBits).toBe(bits);
});

describe('vectors of another width', () => {
  const asked = process.env['MNIST_DDP_SIMD'];
  afterEach(() => {
    if (asked === undefined) delete process.env['MNIST_DDP_SIMD'];
    else process.env['MNIST_DDP_SIMD'] = asked;
  });

  it('go on with a run, to the same bits', async () => {
    const folder = out();
    const undisturbed = await trainRun({ ...config, data, workers: 1, out: out(), maxSteps: 2 });
    process.env['MNIST_DDP_SIMD'] = '128';
    const first = await trainRun({ ...config, data, workers: 1, out: folder, maxSteps: 1 });
    expect(first.summary.simdBits).toBe(128);
    delete process.env['MNIST_DDP_SIMD'];
    const { summary } = await trainRun({ resume: folder, data, workers: 1, maxSteps: 2 });
    expect(summary.simdBits).toBe(expectedBits());
    expect(summary.stateSha256).toBe(undisturbed.summary.stateSha256);
  });
});

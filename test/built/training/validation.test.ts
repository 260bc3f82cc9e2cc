/** Held-out rows: what they are, what is chosen by them, and that stops and other numbers of workers change none of it. */
import { cp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { stateSha256 } from '../../../src/coordinator/node/checkpoint-files.js';
import { openRunFolder } from '../../../src/coordinator/node/run-folder.js';
import { holdOut } from '../../../src/coordinator/dataset/sampler.js';
import {
  evaluate,
  exportWeights,
  loadCheckpoint,
  report,
  type Summary,
  type TrainOptions,
} from '../../../src/index.js';
import { operationalError } from '../../support/compute/errors.js';
import { cli } from '../../support/processes/cli.js';
import { idxHeader, writeIdxSet } from '../../support/inputs/idx-files.js';
import { metricsOf, temporaryRuns, trainRun } from '../../support/processes/runs.js';

let whole: Summary;
let options: TrainOptions;

/** Of 58 rows 20 are held out: 38 make steps of 16, 16 and 6 rows. */
const [rows, validation, seed] = [58, 20, 4];
const { heldOut } = holdOut(rows, validation, seed);
const { directory, data, out } = await temporaryRuns(rows, 20);

beforeAll(async () => {
  const config = { batchSize: 16, microBatch: 2, epochs: 4, learningRate: 5e-3, lrGamma: 1, seed };
  options = { ...config, validation, keepBest: true, logEvery: 2, tensorboard: true, data };
  ({ summary: whole } = await trainRun({ ...options, workers: 2, out: out() }));
  // Neither the first nor the last, so that it can be lost.
  expect(whole.best?.step).toBe(9);
});

/** The rows of metrics.csv without what depends on the clock. */
async function tableOf(folder: string): Promise<string[]> {
  const text = await readFile(join(folder, 'metrics.csv'), 'utf8');
  return text.split('\n').map((row) => row.split(',').toSpliced(5, 1).join());
}

/** What the best network's file holds, its state by its hash, without the number of workers. */
async function bestOf(folder: string): Promise<object> {
  const checkpoint = await loadCheckpoint(join(folder, 'best.msgpack'));
  const { config, step, losses, keepBest, best } = checkpoint;
  return { config, step, losses, keepBest, best, state: await stateSha256(checkpoint) };
}

/** A run that ended, against the undisturbed one. */
async function expectWhole(folder: string, summary: Summary): Promise<void> {
  expect(summary).toMatchObject({
    ...{ stateSha256: whole.stateSha256, step: whole.step, trainLoss: whole.trainLoss },
    ...{ validation: whole.validation, best: whole.best, testLoss: whole.testLoss, correct: whole.correct },
  });
  expect(await metricsOf(folder)).toEqual(await metricsOf(whole.out));
  expect(await tableOf(folder)).toEqual(await tableOf(whole.out));
  expect(await bestOf(folder)).toEqual(await bestOf(whole.out));
}

it('are scored after each epoch, and the test set at the end alone', async () => {
  const places = (await metricsOf(whole.out))
    .filter(({ kind }) => kind === 'evaluation')
    .map(({ split, step, total }) => [split, step, total]);
  expect(places).toEqual([...[3, 6, 9, 12].map((step) => ['validation', step, validation]), ['test', 12, 20]]);
  expect(whole).toMatchObject({ step: 12, total: 20, validation: { total: validation } });
});

it('are never trained on: other pixels there change their score, and no parameter', async () => {
  const other = await writeIdxSet(join(directory, 'other'), rows, 20);
  const file = join(other, 'train-images-idx3-ubyte');
  const images = await readFile(file);
  for (const row of heldOut) images.fill(row, 16 + 784 * row, 16 + 784 * (row + 1));
  await writeFile(file, images);
  const { summary } = await trainRun({ ...options, data: other, workers: 1, out: out(), maxSteps: 4 });
  const same = await trainRun({ ...options, workers: 1, out: out(), maxSteps: 4 });
  expect(summary.dataset).not.toBe(same.summary.dataset);
  expect(summary.stateSha256).toBe(same.summary.stateSha256);
  expect(summary.validation?.loss).not.toBe(same.summary.validation?.loss);
});

it('are scored as they would be as a test set', async () => {
  const set = await writeIdxSet(join(directory, 'as-test'), 2, 2);
  const images = await readFile(join(data, 'train-images-idx3-ubyte'));
  const labels = await readFile(join(data, 'train-labels-idx1-ubyte'));
  const pixels = [...heldOut].map((row) => images.subarray(16 + 784 * row, 16 + 784 * (row + 1)));
  await writeFile(
    join(set, 't10k-images-idx3-ubyte'),
    Buffer.concat([idxHeader(0x803, validation, 28, 28), ...pixels]),
  );
  const ofRows = [...heldOut].map((row) => labels[8 + row] ?? NaN);
  await writeFile(join(set, 't10k-labels-idx1-ubyte'), Buffer.from([...idxHeader(0x801, validation), ...ofRows]));
  expect(await evaluate({ checkpoint: whole.out, data: set, workers: 1 })).toMatchObject(whole.validation ?? {});
  const { step, correct, total, loss } = whole.best ?? {};
  expect(await evaluate({ checkpoint: whole.out, best: true, data: set, workers: 3 })).toMatchObject({
    ...{ step, correct, total, loss },
    checkpoint: join(whole.out, 'best.msgpack'),
  });
});

describe('going on with other numbers of workers ends with the same curves and the same best network', () => {
  it('after steps within and at the ends of epochs', async () => {
    const folder = out();
    let { summary } = await trainRun({ ...options, workers: 3, out: folder, maxSteps: 2 });
    for (const stop of [3, 7, 10, 12]) {
      ({ summary } = await trainRun({ resume: folder, data, workers: 1 + (stop % 3), maxSteps: stop }));
    }
    await expectWhole(folder, summary);
  });

  it('after an abort at the score of an epoch, before which its checkpoint was written', async () => {
    const folder = out();
    for (let life = 0; life < 2; life++) {
      const controller = new AbortController();
      const from = life === 0 ? { ...options, out: folder } : { resume: folder, data };
      const run = trainRun({ ...from, workers: 1, signal: controller.signal }, ({ kind, step }) => {
        if (kind === 'evaluation' && step === 3 + 3 * life) controller.abort();
      });
      expect((await operationalError(() => run)).code).toBe('ABORTED');
      expect((await loadCheckpoint(folder)).step).toBe(3 + 3 * life);
    }
    const { summary } = await trainRun({ resume: folder, data, workers: 4 });
    await expectWhole(folder, summary);
  });

  it('from the checkpoint before, whose best network is of an earlier step', async () => {
    const folder = out();
    await trainRun({ ...options, workers: 1, out: folder, maxSteps: 6 });
    await rm(join(folder, 'checkpoint.msgpack'));
    const { summary } = await trainRun({ resume: folder, data, workers: 2 });
    await expectWhole(folder, summary);
  });
});

describe('patience', () => {
  it('ends training so many epochs after the best, over a stop too, and a run that ended so does not go on', async () => {
    const folder = out();
    const notes: string[] = [];
    const onNote = (note: string): void => void notes.push(note);
    await trainRun({ ...options, epochs: 9, patience: 1, workers: 1, out: folder, maxSteps: 10 });
    const { summary } = await trainRun({ resume: folder, data, workers: 2, onNote });
    expect(summary).toMatchObject({
      step: 12,
      config: { epochs: 9 },
      stateSha256: whole.stateSha256,
      best: whole.best,
    });
    const note = 'training ends after epoch 4: 1 epoch without a better score than that of epoch 3';
    expect(notes.filter((one) => one === note)).toHaveLength(1);
    expect(await metricsOf(folder)).toMatchObject(
      (await metricsOf(whole.out)).map(({ step, loss }) => ({ step, loss })),
    );
    const again = await trainRun({ resume: folder, data, workers: 2 });
    expect(again.summary.stateSha256).toBe(whole.stateSha256);
    expect(again.metrics.map(({ kind }) => kind)).toEqual(['start', 'evaluation', 'evaluation', 'summary']);
    const further = await trainRun({ resume: folder, data, workers: 2, patience: 0, maxSteps: 13 });
    expect(further.summary.step).toBe(13);
  });
});

describe('the best network', () => {
  it('is the one that as many steps alone come to, and can be exported and reported', async () => {
    const best = await loadCheckpoint(join(whole.out, 'best.msgpack'));
    expect(best.step).toBe(whole.best?.step);
    const { summary } = await trainRun({ ...options, workers: 3, out: out(), maxSteps: best.step });
    expect(best.parametersSha256).toBe(summary.parametersSha256);
    const exported = await exportWeights({
      checkpoint: whole.out,
      best: true,
      format: 'onnx',
      out: join(directory, 'n'),
    });
    expect(exported.parametersSha256).toBe(best.parametersSha256);
    const page = join(directory, 'best.html');
    await report({ run: whole.out, best: true, data, out: page });
    const text = await readFile(page, 'utf8');
    expect(text).toContain('Accuracy on the held-out rows');
    expect(text).toContain(`validation: ${String(validation)}`);
    expect(text).toContain(best.parametersSha256);
  });

  it('is an error where a run kept none, and where a file is named', async () => {
    const plain = out();
    await trainRun({ ...options, validation: 0, keepBest: false, workers: 1, out: plain, maxSteps: 1 });
    const none = await operationalError(() => evaluate({ checkpoint: plain, best: true, data }));
    expect([none.code, none.message]).toEqual(['CHECKPOINT_MISSING', expect.stringContaining('holds no best.msgpack')]);
    const file = join(plain, 'checkpoint.msgpack');
    expect((await operationalError(() => evaluate({ checkpoint: file, best: true, data }))).code).toBe('USAGE');
  });

  it('goes where a run goes on from a step before it, and only then', async () => {
    const folder = out();
    await cp(whole.out, folder, { recursive: true });
    const { step } = await loadCheckpoint(join(folder, 'best.msgpack'));
    const run = await openRunFolder({ out: folder, loaded: join(folder, 'checkpoint.msgpack') });
    try {
      await run.cutBest(step);
      expect(await readdir(folder)).toContain('best.msgpack');
      await run.cutBest(step - 1);
      expect(await readdir(folder)).not.toContain('best.msgpack');
    } finally {
      await run.close();
    }
  });

  it('is scored on those rows again, with the figures of the run, and only where a run held them out', async () => {
    const { data } = options;
    const held = { data, split: 'validation' } as const;
    const { correct, total, loss } = whole.validation ?? {};
    for (const workers of [1, 3]) {
      const again = await evaluate({ ...held, checkpoint: whole.out, workers });
      expect(again).toMatchObject({ split: 'validation', correct, total, loss });
    }
    const best = await evaluate({ ...held, checkpoint: whole.out, best: true });
    expect([best.correct, best.loss]).toEqual([whole.best?.correct, whole.best?.loss]);
    const { stdout } = await cli(['eval', whole.out, '--split', 'validation', '--data', String(data)]);
    expect(stdout).toMatch(/^Accuracy on held-out rows: \d+\.\d\d %\n$/);
    const without = out();
    await trainRun({ data, batchSize: 16, maxSteps: 1, workers: 1, out: without });
    const none = await operationalError(() => evaluate({ ...held, checkpoint: without }));
    expect([none.code, none.message]).toEqual(['USAGE', expect.stringContaining('is of no run that held rows out')]);
    const elsewhere = await writeIdxSet(join(directory, 'other'), 57, 20);
    const notes: string[] = [];
    const other = await operationalError(() => evaluate({ ...held, data: elsewhere, checkpoint: whole.out }));
    expect([other.code, other.message]).toEqual([
      'USAGE',
      expect.stringMatching(/^the run held rows of the data set /),
    ]);
    await evaluate({ data: elsewhere, checkpoint: whole.out, onNote: (text) => notes.push(text) });
    expect(notes.join('\n')).toMatch(/^warning: .* was trained on the data set \w+, and is scored here on \w+; name/m);
  });

  it('goes along where a run goes on in another folder, and where it is not there to go, that is said', async () => {
    const notes: string[] = [];
    const onNote = (text: string): unknown => notes.push(text);
    const [again, loose, alone] = [out(), join(directory, 'loose.msgpack'), out()];
    const { data } = options;
    await trainRun({ data, onNote, resume: whole.out, out: again });
    expect(await bestOf(again)).toEqual(await bestOf(whole.out));
    await cp(join(whole.out, 'checkpoint.msgpack'), loose);
    expect(notes.filter((text) => text.startsWith('warning'))).toEqual([]);
    await trainRun({ data, onNote, resume: loose, out: alone });
    expect(await readdir(alone)).not.toContain('best.msgpack');
    expect(notes.filter((text) => text.startsWith('warning'))).toEqual([
      `warning: the network of epoch 3, the best so far, is not beside ${loose}: best.msgpack is written by a better one only`,
    ]);
  });

  it('is no more where a run goes on without held-out rows, and others than before are said to flatter', async () => {
    const notes: string[] = [];
    const resume = { data: options.data, resume: whole.out, override: ['validation', 'seed'] as const };
    const onNote = (text: string): unknown => notes.push(text);
    const { summary } = await trainRun({ ...resume, validation: 0, epochs: 5, patience: 0, maxSteps: 13, out: out() });
    expect(summary.best).toBeNull();
    await trainRun({ ...resume, onNote, seed: seed + 1, maxSteps: 12, out: out() });
    expect(notes.join('\n')).toMatch(/^warning: rows that are held out now were trained on before/m);
  });

  it('is missed where a run goes on in its own folder without it', async () => {
    const [folder, notes] = [out(), [] as string[]];
    await cp(whole.out, folder, { recursive: true });
    await rm(join(folder, 'best.msgpack'));
    await trainRun({ data: options.data, resume: folder, onNote: (text) => notes.push(text) });
    expect(notes.join('\n')).toMatch(/^warning: the network of epoch 3, the best so far, is not beside /m);
  });

  it('of another run is not written over', async () => {
    const folder = out();
    await writeIdxSet(folder, 1, 1);
    await writeFile(join(folder, 'best.msgpack'), 'mine');
    const { code, message } = await operationalError(() => trainRun({ ...options, out: folder }));
    expect([code, message]).toEqual([
      'OUT_IN_USE',
      expect.stringContaining("holds a best.msgpack that is not this run's"),
    ]);
  });
});

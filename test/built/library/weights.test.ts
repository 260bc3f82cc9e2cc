/** Weights go out to other programs' files and come back: the same network, to the bit, wherever they are taken from. */
import { readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  evaluate,
  exportWeights,
  loadCheckpoint,
  type Evaluation,
  type Summary,
  type TrainOptions,
} from '../../../src/index.js';
import { poolStatistics } from '../../../src/coordinator/checkpoint/batch-norm.js';
import { readWeights, writeWeights } from '../../../src/interchange/formats.js';
import { noteChance } from '../../../src/library/network/inference.js';
import { batchNormChannels, parameterCount } from '../../../src/shared/model/network.js';
import { cli } from '../../support/processes/cli.js';
import { operationalError } from '../../support/compute/errors.js';
import { writeIdxSet } from '../../support/inputs/idx-files.js';
import { temporaryRuns, trainRun } from '../../support/processes/runs.js';
import { dict, integer, text, TorchFile } from '../../support/inputs/torch-file.js';

const { directory, data } = await temporaryRuns(64, 60);

let options: TrainOptions;
let run: Summary;
let evaluation: Evaluation;

beforeAll(async () => {
  options = { batchSize: 16, microBatch: 4, epochs: 2, seed: 5, data, workers: 2 };
  ({ summary: run } = await trainRun({ ...options, out: join(directory, 'run') }));
  evaluation = await evaluate({ checkpoint: run.out, data });
});

describe.each([
  { format: 'pytorch', name: 'weights.pth' },
  { format: 'safetensors', name: 'weights.safetensors' },
] as const)('$format', ({ format, name }) => {
  it('holds all that evaluation needs, and is told by its contents', async () => {
    const file = join(directory, name);
    const { stdout, stderr, code } = await cli(['export', '--format', format, run.out, file]);
    expect([code, stdout, stderr]).toEqual([
      0,
      `${file}\n`,
      expect.stringMatching(/^its network takes pixels of 0 to 255/),
    ]);
    const of = { dataset: run.dataset, parametersSha256: run.parametersSha256, correct: run.correct, total: 60 };
    const { accuracy } = run;
    expect(await evaluate({ checkpoint: file, data })).toEqual({
      ...of,
      accuracy,
      split: 'test',
      loss: run.testLoss,
      checkpoint: file,
      step: null,
    });
    const other = join(directory, `${format}-without-suffix`);
    await writeFile(other, await readFile(file));
    expect(await evaluate({ checkpoint: other, data })).toMatchObject(of);
    expect((await readWeights(file, await readFile(file))).batchesTracked).toBe(run.step);
  });

  it('is what training begins with: the same step as from the run itself, with a new optimiser', async () => {
    const file = join(directory, `init-${name}`);
    await exportWeights({ checkpoint: run.out, format, out: file });
    const from = async (init: string, out: string): Promise<Summary> =>
      (await trainRun({ ...options, init, out: join(directory, `${format}-${out}`), maxSteps: 3 })).summary;
    const [ofFile, ofRun] = [await from(file, 'a'), await from(run.out, 'b')];
    expect(ofFile.stateSha256).toBe(ofRun.stateSha256);
    expect(ofFile.parametersSha256).not.toBe(run.parametersSha256);
    const none = await trainRun({ ...options, out: join(directory, `${format}-c`), maxSteps: 3 });
    expect(ofFile.parametersSha256).not.toBe(none.summary.parametersSha256);
    const { init, step } = await loadCheckpoint(ofFile.out);
    expect({ init, step }).toEqual({ init: { file, parametersSha256: run.parametersSha256 }, step: 3 });
    // The origin stays known in what goes on from there.
    await trainRun({ resume: ofFile.out, out: join(directory, `${format}-d`), data, workers: 1, maxSteps: 4 });
    expect((await loadCheckpoint(join(directory, `${format}-d`))).init?.file).toBe(file);
  });

  it('that is truncated is refused, by eval and train alike, and nothing is written', async () => {
    const file = join(directory, `short-${name}`);
    await exportWeights({ checkpoint: run.out, format, out: file });
    await truncate(file, 1_000_000);
    const out = join(directory, `${format}-none`);
    for (const args of [
      ['eval', file],
      ['train', '--init', file, '--out', out],
      ['export', '--format', 'onnx', file, out],
    ]) {
      const { code, stdout, stderr } = await cli([...args, ...(args[0] === 'export' ? [] : ['--data', data])]);
      expect([code, stdout]).toEqual([1, '']);
      expect(stderr).toMatch(new RegExp(`^mnist-ddp: .*short-${name}.*\n$`));
      expect(stderr).not.toContain('bug');
    }
    expect(await readdir(directory)).not.toContain(`${format}-none`);
  });
});

it('with batch norm local the statistics of all ranks are pooled, as evaluation pools them', async () => {
  const out = join(directory, 'local');
  const { summary } = await trainRun({ ...options, batchNorm: 'local', out });
  const file = join(directory, 'local.safetensors');
  await exportWeights({ checkpoint: out, format: 'safetensors', out: file });
  const pooled = new Float32Array(2 * batchNormChannels);
  const { runningStatistics } = await loadCheckpoint(out);
  expect(runningStatistics).toHaveLength(2);
  poolStatistics(runningStatistics, [8, 8], pooled);
  expect((await readWeights(file, await readFile(file))).runningStatistics).toEqual(pooled);
  expect((await evaluate({ checkpoint: file, data })).correct).toBe(summary.correct);
});

it('of a file that holds more than weights, a note says what was taken and what was left out', async () => {
  const exported = join(directory, 'plain.pth');
  await exportWeights({ checkpoint: run.out, format: 'pytorch', out: exported });
  const file = new TorchFile();
  const state = file.stateDict(await readWeights(exported, await readFile(exported)), 'net.');
  const others = ['a', 'b', 'c', 'd', 'e', 'f', 'g'].map((name) => [text(name), integer(1)] as const);
  const wrapped = join(directory, 'wrapped.pth');
  await writeFile(wrapped, file.save(dict([text('MODEL_STATE'), state], ...others)));
  const notes: string[] = [];
  const found = await evaluate({ checkpoint: wrapped, data, onNote: (note) => notes.push(note) });
  expect(found).toMatchObject({ parametersSha256: run.parametersSha256, correct: run.correct });
  const note = `${wrapped}: took the weights of MODEL_STATE.net, and left out a, b, c, d, e and 2 more`;
  expect(notes).toContain(note);
  const { code, stderr } = await cli(['export', '--format', 'safetensors', wrapped, join(directory, 'again')]);
  expect([code, stderr.split('\n')]).toEqual([0, [note, expect.stringMatching(/^its network takes pixels/), '']]);
});

it('an accuracy little better than guessing is told, with what may be behind it', async () => {
  const weights = {
    ...{ parameters: new Float32Array(parameterCount), runningStatistics: new Float32Array(2 * batchNormChannels) },
    batchesTracked: 0,
  };
  const file = join(directory, 'zeros.pth');
  await writeFile(file, await writeWeights('pytorch', weights));
  const notes: string[] = [];
  const many = await writeIdxSet(join(directory, 'many'), 8, 200);
  const { accuracy } = await evaluate({ checkpoint: file, data: many, onNote: (note) => notes.push(note) });
  expect(accuracy).toBeLessThan(20);
  const warning = /^warning: \d+\.\d\d % is little better than guessing: .*not upright/;
  expect(notes.filter((note) => warning.test(note))).toHaveLength(1);
  const before = notes.length;
  noteChance({ total: 100, accuracy: 20 }, (note) => notes.push(note));
  noteChance({ total: 99, accuracy: 9 }, (note) => notes.push(note));
  expect(notes).toHaveLength(before);
});

it('a file that cannot be written is named, and leaves nothing behind', async () => {
  const out = join(directory, 'no-such-folder', 'weights.pth');
  const error = await operationalError(() => exportWeights({ checkpoint: run.out, format: 'pytorch', out }));
  expect(error.code).toBe('OUT_NOT_WRITABLE');
  expect(error.message).toContain(out);
  const before = await readdir(directory);
  const folder = join(directory, 'run');
  const inTheWay = await operationalError(() => exportWeights({ checkpoint: run.out, format: 'onnx', out: folder }));
  expect(inTheWay.message).toContain(`cannot write ${folder}`);
  expect(await readdir(directory)).toEqual(before);
});

it('what is no network is refused by name', async () => {
  const text = join(directory, 'notes.txt');
  await writeFile(text, 'these are no weights, however long they go on '.repeat(40));
  const error = await operationalError(() => evaluate({ checkpoint: text, data }));
  expect(error.message).toContain(text);
  expect(['CHECKPOINT_INVALID', 'WEIGHTS_INVALID']).toContain(error.code);
  const big = join(directory, 'big.pth');
  await writeFile(big, 'PK');
  await truncate(big, 70 * 1024 * 1024);
  const { code, message } = await operationalError(() => evaluate({ checkpoint: big, data }));
  expect([code, message.includes(big)]).toEqual(['WEIGHTS_INVALID', true]);
});

it('--init and --resume exclude each other', async () => {
  const { code, stderr } = await cli(['train', '--init', run.out, '--resume', run.out]);
  expect([code, stderr]).toEqual([2, expect.stringContaining('give one of them')]);
  expect(evaluation.step).toBe(run.step);
});

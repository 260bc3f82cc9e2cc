/** Training by the recipe `better`, and by its options alone: stops and numbers of workers change no bit, and what is used is the average. */
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  evaluate,
  exportWeights,
  loadCheckpoint,
  recipes,
  verify,
  type Summary,
  type TrainOptions,
} from '../../../src/index.js';
import { inputDivisorOf } from '../../../src/shared/model/config.js';
import { parameterOf } from '../../../src/shared/model/network.js';
import { operationalError } from '../../support/compute/errors.js';
import { metricsOf, temporaryRuns, trainRun } from '../../support/processes/runs.js';

const { directory, data, out } = await temporaryRuns(38, 30);

let options: TrainOptions;
let whole: Summary;

beforeAll(async () => {
  // Steps of 16, 16 and 6 rows.
  options = { recipe: 'better', batchSize: 16, microBatch: 2, epochs: 3, seed: 4, data };
  ({ summary: whole } = await trainRun({ ...options, workers: 2, out: out() }));
});

it('is what its options are when they are given one by one', async () => {
  const { config } = await loadCheckpoint(whole.out);
  expect(config).toMatchObject({ ...recipes.better, epochs: 3 });
  const { summary } = await trainRun({
    ...options,
    recipe: undefined,
    ...recipes.better,
    epochs: 3,
    workers: 1,
    out: out(),
  });
  expect(summary.stateSha256).toBe(whole.stateSha256);
});

it.each(['loss', 'inputScale', 'schedule', 'rotation', 'averageDecay'] as const)(
  'has another result without its %s',
  async (name) => {
    const without = { ...options, [name]: name === 'rotation' || name === 'averageDecay' ? 0 : reference[name] };
    const { summary } = await trainRun({ ...without, workers: 1, out: out(), maxSteps: 2 });
    const { summary: same } = await trainRun({ ...options, workers: 1, out: out(), maxSteps: 2 });
    expect(summary.stateSha256).not.toBe(same.stateSha256);
    expect(summary.parametersSha256).not.toBe(same.parametersSha256);
  },
);
const reference = { loss: 'double-softmax', inputScale: 'raw', schedule: 'step' } as const;

it('goes on with other numbers of workers, within an epoch and at its end, to the same state and curves', async () => {
  const folder = out();
  let { summary } = await trainRun({ ...options, workers: 3, out: folder, maxSteps: 2 });
  for (const [stop, workers] of [
    [3, 1],
    [7, 5],
    [9, 2],
  ] as const) {
    ({ summary } = await trainRun({ resume: folder, data, workers, maxSteps: stop }));
  }
  expect(summary).toMatchObject({
    ...{ stateSha256: whole.stateSha256, parametersSha256: whole.parametersSha256 },
    ...{ correct: whole.correct, testLoss: whole.testLoss, trainLoss: whole.trainLoss },
  });
  expect(await metricsOf(folder)).toEqual(await metricsOf(whole.out));
});

it('keeps its number of epochs, by which its rate goes, where a run goes on', async () => {
  const folder = out();
  await trainRun({ ...options, workers: 1, out: folder, maxSteps: 1 });
  const { code, message } = await operationalError(() => trainRun({ resume: folder, epochs: 4, data, workers: 1 }));
  expect([code, message]).toEqual([
    'CONFIGURATION_CHANGED',
    expect.stringMatching(/has epochs 3, but 4 .* `override: \['epochs'\]`/),
  ]);
  const { summary } = await trainRun({
    resume: folder,
    epochs: 4,
    override: ['epochs'],
    data,
    workers: 1,
    maxSteps: 2,
  });
  expect([summary.config.epochs, summary.overridden]).toEqual([4, ['epochs']]);
});

it('goes on with its recipe alone, whose name stands for all that it sets', async () => {
  const folder = out();
  await trainRun({ ...options, workers: 1, out: folder, maxSteps: 1 });
  const resume = { resume: folder, data, workers: 1, maxSteps: 2 };
  const refused: string[] = [];
  for (const recipe of ['reference', 'better'] as const) {
    refused.push((await operationalError(() => trainRun({ ...resume, recipe }))).message);
  }
  expect(refused).toEqual([
    expect.stringMatching(
      /^the run to resume has learningRate 0.003, and the recipe reference 0.001, .*: leave `recipe`/,
    ),
    expect.stringMatching(/^the run to resume has epochs 3, and the recipe better \d+, which .*: leave `recipe` out$/),
  ]);
  expect((await trainRun({ ...resume, recipe: 'better', epochs: 3 })).summary.step).toBe(2);
});

describe('its network', () => {
  it('is the average, for plain pixels, wherever it is used: with the score and the name of the run', async () => {
    const { correct, testLoss: loss, parametersSha256 } = whole;
    expect(await evaluate({ checkpoint: whole.out, data, workers: 3 })).toMatchObject({
      correct,
      loss,
      parametersSha256,
    });
    const file = join(directory, 'network.pth');
    expect(await exportWeights({ checkpoint: whole.out, out: file })).toMatchObject({ parametersSha256 });
    // Another program's file does not say by which loss it was trained.
    expect(await evaluate({ checkpoint: file, data })).toMatchObject({ correct, parametersSha256 });
  });

  it('is not that of the weights themselves, which training goes on from', async () => {
    const { average, parameters, config } = await loadCheckpoint(whole.out);
    expect(average?.parameters).not.toEqual(parameters);
    const { parametersSha256 } = whole;
    const raw = await trainRun({ ...options, averageDecay: 0, workers: 1, out: out() });
    expect((await loadCheckpoint(raw.summary.out)).parameters, 'the average changes no step').toEqual(parameters);
    expect(raw.summary.parametersSha256).not.toBe(parametersSha256);
    expect(inputDivisorOf(config)).toBe(255);
  });

  it('begins a run by the same recipe as it is, to a rounding of the scaled weights', async () => {
    const file = join(directory, 'begun.safetensors');
    await exportWeights({ checkpoint: whole.out, out: file });
    const begun = await trainRun({ ...options, init: file, workers: 2, out: out(), maxSteps: 1, learningRate: 0 });
    const [from, to] = [await loadCheckpoint(whole.out), await loadCheckpoint(begun.summary.out)];
    const { offset, length } = parameterOf('conv1', 'weight');
    const [wanted, got] = [from.average?.parameters ?? [], to.parameters];
    const isNear = (value: number, p: number): boolean => {
      const scaled = p >= offset && p < offset + length;
      return Math.abs(value - (wanted[p] ?? NaN)) <= (scaled ? Math.abs(wanted[p] ?? NaN) * 2 ** -22 : 0);
    };
    expect(got.findIndex((value, p) => !isNear(value, p))).toBe(-1);
  });
});

it('gives one hash for any number of workers, short batches and ends of epochs included', async () => {
  const { rows, equal } = await verify({ data, recipe: 'better', workers: [1, 3], steps: 2 });
  expect(new Set(rows.map(({ stateSha256 }) => stateSha256)).size).toBe(1);
  expect(equal).toBe(true);
});

it('with batch norms of shards has averages of each shard, which go on too', async () => {
  const local = { ...options, batchNorm: 'local', workers: 2 } as const;
  const { summary } = await trainRun({ ...local, out: out(), maxSteps: 5 });
  const folder = out();
  await trainRun({ ...local, out: folder, maxSteps: 2 });
  const resumed = await trainRun({ resume: folder, data, maxSteps: 5 });
  expect(resumed.summary.stateSha256).toBe(summary.stateSha256);
  expect((await loadCheckpoint(folder)).average?.runningStatistics).toHaveLength(2);
  expect(await evaluate({ checkpoint: folder, data })).toMatchObject({
    correct: summary.correct,
    loss: summary.testLoss,
  });
});

it.each([
  [{ recipe: 'best' }, '`recipe` must be reference or better, not "best"'],
  [{ loss: 'mse' }, '`loss` must be double-softmax or cross-entropy, not "mse"'],
  [{ averageDecay: 1 }, '`averageDecay` must be a number from 0 to 0.999999, not 1'],
  [{ rotation: -1 }, '`rotation` must be a number from 0 to 180, not -1'],
  [{ warmUp: NaN }, '`warmUp` must be a number from 0 to 1, not NaN'],
])('refuses %j', async (wrong, expected) => {
  const { code, message } = await operationalError(() => trainRun({ ...wrong, data } as TrainOptions));
  expect([code, message]).toEqual(['USAGE', expected]);
});

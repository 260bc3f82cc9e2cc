/** Trials of the batch norms, by the example of bn2: its sums, what follows from them, and what is done with that. */
import {
  batchNormChannels,
  batchNormEpsilon,
  batchNormMomentum,
  parameterCount,
  parameterOf,
} from '../../../../shared/model/network.js';
import { mergeRows } from '../../../../shared/sums/rows.js';
import { mergesOfLeaves } from '../../../../shared/sums/tree.js';
import { doubleBytes, floatBytes } from '../../winograd/geometry.js';
import type { Argument } from '../driver/program.js';
import { allFinite } from '../kernels/optimiser.js';
import { leaves, microBatch, rows, type Trial, type Trials } from './trial-shape.js';

/** Channels of bn2, its values of all rows, and its first channel among those of all batch norms. */
const channels = 64;
const normValues = rows * 144;
const normRow = normValues / rows;

const normSums: Trial = (bench) => {
  const x = bench.given(normValues * channels);
  const sums = bench.madeDoubles(leaves * 2 * channels);
  eachLeaf((leaf, values) => {
    const from = x.at + leaf * values * channels * floatBytes;
    bench.wasm.normSums(from, values, channels, sums.at + leaf * 2 * channels * doubleBytes);
  });
  bench.lines('normSums', [x.buffer, sums.buffer, ...normShard], channels, leaves);
};

const normGradientSums: Trial = (bench) => {
  const [x, dy] = [bench.given(normValues * channels), bench.given(normValues * channels)];
  const [mean, invStd] = [bench.given(channels), bench.given(channels)];
  const sums = bench.madeDoubles(leaves * 2 * channels);
  eachLeaf((leaf, values) => {
    const from = leaf * values * channels * floatBytes;
    const target = sums.at + leaf * 2 * channels * doubleBytes;
    bench.wasm.normGradientSums(x.at + from, dy.at + from, values, channels, mean.at, invStd.at, target);
  });
  const values = [x.buffer, dy.buffer, mean.buffer, invStd.buffer, sums.buffer, ...normShard];
  bench.lines('normGradientSums', values, channels, leaves);
};

const normShard: readonly Argument[] = [{ int32: normRow }, { int32: microBatch }, { int32: rows }];

function eachLeaf(visit: (leaf: number, values: number) => void): void {
  for (let leaf = 0; leaf < leaves; leaf++) visit(leaf, microBatch * normRow);
}

const mergeStatistics: Trial = (bench) => {
  const [count, length] = [5, 2 * channels];
  const sums = bench.givenDoubles(count * length);
  const total = bench.madeDoubles(length);
  const { buffer } = bench.arena.memories[0];
  const merges = mergesOfLeaves({ start: 0, end: count - 1 });
  const copy = new Float64Array(buffer, sums.at, count * length).slice();
  mergeRows(copy, length, merges);
  new Float64Array(buffer, total.at, length).set(copy.subarray(0, length));
  const pairs = bench.givenWords(merges.flatMap(({ target, source }) => [target, source]));
  const room = bench.room(count * length * doubleBytes);
  const list = [sums.buffer, { int32: count }, pairs.buffer, { int32: merges.length }, room, total.buffer];
  bench.lines('mergeStatistics', list, length, 1);
};

const normForwardCoefficients: Trial = (bench) => {
  const total = bench.givenDoubles(2 * channels);
  const [parameters, running] = [bench.given(parameterCount), bench.given(2 * batchNormChannels)];
  const next = bench.changed(2 * batchNormChannels);
  const [mean, invStd, scale] = [bench.made(channels), bench.made(channels), bench.made(channels)];
  const gamma = parameterOf('bn2', 'weight').offset;
  const variances = batchNormChannels * floatBytes;
  bench.wasm.normForwardCoefficients(
    ...([total.at, normValues, channels, batchNormEpsilon, batchNormMomentum] as const),
    ...([parameters.at + gamma * floatBytes, running.at, running.at + variances, next.at] as const),
    ...([next.at + variances, mean.at, invStd.at, scale.at] as const),
  );
  const notFinite = bench.givenWords([allFinite]);
  const scalars = [{ float64: normValues }, { float64: batchNormEpsilon }, { float64: batchNormMomentum }];
  bench.lines(
    'normForwardCoefficients',
    [
      ...[total.buffer, ...scalars, parameters.buffer, { int32: gamma }, running.buffer, next.buffer],
      ...[{ int32: batchNormChannels }, { int32: 0 }, mean.buffer, invStd.buffer, scale.buffer, notFinite.buffer],
    ],
    channels,
    1,
  );
};

const normEvaluationCoefficients: Trial = (bench) => {
  const [statistics, parameters] = [bench.given(2 * batchNormChannels), bench.given(parameterCount)];
  const [mean, scale] = [bench.room(channels * floatBytes), bench.made(channels)];
  const gamma = parameterOf('bn2', 'weight').offset;
  const variances = statistics.at + batchNormChannels * floatBytes;
  const weights = parameters.at + gamma * floatBytes;
  bench.wasm.normEvaluationCoefficients(channels, batchNormEpsilon, weights, variances, scale.at);
  const sizes = [{ int32: gamma }, { int32: batchNormChannels }, { int32: 0 }];
  const list = [statistics.buffer, { float64: batchNormEpsilon }, parameters.buffer, ...sizes, mean, scale.buffer];
  bench.lines('normEvaluationCoefficients', list, channels, 1);
};

const normBackwardCoefficients: Trial = (bench) => {
  const total = bench.givenDoubles(2 * channels);
  const [invStd, scale] = [bench.given(channels), bench.given(channels)];
  const [slope, shift] = [bench.made(channels), bench.made(channels)];
  bench.wasm.normBackwardCoefficients(total.at, normValues, channels, invStd.at, scale.at, slope.at, shift.at);
  const list = [total, invStd, scale, slope, shift].map(({ buffer }) => buffer);
  bench.lines('normBackwardCoefficients', [list[0]!, { float64: normValues }, ...list.slice(1)], channels, 1);
};

const normaliseGradient: Trial = (bench) => {
  const [x, dy] = [bench.given(normValues * channels), bench.changed(normValues * channels)];
  const coefficients = Array.from({ length: 4 }, () => bench.given(channels));
  const [mean, scale, slope, shift] = coefficients.map(({ at }) => at) as [number, number, number, number];
  bench.wasm.normaliseGradient(x.at, dy.at, normValues, channels, mean, scale, slope, shift);
  const list = [x, dy, ...coefficients].map(({ buffer }) => buffer);
  bench.lines('normaliseGradient', list, channels, normRow, rows);
};

/** Of what needs float64. */
export const normSumTrials: Trials = {
  normSums,
  mergeStatistics,
  normForwardCoefficients,
  normEvaluationCoefficients,
  normGradientSums,
  normBackwardCoefficients,
};

export const normTrials: Trials = { normaliseGradient };

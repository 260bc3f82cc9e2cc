/** The kernels of the batch norms around their exchanges, in float64: sums of the leaves before, coefficients behind. */
import {
  batchNormChannels,
  batchNormEpsilon,
  batchNormMomentum,
  parameterOf,
} from '../../../../shared/model/network.js';
import type { DeviceSet } from '../arrays.js';
import type { DeviceBuffer } from '../driver/buffer.js';
import type { Kernel } from '../driver/program.js';
import { normArrays, normOf, type NormName, type Pass } from './pass.js';
import { each, worked } from '../works.js';

/** Of one batch norm, over the rows of one shard. */
export interface NormKernels {
  readonly name: NormName;
  /** Leaf by leaf, into `leafSums`. */
  readonly sums: Kernel;
  /** The tree over the leaves of the shard, into `total`. */
  readonly merge: Kernel;
  /** Mean, scale and running statistics, from `total`. */
  readonly forward: Kernel;
  readonly gradientSums: Kernel;
  /** Slope and shift, from `total`. */
  readonly backward: Kernel;
}

/** The rows and leaves of a shard, and the additions that sum its leaves, in pairs of target and source: int32. */
export interface NormShard {
  readonly rows: number;
  readonly leaves: number;
  readonly pairs: DeviceBuffer;
  readonly merges: number;
}

const valuesArgument = 1;

export function normKernels(
  pass: Pass,
  name: NormName,
  { from, to }: { readonly from: DeviceSet; readonly to: DeviceSet },
  { rows, leaves, pairs, merges }: NormShard,
): NormKernels {
  const { arrays, shape } = pass;
  const { channels, pixels, offset } = normOf(name);
  const { mean, invStd, scale, slope, shift, leafSums } = arrays.norms[name];
  const { x, delta } = normArrays(pass, name);
  const gamma = { int32: parameterOf(name, 'weight').offset };
  const shard = [{ int32: pixels }, { int32: shape.microBatch }, { int32: rows }] as const;
  const values = rows * pixels * channels;
  return {
    name,
    sums: worked(pass.lines('normSums', [x, leafSums, ...shard], channels, leaves), each(values, 3, 4)),
    merge: pass.lines(
      'mergeStatistics',
      [leafSums, { int32: leaves }, pairs, { int32: merges }, arrays.mergedSums, arrays.total],
      2 * channels,
      1,
    ),
    forward: pass.lines(
      'normForwardCoefficients',
      [
        ...[arrays.total, { float64: 0 }, { float64: batchNormEpsilon }, { float64: batchNormMomentum }],
        ...[from.parameters, gamma, from.runningStatistics, to.runningStatistics],
        ...[{ int32: batchNormChannels }, { int32: offset }, mean, invStd, scale, arrays.notFinite],
      ],
      channels,
      1,
    ),
    gradientSums: worked(
      pass.lines('normGradientSums', [x, delta, mean, invStd, leafSums, ...shard], channels, leaves),
      each(values, 6, 8),
    ),
    backward: pass.lines(
      'normBackwardCoefficients',
      [arrays.total, { float64: 0 }, invStd, scale, slope, shift],
      channels,
      1,
    ),
  };
}

/** Says over how many values the total of a coefficients' kernel was taken. */
export function setValues(kernel: Kernel, values: number): Kernel {
  return kernel.setDouble(valuesArgument, values);
}

/** Mean and scale of each channel in evaluation mode, by the evaluation statistics. */
export function evaluationKernel(pass: Pass, name: NormName, parameters: DeviceBuffer): Kernel {
  const { channels, offset } = normOf(name);
  const { mean, scale } = pass.arrays.norms[name];
  return pass.lines(
    'normEvaluationCoefficients',
    [
      ...[pass.arrays.evaluationStatistics, { float64: batchNormEpsilon }, parameters],
      ...[{ int32: parameterOf(name, 'weight').offset }, { int32: batchNormChannels }, { int32: offset }, mean, scale],
    ],
    channels,
    1,
  );
}

/** The arrays of one replica on its device, as geometry.ts plans them. */
import type { DeviceShape } from '../../../shared/engine.js';
import { assert } from '../../../shared/errors.js';
import type { DeviceBuffer } from './driver/buffer.js';
import type { Context } from './driver/context.js';
import { eachProduct, type ProductName } from '../winograd/geometry.js';
import { planArrays } from './geometry.js';

/** One state set. */
export interface DeviceSet {
  readonly parameters: DeviceBuffer;
  readonly firstMoments: DeviceBuffer;
  readonly secondMoments: DeviceBuffer;
  readonly runningStatistics: DeviceBuffer;
  readonly average: { readonly parameters: DeviceBuffer; readonly runningStatistics: DeviceBuffer } | null;
}

/** The parameters of a state set, or their averages. */
export function parametersOn({ parameters, average }: DeviceSet, averaged: boolean): DeviceBuffer {
  if (!averaged) return parameters;
  assert(average !== null, 'averages are taken');
  return average.parameters;
}

/** What a batch norm's kernels leave for one another, each float32 [channels], and the sums of leaves, float64. */
export interface DeviceNorm {
  readonly mean: DeviceBuffer;
  readonly invStd: DeviceBuffer;
  readonly scale: DeviceBuffer;
  readonly slope: DeviceBuffer;
  readonly shift: DeviceBuffer;
  readonly leafSums: DeviceBuffer;
}

export type DeviceArrays = ReturnType<typeof allocateArrays>;

/** Throws OpenClError where the device has not so much memory. */
export function allocateArrays(context: Context, shape: DeviceShape) {
  const plan = planArrays(shape);
  // No buffer may be empty; an array of no rows is read by nobody.
  const take = (bytes: number): DeviceBuffer => context.buffer(Math.max(bytes, 64));
  const set = (): DeviceSet => ({
    parameters: take(plan.parameters),
    firstMoments: take(plan.parameters),
    secondMoments: take(plan.parameters),
    runningStatistics: take(plan.runningStatistics),
    average: shape.averages
      ? { parameters: take(plan.parameters), runningStatistics: take(plan.runningStatistics) }
      : null,
  });
  const norm = (name: 'bn2' | 'bn4' | 'bn5'): DeviceNorm => ({
    mean: take(plan.coefficients),
    invStd: take(plan.coefficients),
    scale: take(plan.coefficients),
    slope: take(plan.coefficients),
    shift: take(plan.coefficients),
    leafSums: take(plan.leafSums[name]),
  });
  const layers = (bytes: Readonly<Record<ProductName, number>>): Record<ProductName, DeviceBuffer> =>
    eachProduct(({ name }) => take(bytes[name]));
  return {
    trainImages: take(plan.trainImages),
    trainLabels: take(plan.trainLabels),
    rowNumbers: take(plan.rowNumbers),
    pixels: take(plan.pixels),
    transforms: take(plan.transforms),
    testImages: take(plan.testImages),
    testRows: take(plan.testRows),
    sets: [set(), set()] as const,
    evaluationStatistics: take(plan.runningStatistics),
    prepared: take(plan.prepared),
    inputs: layers(plan.inputs),
    outputs: layers(plan.outputs),
    inputDeltas: take(plan.inputDeltas),
    pooled2: take(plan.pooled2),
    argmax2: take(plan.argmax2),
    conv3: take(plan.conv3),
    pooled4: take(plan.pooled4),
    argmax4: take(plan.argmax4),
    pooled5: take(plan.pooled5),
    argmax5: take(plan.argmax5),
    delta1: take(plan.delta1),
    delta2: take(plan.delta2),
    delta3: take(plan.delta3),
    delta4: take(plan.delta4),
    delta5: take(plan.delta5),
    norms: { bn2: norm('bn2'), bn4: norm('bn4'), bn5: norm('bn5') },
    /** A copy of the sums of leaves in which they are added up. */
    mergedSums: take(plan.mergedSums),
    total: take(plan.total),
    losses: take(plan.losses),
    /** float32 [8] and int32 [2], see kernels/optimiser.ts. */
    scalars: take(64),
    notFinite: take(64),
    probabilities: take(plan.probabilities),
    slots: take(plan.slots),
    stack: take(plan.stack),
    accumulators: take(plan.accumulators),
  };
}

/** A rank's private part of the shared memory: where what its device makes arrives, and what it is given waits. */
import type { WorkspaceShape } from '../../../shared/engine.js';
import { batchNormChannels, batchNorms, classes, type BatchNorm } from '../../../shared/model/network.js';
import { transformLength } from '../../../shared/model/augmentation.js';
import { statisticsLength } from '../../../shared/group/memory.js';
import { leafCount } from '../../../shared/sums/tree.js';
import { doubleBytes, floatBytes, lineBytes } from '../winograd/geometry.js';

/** Steps whose losses are on the host: the device is at most two behind. */
export const keptSteps = 3;

/** Addresses. */
export interface HostMemory {
  /** float64 [leaves][statisticsLength] and [statisticsLength], of the batch norm at hand. */
  readonly leafSums: number;
  readonly total: number;
  /** float64 [keptSteps][rows]. */
  readonly losses: number;
  /** float32 [keptSteps][rows][transformLength]: what shards asked for that the device may not have reached yet. */
  readonly transforms: number;
  /** int32 [2], see kernels/optimiser.ts. */
  readonly notFinite: number;
  /** uint32 [rows]: 0, 1, 2 and so on. */
  readonly testRows: number;
  /** What is there with `hostFloat64` alone, see passes/host-float64.ts. */
  readonly float64: HostFloat64Memory;
  readonly bytes: number;
}

/** Addresses, float32 where nothing else is said. */
export interface HostFloat64Memory {
  /** [rows][values]: what each batch norm normalises, and the gradient of what the one at hand makes. */
  readonly x: Readonly<Record<BatchNorm['name'], number>>;
  readonly delta: number;
  /** [leaves][2 channels] */
  readonly roundedSums: number;
  /** Of all batch norms, each [batchNormChannels]. */
  readonly mean: number;
  readonly invStd: number;
  readonly scale: number;
  readonly slope: number;
  readonly shift: number;
  /** [2 batchNormChannels] before and after a step. */
  readonly running: number;
  readonly next: number;
  /** Weights of all batch norms [batchNormChannels], and the bias of the logits. */
  readonly gamma: number;
  readonly bias: number;
  /** [rows][16]; float64 [rows]; what the loss's kernels need. */
  readonly logits: number;
  readonly losses: number;
  readonly scratch: number;
}

/** @param base address of the workspace, a multiple of 64 */
export function planHostMemory({ rows, microBatch, hostFloat64 = false }: WorkspaceShape, base = 0): HostMemory {
  let offset = base;
  const take = (bytes: number): number => {
    const start = offset;
    offset += Math.ceil(bytes / lineBytes) * lineBytes;
    return start;
  };
  const leaves = Math.max(1, leafCount(rows, microBatch));
  const plan = {
    leafSums: take(leaves * statisticsLength * doubleBytes),
    total: take(statisticsLength * doubleBytes),
    losses: take(keptSteps * rows * doubleBytes),
    transforms: take(keptSteps * rows * transformLength * floatBytes),
    notFinite: take(8),
    testRows: take(rows * 4),
  };
  const others = offset - base;
  const float64 = planFloat64(rows, leaves, take);
  return { ...plan, float64, bytes: hostFloat64 ? offset - base : others };
}

function planFloat64(rows: number, leaves: number, take: (bytes: number) => number): HostFloat64Memory {
  const values = batchNorms.map(({ pixels, channels }) => rows * pixels * channels * floatBytes);
  const [bn2 = 0, bn4 = 0, bn5 = 0] = values.map(take);
  const coefficients = (): number => take(batchNormChannels * floatBytes);
  return {
    x: { bn2, bn4, bn5 },
    delta: take(Math.max(...values)),
    roundedSums: take(leaves * statisticsLength * floatBytes),
    mean: coefficients(),
    invStd: coefficients(),
    scale: coefficients(),
    slope: coefficients(),
    shift: coefficients(),
    running: take(2 * batchNormChannels * floatBytes),
    next: take(2 * batchNormChannels * floatBytes),
    gamma: coefficients(),
    bias: take(classes * floatBytes),
    logits: take(rows * lineBytes),
    losses: take(rows * doubleBytes),
    scratch: take(2 * classes * doubleBytes),
  };
}

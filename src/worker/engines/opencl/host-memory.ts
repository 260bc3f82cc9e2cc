/** A rank's private part of the shared memory: where what its device makes arrives, and what it is given waits. */
import type { WorkspaceShape } from '../../../shared/engine.js';
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
  readonly bytes: number;
}

/** @param base address of the workspace, a multiple of 64 */
export function planHostMemory({ rows, microBatch }: WorkspaceShape, base = 0): HostMemory {
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
  return { ...plan, bytes: offset - base };
}

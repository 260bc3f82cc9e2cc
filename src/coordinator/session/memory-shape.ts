/** How much of everything a group's memory must hold: the most over all batches that an epoch has. */
import { augments } from '../../shared/model/augmentation.js';
import type { TrainConfig } from '../../shared/model/config.js';
import type { MemoryShape } from '../../shared/group/memory.js';
import { trainedRows } from '../../shared/model/schedule.js';
import { leafCount, rowsOf, sharesOf, shardWithin, subtreesOf, type JobPosition } from '../../shared/sums/tree.js';
import type { OpenDataset } from '../dataset/dataset-parts.js';

export function memoryShape(
  config: TrainConfig,
  groupSize: number,
  { trainCount, testCount }: Pick<OpenDataset, 'trainCount' | 'testCount'>,
  { process, processes }: JobPosition,
): MemoryShape {
  const { batchSize, microBatch, validation: validationCount } = config;
  const trained = trainedRows(config, trainCount);
  let [shardRows, subtrees, nodes, roots] = [0, 0, 0, 0];
  for (const rows of new Set([Math.min(batchSize, trained), trained % batchSize || batchSize])) {
    const shares = sharesOf(leafCount(rows, microBatch), processes);
    const counts = shares.map((share) => subtreesOf(share).length);
    nodes = Math.max(
      nodes,
      counts.reduce((sum, count) => sum + count),
    );
    roots = Math.max(roots, ...counts);
    const share = shares[process] ?? { start: 0, end: 0 };
    for (let rank = 0; rank < groupSize; rank++) {
      const shard = shardWithin(share, rank, groupSize);
      const range = rowsOf(shard, rows, microBatch);
      shardRows = Math.max(shardRows, range.end - range.start);
      subtrees = Math.max(subtrees, subtreesOf(shard).length);
    }
  }
  const shape = {
    ...{ groupSize, shardRows, subtrees, microBatch, trainCount, testCount, validationCount },
    ...{ augments: augments(config), averages: config.averageDecay > 0 },
  };
  return processes === 1 ? shape : { ...shape, job: { process, processes, nodes, roots } };
}

/**
 * The reference engine: the contract of `shared/engine.ts` in float64 and plain loops. Slow, meant to be read, and what
 * every other engine is tested against; not offered to users.
 *
 * Its accumulator is the gradient itself in PyTorch's layout. It sums leaves in float64 and rounds once for each subtree
 * handed over, so bits depend on how a batch is sharded: it is not `exact`.
 */
import type { Engine, Shard, ShardReport, StatisticsExchange } from '../../../shared/engine.js';
import { parameterCount } from '../../../shared/model/network.js';
import { lossFunctions } from '../host/loss.js';
import { HostReplica, type Rows } from '../host/replica.js';
import { layerUnits } from '../host/units.js';
import { leafRowsOf, sumOverSubtrees } from './forward-backward.js';
import { evaluateLeaf, passOverLeaves } from './network-pass.js';
import type { Leaf } from './network-pass.js';

/** Rows evaluated at a time: enough to amortise little, few enough to keep activations small. */
const evaluationRows = 16;

export const referenceEngine: Engine = {
  name: 'reference',
  exact: false,
  kernels: null,
  units: layerUnits,
  accumulatorLength: parameterCount,
  preparedBytes: 0,
  // Everything in between is float64 on JavaScript's own heap.
  workspaceBytes: () => 0,
  createReplica: (binding) => new ReferenceReplica(binding),
};

class ReferenceReplica extends HostReplica {
  forwardBackward(shard: Shard, exchange: StatisticsExchange): ShardReport {
    const leaves = this.#leavesOf(shard);
    const parameters = Float64Array.from(this.parametersOf(shard.from));
    const report = passOverLeaves(parameters, leaves, exchange, lossFunctions[this.binding.loss]);
    sumOverSubtrees(shard.leaves, report.gradients).forEach((sum, k) => {
      this.storeSum(k, sum);
    });
    this.updateRunningStatistics(shard, exchange.rows, report.statistics);
    const losses = sumOverSubtrees(
      shard.leaves,
      report.losses.map((loss) => Float64Array.of(loss)),
    );
    return { losses: losses.map((sum) => sum[0]!) };
  }

  evaluate(start: number, end: number, set: 0 | 1, averaged = false): void {
    const flat = Float64Array.from(this.parametersOf(set, averaged));
    const statistics = this.evaluationStatistics();
    for (let row = start; row < end; row += evaluationRows) {
      const leaf = leafOf(this.testRows(row, Math.min(row + evaluationRows, end)));
      this.storeProbabilities(row, evaluateLeaf(flat, leaf, statistics));
    }
  }

  #leavesOf(shard: Shard): Leaf[] {
    const { microBatch } = this.binding.shape;
    return leafRowsOf(shard.leaves, shard.rows, microBatch).map(({ start, end }) =>
      leafOf(this.shardRows(shard, start, end)),
    );
  }
}

function leafOf({ rows, images, labels }: Rows): Leaf {
  return { rows, images: Float64Array.from(images), labels };
}

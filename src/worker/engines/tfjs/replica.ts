/** A replica on TensorFlow.js: the device computes the network, the host everything else. */
import type { ReplicaBinding, Shard, ShardReport, StatisticsExchange, TensorFlowName } from '../../../shared/engine.js';
import { parameterCount } from '../../../shared/model/network.js';
import { subtreesOf } from '../../../shared/sums/tree.js';
import { lossFunctions } from '../host/loss.js';
import { HostReplica } from '../host/replica.js';
import { Layers } from './layers.js';
import { loadTensorFlow, type TensorFlowModule } from './load.js';
import { uploadParameters } from './parameters.js';
import { NetworkPass, ShardExchange } from './pass.js';

/** Rows evaluated at a time: enough to occupy a device, few enough that their activations stay below 100 MB. */
const evaluationRows = 128;

export async function createTensorFlowReplica(
  name: TensorFlowName,
  binding: ReplicaBinding,
): Promise<TensorFlowReplica> {
  const { tf } = await loadTensorFlow(name, binding.libraries);
  return new TensorFlowReplica(tf, binding);
}

class TensorFlowReplica extends HostReplica {
  readonly #tf: TensorFlowModule;
  readonly #layers: Layers;

  constructor(tf: TensorFlowModule, binding: ReplicaBinding) {
    super(binding);
    this.#tf = tf;
    this.#layers = new Layers(tf);
  }

  async forwardBackward(shard: Shard, exchange: StatisticsExchange): Promise<ShardReport> {
    const sums = new ShardExchange(exchange, this.binding.shape.microBatch);
    if (shard.rows === 0) {
      this.updateRunningStatistics(shard, exchange.rows, sums.withoutRows());
      return { losses: [] };
    }
    const report = await this.#scoped(async () => {
      const { gradients, ...figures } = await this.#network(shard.from).train(
        this.shardRows(shard, 0, shard.rows),
        sums,
        lossFunctions[this.binding.loss],
      );
      return { ...figures, gradient: await gradients.download(this.#tf) };
    });
    this.updateRunningStatistics(shard, exchange.rows, report.statistics);
    // The shard is one micro-batch: all of it stands in the first subtree, and the others add nothing.
    const others = subtreesOf(shard.leaves).slice(1);
    this.storeSum(0, report.gradient);
    others.forEach((_, k) => {
      this.storeSum(k + 1, new Float32Array(parameterCount));
    });
    return { losses: [report.loss, ...others.map(() => 0)] };
  }

  async evaluate(start: number, end: number, set: 0 | 1, averaged = false): Promise<void> {
    const statistics = this.evaluationStatistics();
    for (let row = start; row < end; row += evaluationRows) {
      const rows = this.testRows(row, Math.min(row + evaluationRows, end));
      const probabilities = await this.#scoped(() => this.#network(set, averaged).evaluate(rows, statistics));
      this.storeProbabilities(row, probabilities);
    }
  }

  /** Uploads the parameters each time: the device keeps none that a step, or a checkpoint, has replaced. */
  #network(set: 0 | 1, averaged = false): NetworkPass {
    return new NetworkPass(this.#layers, uploadParameters(this.#tf, this.parametersOf(set, averaged)));
  }

  /**
   * Runs `body` and frees every tensor that it made, whether it ends well or not. A scope may span promises, since nobody else
   * computes on this thread.
   */
  async #scoped<T>(body: () => Promise<T>): Promise<T> {
    const engine = this.#tf.engine();
    engine.startScope();
    try {
      return await body();
    } finally {
      engine.endScope();
    }
  }
}

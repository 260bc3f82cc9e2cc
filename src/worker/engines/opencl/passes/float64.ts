/**
 * What of the passes needs float64: the statistics of the batch norms, and the loss. It is the device's where it has float64
 * (device-float64.ts), else the processor's (host-float64.ts), to the same bits.
 */
import type { Shard, StatisticsExchange } from '../../../../shared/engine.js';
import type { DeviceBuffer } from '../driver/buffer.js';
import type { NormName } from './pass.js';

export interface Float64Work {
  /** Of shards of one shape, from one state set into the other. */
  ofShard(shard: Shard): ShardWork;
  /** Of so many rows of the test split, by parameters or their averages. */
  ofEvaluation(parameters: DeviceBuffer, rows: number): EvaluationWork;
}

/** Each is called for every shard of that shape, behind the kernels that make what it is of. */
export interface ShardWork {
  /** From what a batch norm normalises to mean and scale, and to the running statistics. */
  normForward(name: NormName, shard: Shard, exchange: StatisticsExchange): void;
  /** From the logits to the rows' losses, and, in the place of the logits, to their gradient. */
  loss(shard: Shard): void;
  /** From the gradient of a batch norm's output to slope and shift of that of its input, and to its sums over each leaf. */
  normBackward(name: NormName, shard: Shard, exchange: StatisticsExchange): void;
}

export interface EvaluationWork {
  /** Mean and scale of all batch norms, by the evaluation statistics. */
  normForward(): void;
  /** From the logits to the probabilities of the rows from `first` on, in shared memory once the queue is finished. */
  softmax(first: number): void;
}

/** Forward and backward over shards on the device, with the batch norms' exchanges between. */
import type { ReplicaBinding, Shard, StatisticsExchange } from '../../../../shared/engine.js';
import { transformLength } from '../../../../shared/model/augmentation.js';
import { imagePixels } from '../../../../shared/model/network.js';
import { floatBytes } from '../../winograd/geometry.js';
import { backwardParts, gradientKernels, type BackwardParts } from './backward.js';
import type { Kernel } from '../driver/program.js';
import type { Float64Work, ShardWork } from './float64.js';
import { forwardParts, type ForwardParts } from './forward.js';
import { keptSteps, type HostMemory } from '../host-memory.js';
import type { Pass } from './pass.js';

/** All that is launched for one shape of shards, from one state set into the other. */
interface ShardKernels {
  readonly forward: ForwardParts;
  readonly backward: BackwardParts;
  /** What stands between their parts. */
  readonly float64: ShardWork;
  readonly gradients: readonly Kernel[];
}

export class ShardPass {
  readonly #pass: Pass;
  readonly #binding: ReplicaBinding;
  readonly #host: HostMemory;
  readonly #float64: Float64Work;
  readonly #known = new Map<string, ShardKernels>();
  #hasDataset = false;
  #shards = 0;

  constructor(pass: Pass, binding: ReplicaBinding, host: HostMemory, float64: Float64Work) {
    this.#pass = pass;
    this.#binding = binding;
    this.#host = host;
    this.#float64 = float64;
  }

  /** Leaves the sums of the subtrees, the losses of the rows and the running statistics of set `to` on the device. */
  run(shard: Shard, exchange: StatisticsExchange): void {
    const { forward, backward, float64, gradients } = this.#kernelsOf(shard);
    this.#loadRows(shard);
    this.#launch(forward.toNorm2, shard);
    float64.normForward('bn2', shard, exchange);
    this.#launch(forward.toNorm4, shard);
    float64.normForward('bn4', shard, exchange);
    this.#launch(forward.toNorm5, shard);
    float64.normForward('bn5', shard, exchange);
    this.#launch(forward.toLogits, shard);
    float64.loss(shard);
    this.#launch(backward.toNorm5, shard);
    float64.normBackward('bn5', shard, exchange);
    this.#launch(backward.toNorm4, shard);
    float64.normBackward('bn4', shard, exchange);
    this.#launch(backward.toNorm2, shard);
    float64.normBackward('bn2', shard, exchange);
    this.#launch(backward.toPixels, shard);
    this.#launch(gradients, shard);
  }

  /** Tells the device which rows; what these are, it is told once. */
  #loadRows({ rowNumbers, rows, transforms }: Shard): void {
    const { memory, train } = this.#binding;
    const { queue } = this.#pass.context;
    const { arrays } = this.#pass;
    if (rows === 0) return;
    if (!this.#hasDataset) {
      queue.write(arrays.trainImages, 0, new Uint8Array(memory.buffer, train.images, train.count * imagePixels));
      queue.write(arrays.trainLabels, 0, new Uint8Array(memory.buffer, train.labels, train.count));
      this.#hasDataset = true;
    }
    // Not copied: the permutation is the next epoch's when all ranks have reported, behind `settle`, which finishes the queue.
    queue.write(arrays.rowNumbers, 0, new Uint32Array(memory.buffer, rowNumbers, rows));
    if (transforms !== null) queue.write(arrays.transforms, 0, this.#keptTransforms(transforms, rows));
  }

  /** A copy that stays until the device has read it: the shard's own place is the next step's. */
  #keptTransforms(transforms: number, rows: number): Float32Array {
    const { memory, shape } = this.#binding;
    const slot = this.#shards++ % keptSteps;
    const place = this.#host.transforms + slot * shape.rows * transformLength * floatBytes;
    const kept = new Float32Array(memory.buffer, place, rows * transformLength);
    kept.set(new Float32Array(memory.buffer, transforms, kept.length));
    return kept;
  }

  #launch(kernels: readonly Kernel[], { rows }: Shard): void {
    if (rows === 0) return;
    for (const kernel of kernels) this.#pass.context.queue.launch(kernel);
  }

  #kernelsOf(shard: Shard): ShardKernels {
    const { rows, from, leaves, transforms } = shard;
    const key = `${String(rows)} ${String(leaves.start)} ${String(from)}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const { arrays } = this.#pass;
    const { parameters } = arrays.sets[from];
    const { trainImages: images, rowNumbers } = arrays;
    const made: ShardKernels = {
      forward: forwardParts(this.#pass, {
        ...{ images, rowNumbers, parameters, rows },
        transforms: transforms === null ? null : arrays.transforms,
      }),
      backward: backwardParts(this.#pass, rows),
      float64: this.#float64.ofShard(shard),
      gradients: gradientKernels(this.#pass, rows, leaves),
    };
    this.#known.set(key, made);
    return made;
  }
}

/** Forward and backward over shards on the device, with the batch norms' exchanges between. */
import type { ReplicaBinding, Shard, StatisticsExchange } from '../../../../shared/engine.js';
import { transformLength } from '../../../../shared/model/augmentation.js';
import { imagePixels } from '../../../../shared/model/network.js';
import { mergesOfRun } from '../../../../shared/sums/tree.js';
import { floatBytes } from '../../winograd/geometry.js';
import { backwardParts, gradientKernels, type BackwardParts } from './backward.js';
import type { Kernel } from '../driver/program.js';
import { forwardParts, type ForwardParts } from './forward.js';
import { keptSteps, type HostMemory } from '../host-memory.js';
import { normKernels, setValues, type NormKernels } from './norms.js';
import { normOf, type NormName, type Pass } from './pass.js';

/** All that is launched for one shape of shards, from one state set into the other. */
interface ShardKernels {
  readonly forward: ForwardParts;
  readonly backward: BackwardParts;
  readonly norms: Readonly<Record<NormName, NormKernels>>;
  readonly gradients: readonly Kernel[];
}

export class ShardPass {
  readonly #pass: Pass;
  readonly #binding: ReplicaBinding;
  readonly #host: HostMemory;
  readonly #known = new Map<string, ShardKernels>();
  #hasDataset = false;
  #shards = 0;

  constructor(pass: Pass, binding: ReplicaBinding, host: HostMemory) {
    this.#pass = pass;
    this.#binding = binding;
    this.#host = host;
  }

  /** Leaves the sums of the subtrees, the losses of the rows and the running statistics of set `to` on the device. */
  run(shard: Shard, exchange: StatisticsExchange): void {
    const { forward, backward, norms, gradients } = this.#kernelsOf(shard);
    this.#loadRows(shard);
    this.#launch(forward.toNorm2, shard);
    this.#normForward(norms.bn2, shard, exchange);
    this.#launch(forward.toNorm4, shard);
    this.#normForward(norms.bn4, shard, exchange);
    this.#launch(forward.toNorm5, shard);
    this.#normForward(norms.bn5, shard, exchange);
    this.#launch(forward.toLogits, shard);
    this.#launch(backward.toNorm5, shard);
    this.#normBackward(norms.bn5, shard, exchange);
    this.#launch(backward.toNorm4, shard);
    this.#normBackward(norms.bn4, shard, exchange);
    this.#launch(backward.toNorm2, shard);
    this.#normBackward(norms.bn2, shard, exchange);
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

  #normForward(norm: NormKernels, shard: Shard, exchange: StatisticsExchange): void {
    this.#launch([norm.sums], shard);
    this.#exchange(norm, shard, exchange);
    setValues(norm.forward, exchange.rows * normOf(norm.name).pixels);
    this.#pass.context.queue.launch(norm.forward);
  }

  #normBackward(norm: NormKernels, shard: Shard, exchange: StatisticsExchange): void {
    this.#launch([norm.gradientSums], shard);
    this.#exchange(norm, shard, exchange);
    setValues(norm.backward[0], exchange.rows * normOf(norm.name).pixels);
    this.#launch(norm.backward, shard);
  }

  /** From the sums of the leaves to the total: on the device where it has all of them. */
  #exchange({ name, merge }: NormKernels, shard: Shard, exchange: StatisticsExchange): void {
    if (exchange.withinShard) {
      this.#launch([merge], shard);
      return;
    }
    const { leaves } = shard;
    const { queue } = this.#pass.context;
    const { arrays } = this.#pass;
    const { buffer } = this.#binding.memory;
    const length = 2 * normOf(name).channels;
    const sums = new Float64Array(buffer, this.#host.leafSums, (leaves.end - leaves.start) * length);
    const total = new Float64Array(buffer, this.#host.total, length);
    if (sums.length > 0) queue.read(arrays.norms[name].leafSums, 0, sums);
    queue.finish();
    exchange.reduce(sums, length, total);
    queue.write(arrays.total, 0, total);
  }

  #kernelsOf({ rows, from, to, leaves, transforms }: Shard): ShardKernels {
    const key = `${String(rows)} ${String(leaves.start)} ${String(from)}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const pass = this.#pass;
    const { arrays } = pass;
    const { parameters } = arrays.sets[from];
    const shard = { rows, leaves: leaves.end - leaves.start };
    const merges = mergesOfRun(leaves);
    const pairs = pass.constant(Int32Array.from(merges.flatMap(({ target, source }) => [target, source])));
    const sets = { from: arrays.sets[from], to: arrays.sets[to] };
    const norm = (name: NormName, x: 'pooled2' | 'pooled4' | 'pooled5', delta: 'delta2' | 'delta4' | 'delta5') =>
      normKernels(pass, name, { x: arrays[x], delta: arrays[delta] }, sets, { ...shard, pairs, merges: merges.length });
    const { trainImages: images, rowNumbers } = arrays;
    const made: ShardKernels = {
      forward: forwardParts(pass, {
        ...{ images, rowNumbers, parameters, rows },
        transforms: transforms === null ? null : arrays.transforms,
      }),
      backward: backwardParts(pass, parameters, rows, this.#binding.loss),
      norms: {
        bn2: norm('bn2', 'pooled2', 'delta2'),
        bn4: norm('bn4', 'pooled4', 'delta4'),
        bn5: norm('bn5', 'pooled5', 'delta5'),
      },
      gradients: gradientKernels(pass, rows, leaves),
    };
    this.#known.set(key, made);
    return made;
  }
}

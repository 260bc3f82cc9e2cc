/** What needs float64, by kernels of the device. */
import type { ReplicaBinding, Shard, StatisticsExchange } from '../../../../shared/engine.js';
import { batchNorms, classes } from '../../../../shared/model/network.js';
import { mergesOfRun } from '../../../../shared/sums/tree.js';
import { floatBytes } from '../../winograd/geometry.js';
import type { DeviceBuffer } from '../driver/buffer.js';
import type { HostMemory } from '../host-memory.js';
import type { EvaluationWork, Float64Work, ShardWork } from './float64.js';
import { evaluationKernel, normKernels, setValues, type NormKernels } from './norms.js';
import { normOf, type NormName, type Pass } from './pass.js';

export class DeviceFloat64 implements Float64Work {
  readonly #pass: Pass;
  readonly #binding: ReplicaBinding;
  readonly #host: HostMemory;

  constructor(pass: Pass, binding: ReplicaBinding, host: HostMemory) {
    this.#pass = pass;
    this.#binding = binding;
    this.#host = host;
  }

  ofShard({ rows, leaves, from, to }: Shard): ShardWork {
    const pass = this.#pass;
    const { arrays } = pass;
    const { queue } = pass.context;
    const merges = mergesOfRun(leaves);
    const shape = {
      rows,
      leaves: leaves.end - leaves.start,
      pairs: pass.constant(Int32Array.from(merges.flatMap(({ target, source }) => [target, source]))),
      merges: merges.length,
    };
    const sets = { from: arrays.sets[from], to: arrays.sets[to] };
    const norm = (name: NormName): NormKernels => normKernels(pass, name, sets, shape);
    const norms = { bn2: norm('bn2'), bn4: norm('bn4'), bn5: norm('bn5') };
    const { parameters } = sets.from;
    const logits = [arrays.outputs.linear2, parameters, arrays.trainLabels, arrays.rowNumbers, arrays.losses];
    const gradient = this.#binding.loss === 'cross-entropy' ? 'crossEntropyGradient' : 'lossGradient';
    const loss = pass.items(gradient, [...logits, { int32: rows }], rows);
    return {
      normForward: (name, shard, exchange) => {
        const { sums, merge, forward } = norms[name];
        if (rows > 0) queue.launch(sums);
        this.#exchange(name, merge, shard, exchange);
        queue.launch(setValues(forward, exchange.rows * normOf(name).pixels));
      },
      loss: () => {
        if (rows > 0) queue.launch(loss);
      },
      normBackward: (name, shard, exchange) => {
        const { gradientSums, merge, backward } = norms[name];
        if (rows > 0) queue.launch(gradientSums);
        this.#exchange(name, merge, shard, exchange);
        if (rows > 0) queue.launch(setValues(backward, exchange.rows * normOf(name).pixels));
      },
    };
  }

  ofEvaluation(parameters: DeviceBuffer, rows: number): EvaluationWork {
    const pass = this.#pass;
    const { arrays } = pass;
    const { queue } = pass.context;
    const norms = batchNorms.map(({ name }) => evaluationKernel(pass, name, parameters));
    const logits = [arrays.outputs.linear2, parameters, arrays.probabilities];
    const softmax = pass.items('softmax', [...logits, { int32: rows }], rows);
    return {
      normForward: () => {
        for (const kernel of norms) queue.launch(kernel);
      },
      softmax: (first) => {
        const { memory, probabilities } = this.#binding;
        queue.launch(softmax);
        const target = probabilities + first * classes * floatBytes;
        queue.read(arrays.probabilities, 0, new Float32Array(memory.buffer, target, rows * classes));
      },
    };
  }

  /** From the sums of the leaves to the total: on the device where it has all of them. */
  #exchange(name: NormName, merge: NormKernels['merge'], { rows, leaves }: Shard, exchange: StatisticsExchange): void {
    const { queue } = this.#pass.context;
    if (exchange.withinShard) {
      if (rows > 0) queue.launch(merge);
      return;
    }
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
}

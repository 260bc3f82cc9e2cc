/**
 * What needs float64, by the wasm kernels on the host, for a device that has none: what they need comes from the device, and what
 * they make goes back there. The host waits for the device each time, and it for the host.
 */
import type { ReplicaBinding, Shard } from '../../../../shared/engine.js';
import {
  batchNormChannels,
  batchNormEpsilon,
  batchNormMomentum,
  batchNorms,
  classes,
  parameterOf,
} from '../../../../shared/model/network.js';
import type { Kernels } from '../../wasm/kernels.js';
import { doubleBytes, floatBytes, panelWidth } from '../../winograd/geometry.js';
import type { DeviceSet } from '../arrays.js';
import type { DeviceBuffer } from '../driver/buffer.js';
import type { Queue } from '../driver/queue.js';
import type { HostMemory } from '../host-memory.js';
import { allFinite } from '../kernels/optimiser.js';
import type { EvaluationWork, Float64Work, ShardWork } from './float64.js';
import { normArrays, normOf, type NormName, type Pass } from './pass.js';

/** Of one batch norm, over shards of one shape. */
type HostNorm = Pick<ShardWork, 'normForward' | 'normBackward'>;

interface NormShard {
  readonly name: NormName;
  readonly rows: number;
  readonly leaves: number;
  readonly sums: Float64Array;
  readonly totals: Float64Array;
  /** What it normalises, which stays on the host for the way back. */
  readonly x: Float32Array;
  /** Its part of an array of all channels. */
  readonly coefficients: (place: number) => Float32Array;
}

export class HostFloat64 implements Float64Work {
  readonly #pass: Pass;
  readonly #binding: ReplicaBinding;
  readonly #host: HostMemory;
  readonly #wasm: Kernels;
  readonly #queue: Queue;

  constructor(pass: Pass, binding: ReplicaBinding, host: HostMemory, wasm: Kernels) {
    this.#pass = pass;
    this.#binding = binding;
    this.#host = host;
    this.#wasm = wasm;
    this.#queue = pass.context.queue;
  }

  ofShard(shape: Shard): ShardWork {
    const { sets } = this.#pass.arrays;
    const norm = (name: NormName): HostNorm => this.#norm(name, shape, sets[shape.from], sets[shape.to]);
    const norms = { bn2: norm('bn2'), bn4: norm('bn4'), bn5: norm('bn5') };
    return {
      normForward: (name, shard, exchange) => {
        norms[name].normForward(name, shard, exchange);
      },
      normBackward: (name, shard, exchange) => {
        norms[name].normBackward(name, shard, exchange);
      },
      loss: this.#loss(shape.rows, sets[shape.from].parameters),
    };
  }

  ofEvaluation(parameters: DeviceBuffer, rows: number): EvaluationWork {
    const { memory, evaluationStatistics: statistics, probabilities } = this.#binding;
    const { arrays } = this.#pass;
    const { gamma, scale, logits, bias, scratch } = this.#host.float64;
    const norms = batchNorms.map(({ name, channels, offset }) => ({
      ...{ channels, own: arrays.norms[name], first: offset * floatBytes },
      weight: parameterOf(name, 'weight').offset * floatBytes,
      weights: this.#floats(gamma + offset * floatBytes, channels),
      scales: this.#floats(scale + offset * floatBytes, channels),
    }));
    return {
      normForward: () => {
        for (const { weight, weights } of norms) this.#queue.read(parameters, weight, weights);
        this.#queue.finish();
        for (const { channels, own, first, scales } of norms) {
          const variance = statistics + batchNormChannels * floatBytes + first;
          this.#wasm.normEvaluationCoefficients(channels, batchNormEpsilon, gamma + first, variance, scale + first);
          this.#queue.write(own.scale, 0, scales);
          this.#queue.write(own.mean, 0, new Float32Array(memory.buffer, statistics + first, channels));
        }
      },
      softmax: (first) => {
        this.#queue.read(arrays.outputs.linear2, 0, this.#floats(logits, rows * panelWidth));
        this.#queue.read(parameters, parameterOf('linear2', 'bias').offset * floatBytes, this.#floats(bias, classes));
        this.#queue.finish();
        this.#wasm.softmax(logits, bias, rows, probabilities + first * classes * floatBytes, scratch);
      },
    };
  }

  #loss(rows: number, parameters: DeviceBuffer): ShardWork['loss'] {
    const { loss, train } = this.#binding;
    const { arrays } = this.#pass;
    const { logits, bias, losses, scratch } = this.#host.float64;
    const [z, biases] = [this.#floats(logits, rows * panelWidth), this.#floats(bias, classes)];
    const made = new Float64Array(this.#binding.memory.buffer, losses, rows);
    const gradient = loss === 'cross-entropy' ? 'crossEntropyGradient' : 'lossGradient';
    return ({ rowNumbers }) => {
      if (rows === 0) return;
      this.#queue.read(arrays.outputs.linear2, 0, z);
      this.#queue.read(parameters, parameterOf('linear2', 'bias').offset * floatBytes, biases);
      this.#queue.finish();
      this.#wasm[gradient](logits, bias, rows, train.labels, rowNumbers, losses, scratch);
      this.#queue.write(arrays.outputs.linear2, 0, z);
      this.#queue.write(arrays.losses, 0, made);
    };
  }

  #norm(name: NormName, { rows, leaves }: Shard, from: DeviceSet, to: DeviceSet): HostNorm {
    const { buffer } = this.#binding.memory;
    const { channels, pixels } = normOf(name);
    const { float64: host, leafSums, total } = this.#host;
    const length = (leaves.end - leaves.start) * 2 * channels;
    const values = rows * pixels * channels;
    // Views and addresses are made once.
    const shared: NormShard = {
      ...{ name, rows, leaves: leaves.end - leaves.start },
      sums: new Float64Array(buffer, leafSums, length),
      totals: new Float64Array(buffer, total, 2 * channels),
      x: this.#floats(host.x[name], values),
      coefficients: (place) => this.#floats(place + normOf(name).offset * floatBytes, channels),
    };
    const delta = this.#floats(host.delta, values);
    const rounded = this.#floats(host.roundedSums, length);
    return {
      normForward: this.#normForward(shared, from, to),
      normBackward: this.#normBackward(shared, delta, rounded),
    };
  }

  #normForward(shard: NormShard, from: DeviceSet, to: DeviceSet): ShardWork['normForward'] {
    const { name, rows, sums, totals, x, coefficients } = shard;
    const { channels, pixels, offset } = normOf(name);
    const { float64: host, total } = this.#host;
    const own = this.#pass.arrays.norms[name];
    const source = normArrays(this.#pass, name).x;
    const at = offset * floatBytes;
    const variances = (batchNormChannels + offset) * floatBytes;
    const weight = parameterOf(name, 'weight').offset * floatBytes;
    const [gamma, mean, scale] = [coefficients(host.gamma), coefficients(host.mean), coefficients(host.scale)];
    const running = this.#floats(host.running, 2 * batchNormChannels);
    const next = this.#floats(host.next, 2 * batchNormChannels);
    const nexts = [coefficients(host.next), this.#floats(host.next + variances, channels)] as const;
    const notFinite = new Int32Array(this.#binding.memory.buffer, this.#host.notFinite, 2);
    return (_, __, exchange) => {
      if (rows > 0) this.#queue.read(source, 0, x);
      this.#queue.read(from.parameters, weight, gamma);
      this.#queue.read(from.runningStatistics, 0, running);
      this.#queue.read(this.#pass.arrays.notFinite, 0, notFinite);
      this.#queue.finish();
      this.#eachLeaf(shard, (first, values, target) => {
        this.#wasm.normSums(host.x[name] + first, values, channels, target);
      });
      exchange.reduce(sums, 2 * channels, totals);
      if (notFinite[0] !== allFinite) return;
      if (exchange.rows === 0) next.set(running);
      else {
        this.#wasm.normForwardCoefficients(
          ...([total, exchange.rows * pixels, channels, batchNormEpsilon, batchNormMomentum] as const),
          ...([host.gamma + at, host.running + at, host.running + variances] as const),
          ...([host.next + at, host.next + variances] as const),
          ...([host.mean + at, host.invStd + at, host.scale + at] as const),
        );
        this.#queue.write(own.mean, 0, mean);
        this.#queue.write(own.scale, 0, scale);
      }
      this.#queue.write(to.runningStatistics, at, nexts[0]);
      this.#queue.write(to.runningStatistics, variances, nexts[1]);
    };
  }

  #normBackward(shard: NormShard, delta: Float32Array, rounded: Float32Array): ShardWork['normBackward'] {
    const { name, rows, sums, totals, coefficients } = shard;
    const { channels, pixels, offset } = normOf(name);
    const { float64: host, total } = this.#host;
    const own = this.#pass.arrays.norms[name];
    const source = normArrays(this.#pass, name).delta;
    const at = offset * floatBytes;
    const [mean, invStd, scale] = [host.mean + at, host.invStd + at, host.scale + at];
    const [slope, shift] = [coefficients(host.slope), coefficients(host.shift)];
    return (_, __, exchange) => {
      if (rows > 0) this.#queue.read(source, 0, delta);
      this.#queue.finish();
      this.#eachLeaf(shard, (first, values, target) => {
        const [x, dy] = [host.x[name] + first, host.delta + first];
        this.#wasm.normGradientSums(x, dy, values, channels, mean, invStd, target);
      });
      // An exchange overwrites them.
      rounded.set(sums);
      if (rows > 0) this.#queue.write(own.leafSums, 0, rounded);
      exchange.reduce(sums, 2 * channels, totals);
      if (rows === 0) return;
      const n = exchange.rows * pixels;
      this.#wasm.normBackwardCoefficients(total, n, channels, invStd, scale, host.slope + at, host.shift + at);
      this.#queue.write(own.slope, 0, slope);
      this.#queue.write(own.shift, 0, shift);
    };
  }

  /** @param visit is given where a leaf's values begin, in bytes, how many they are, and the address of its sums */
  #eachLeaf({ name, rows, leaves }: NormShard, visit: (first: number, values: number, sums: number) => void): void {
    const { channels, pixels } = normOf(name);
    const { microBatch } = this.#binding.shape;
    for (let leaf = 0; leaf < leaves; leaf++) {
      const first = leaf * microBatch;
      const values = Math.min(microBatch, rows - first) * pixels;
      const sums = this.#host.leafSums + leaf * 2 * channels * doubleBytes;
      visit(first * pixels * channels * floatBytes, values, sums);
    }
  }

  #floats(address: number, length: number): Float32Array {
    return new Float32Array(this.#binding.memory.buffer, address, length);
  }
}

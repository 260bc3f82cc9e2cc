/**
 * The part of a replica that does not depend on who computes the network: sums, optimiser and running statistics, in plain
 * loops over shared memory. Arithmetic is float64, storage float32.
 */
import { parametersOf } from '../../../shared/engine.js';
import type {
  AdamScalars,
  ReplicaBinding,
  Shard,
  ShardReport,
  SplitBinding,
  StatisticsExchange,
  UnitReplica,
} from '../../../shared/engine.js';
import { assert } from '../../../shared/errors.js';
import { transformLength } from '../../../shared/model/augmentation.js';
import {
  batchNormChannels,
  batchNormMomentum,
  batchNorms,
  classes,
  imagePixels,
  parameterCount,
  parameterOf,
} from '../../../shared/model/network.js';
import { transformImage } from './augmentation.js';
import { statisticsOf, type BatchNormStatistics } from './batch-norm.js';
import { layerUnits } from './units.js';

const conv1 = parameterOf('conv1', 'weight');

/** Rows of a split, copied out of shared memory. */
export interface Rows {
  readonly rows: number;
  /** [rows][784], pixels 0..255; between whole numbers where they are augmented. */
  readonly images: Uint8Array | Float32Array;
  /** [rows] */
  readonly labels: Uint8Array;
}

/** For engines with the units of a layer each, `layerUnits`, whose accumulator is the gradient in PyTorch's layout. */
export abstract class HostReplica implements UnitReplica {
  readonly keepsState = false;
  protected readonly binding: ReplicaBinding;

  constructor(binding: ReplicaBinding) {
    this.binding = binding;
  }

  abstract forwardBackward(shard: Shard, exchange: StatisticsExchange): ShardReport | Promise<ShardReport>;
  abstract evaluate(start: number, end: number, set: 0 | 1, averaged?: boolean): void | Promise<void>;

  add(target: number, source: number, length: number): void {
    const [to, from] = [this.#floats(target, length), this.#floats(source, length)];
    for (let p = 0; p < length; p++) to[p]! += from[p]!;
  }

  prepare(): void {
    // Nothing is derived from the parameters.
  }

  finish(unit: number, accumulator: number, globalRows: number): boolean {
    const sums = this.#floats(accumulator, parameterCount);
    const gradients = this.#floats(this.binding.gradients, parameterCount);
    let finite = true;
    for (const { offset, length } of unitOf(unit).parameters) {
      const divisor = globalRows * (offset === conv1.offset ? this.binding.inputDivisor : 1);
      for (let p = offset; p < offset + length; p++) {
        gradients[p] = sums[p]! / divisor;
        finite &&= Number.isFinite(gradients[p]);
      }
    }
    return finite;
  }

  update(unit: number, from: 0 | 1, to: 0 | 1, adam: AdamScalars): boolean {
    const { learningRate, beta1, beta2, epsilon, beta1Power, beta2Power } = adam;
    const [source, target] = [this.#stateOf(from), this.#stateOf(to)];
    const gradients = this.#floats(this.binding.gradients, parameterCount);
    const stepSize = learningRate / (1 - beta1Power);
    const correction = Math.sqrt(1 - beta2Power);
    let finite = true;
    for (const { offset, length } of unitOf(unit).parameters) {
      for (let p = offset; p < offset + length; p++) {
        const gradient = gradients[p]!;
        const first = source.firstMoments[p]! + (1 - beta1) * (gradient - source.firstMoments[p]!);
        const second = beta2 * source.secondMoments[p]! + (1 - beta2) * gradient * gradient;
        target.firstMoments[p] = first;
        target.secondMoments[p] = second;
        target.parameters[p] = source.parameters[p]! - (stepSize * first) / (Math.sqrt(second) / correction + epsilon);
        // As stored: float32 may overflow where float64 does not.
        finite &&= Number.isFinite(target.firstMoments[p]) && Number.isFinite(target.secondMoments[p]);
        finite &&= Number.isFinite(target.parameters[p]);
      }
    }
    if (adam.averageDecay !== null) this.#average(unit, from, to, adam.averageDecay);
    return finite;
  }

  #average(unit: number, from: 0 | 1, to: 0 | 1, decay: number): void {
    const { sets } = this.binding;
    const [old, next] = [sets[from], sets[to]].map((set) => this.#floats(parametersOf(set, true), parameterCount));
    const values = this.#stateOf(to).parameters;
    for (const { offset, length } of unitOf(unit).parameters) {
      for (let p = offset; p < offset + length; p++) next![p] = decay * old![p]! + (1 - decay) * values[p]!;
    }
  }

  /** A copy of the parameters of a state set, or of their averages, [parameterCount], as a network of plain pixels. */
  protected parametersOf(set: 0 | 1, averaged = false): Float32Array {
    const values = this.#floats(parametersOf(this.binding.sets[set], averaged), parameterCount).slice();
    for (let p = conv1.offset; p < conv1.offset + conv1.length; p++) values[p]! /= this.binding.inputDivisor;
    return values;
  }

  /** The rows [start, end) of a shard, as they are trained on. */
  protected shardRows({ rowNumbers, transforms }: Shard, start: number, end: number): Rows {
    const { memory, train } = this.binding;
    const numbers = new Uint32Array(memory.buffer, rowNumbers, end).subarray(start);
    const rows = this.rowsOf(train, numbers);
    if (transforms === null) return rows;
    const images = new Float32Array(rows.images.length);
    const values = new Float32Array(memory.buffer, transforms, end * transformLength);
    for (let n = start; n < end; n++) {
      const place = [(n - start) * imagePixels, (n - start + 1) * imagePixels] as const;
      const transform = values.subarray(n * transformLength, (n + 1) * transformLength);
      transformImage(rows.images.subarray(...place), transform, images.subarray(...place));
    }
    return { ...rows, images };
  }

  protected testRows(start: number, end: number): Rows {
    const rowNumbers = Array.from({ length: end - start }, (_, i) => start + i);
    return this.rowsOf(this.binding.test, rowNumbers);
  }

  protected rowsOf(split: SplitBinding, rowNumbers: ArrayLike<number>): Rows & { readonly images: Uint8Array } {
    const { buffer } = this.binding.memory;
    const pixels = new Uint8Array(buffer, split.images, split.count * imagePixels);
    const splitLabels = new Uint8Array(buffer, split.labels, split.count);
    const rows = rowNumbers.length;
    const images = new Uint8Array(rows * imagePixels);
    for (let n = 0; n < rows; n++) {
      const first = rowNumbers[n]! * imagePixels;
      images.set(pixels.subarray(first, first + imagePixels), n * imagePixels);
    }
    return { rows, images, labels: Uint8Array.from(rowNumbers, (row) => splitLabels[row]!) };
  }

  /** Writes the sum of a subtree's gradients, [parameterCount], where the group finds it. */
  protected storeSum(subtree: number, sum: ArrayLike<number>): void {
    const accumulator = this.binding.accumulators[subtree];
    assert(accumulator !== undefined, `an accumulator for subtree ${String(subtree)} of the shard`);
    this.#floats(accumulator, parameterCount).set(sum);
  }

  /**
   * new = (1 - momentum) * old + momentum * batch, from the shard's one set into the other.
   * @param rows those that the statistics were taken over; with 0 the running statistics stay as they are
   * @param statistics one for each batch norm, in the network's order
   */
  protected updateRunningStatistics(shard: Shard, rows: number, statistics: readonly BatchNormStatistics[]): void {
    const [old, updated] = [this.#runningOf(shard.from), this.#runningOf(shard.to)];
    if (rows === 0) {
      updated.set(old);
      return;
    }
    const blend = (p: number, value: number): void => {
      updated[p] = (1 - batchNormMomentum) * old[p]! + batchNormMomentum * value;
    };
    batchNorms.forEach(({ offset, channels, pixels }, k) => {
      const { mean, variance } = statistics[k]!;
      const count = rows * pixels;
      // A single value has no unbiased variance; PyTorch refuses it, here it counts as 0.
      const unbiased = count / Math.max(1, count - 1);
      for (let c = 0; c < channels; c++) {
        blend(offset + c, mean[c]!);
        blend(batchNormChannels + offset + c, variance[c]! * unbiased);
      }
    });
  }

  /** What evaluation normalises by, for each batch norm in the network's order. */
  protected evaluationStatistics(): BatchNormStatistics[] {
    const running = Float64Array.from(this.#floats(this.binding.evaluationStatistics, 2 * batchNormChannels));
    const [means, variances] = [running.subarray(0, batchNormChannels), running.subarray(batchNormChannels)];
    return batchNorms.map(({ offset, channels }) =>
      statisticsOf(means.slice(offset, offset + channels), variances.slice(offset, offset + channels)),
    );
  }

  /** @param values softmax of test rows from row `start` on, [rows][classes] */
  protected storeProbabilities(start: number, values: ArrayLike<number>): void {
    this.#floats(this.binding.probabilities, this.binding.test.count * classes).set(values, start * classes);
  }

  #runningOf(set: 0 | 1): Float32Array {
    return this.#floats(this.binding.sets[set].runningStatistics, 2 * batchNormChannels);
  }

  #stateOf(set: 0 | 1): { parameters: Float32Array; firstMoments: Float32Array; secondMoments: Float32Array } {
    const { parameters, firstMoments, secondMoments } = this.binding.sets[set];
    return {
      parameters: this.#floats(parameters, parameterCount),
      firstMoments: this.#floats(firstMoments, parameterCount),
      secondMoments: this.#floats(secondMoments, parameterCount),
    };
  }

  #floats(byteOffset: number, length: number): Float32Array {
    return new Float32Array(this.binding.memory.buffer, byteOffset, length);
  }
}

function unitOf(index: number): (typeof layerUnits)[number] {
  const unit = layerUnits[index];
  assert(unit !== undefined, `unit ${String(index)} exists`);
  return unit;
}

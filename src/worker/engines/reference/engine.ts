/**
 * The reference engine: the contract of `shared/engine.ts` in float64 and plain loops. Slow, meant to be read, and what
 * every other engine is tested against; not offered to users.
 *
 * Its accumulator is the gradient itself in PyTorch's layout. It sums leaves in float64 and rounds once for each subtree
 * handed over, so bits depend on how a batch is sharded: it is not `exact`.
 */
import type {
  AdamScalars,
  Engine,
  Replica,
  ReplicaBinding,
  Shard,
  ShardReport,
  SplitBinding,
  StatisticsExchange,
  Unit,
} from '../../../shared/engine.js';
import { assert } from '../../../shared/errors.js';
import {
  batchNormChannels,
  batchNormMomentum,
  batchNorms,
  classes,
  imagePixels,
  parameterCount,
  parameters,
} from '../../../shared/network.js';
import type { BatchNormStatistics } from './batch-norm.js';
import { leafRowsOf, sumOverSubtrees } from './forward-backward.js';
import { evaluateLeaf, leafOf, passOverLeaves } from './network-pass.js';
import type { Leaf } from './network-pass.js';

/** Rows evaluated at a time: enough to amortise little, few enough to keep activations small. */
const evaluationRows = 16;

export const referenceEngine: Engine = {
  name: 'reference',
  exact: false,
  kernels: null,
  units: buildUnits(),
  accumulatorLength: parameterCount,
  preparedBytes: 0,
  // Everything in between is float64 on JavaScript's own heap.
  workspaceBytes: () => 0,
  createReplica: (binding) => new ReferenceReplica(binding),
};

/** One unit a layer: its weight and its bias, at the same place in the accumulator as in the parameters. */
function buildUnits(): Unit[] {
  const names = [...new Set(parameters.map((parameter) => parameter.layer))];
  return names.map((name) => {
    const ranges = parameters.filter((p) => p.layer === name).map(({ offset, length }) => ({ offset, length }));
    const length = ranges.reduce((sum, range) => sum + range.length, 0);
    return { name, accumulator: { offset: ranges[0]!.offset, length }, parameters: ranges };
  });
}

class ReferenceReplica implements Replica {
  readonly #binding: ReplicaBinding;

  constructor(binding: ReplicaBinding) {
    this.#binding = binding;
  }

  add(target: number, source: number, length: number): void {
    const [to, from] = [this.#floats(target, length), this.#floats(source, length)];
    for (let p = 0; p < length; p++) to[p]! += from[p]!;
  }

  prepare(): void {
    // Nothing is derived from the parameters.
  }

  forwardBackward(shard: Shard, exchange: StatisticsExchange): ShardReport {
    const leaves = this.#leavesOf(shard);
    const report = passOverLeaves(this.#parametersOf(shard.from), leaves, exchange);
    sumOverSubtrees(shard.leaves, report.gradients).forEach((sum, k) => {
      const accumulator = this.#binding.accumulators[k];
      assert(accumulator !== undefined, `an accumulator for subtree ${String(k)} of the shard`);
      this.#floats(accumulator, parameterCount).set(sum);
    });
    this.#updateRunningStatistics(shard, exchange.rows, report.statistics);
    const losses = sumOverSubtrees(
      shard.leaves,
      report.losses.map((loss) => Float64Array.of(loss)),
    );
    return { losses: losses.map((sum) => sum[0]!), correct: report.correct };
  }

  finish(unit: number, accumulator: number, globalRows: number): boolean {
    const sums = this.#floats(accumulator, parameterCount);
    const gradients = this.#floats(this.#binding.gradients, parameterCount);
    let finite = true;
    for (const p of positionsOf(unit)) {
      gradients[p] = sums[p]! / globalRows;
      finite &&= Number.isFinite(gradients[p]);
    }
    return finite;
  }

  update(unit: number, from: 0 | 1, to: 0 | 1, adam: AdamScalars): boolean {
    const { learningRate, beta1, beta2, epsilon, beta1Power, beta2Power } = adam;
    const [source, target] = [this.#stateOf(from), this.#stateOf(to)];
    const gradients = this.#floats(this.#binding.gradients, parameterCount);
    const stepSize = learningRate / (1 - beta1Power);
    const correction = Math.sqrt(1 - beta2Power);
    let finite = true;
    for (const p of positionsOf(unit)) {
      const gradient = gradients[p]!;
      const first = source.firstMoments[p]! + (1 - beta1) * (gradient - source.firstMoments[p]!);
      const second = beta2 * source.secondMoments[p]! + (1 - beta2) * gradient * gradient;
      target.firstMoments[p] = first;
      target.secondMoments[p] = second;
      target.parameters[p] = source.parameters[p]! - (stepSize * first) / (Math.sqrt(second) / correction + epsilon);
      finite &&= [target.parameters[p], target.firstMoments[p], target.secondMoments[p]].every(Number.isFinite);
    }
    return finite;
  }

  evaluate(start: number, end: number, set: 0 | 1): void {
    const flat = this.#parametersOf(set);
    const running = Float64Array.from(this.#floats(this.#binding.evaluationStatistics, 2 * batchNormChannels));
    const [mean, variance] = [running.subarray(0, batchNormChannels), running.subarray(batchNormChannels)];
    const probabilities = this.#floats(this.#binding.probabilities, this.#binding.test.count * classes);
    for (let row = start; row < end; row += evaluationRows) {
      const rows = Math.min(evaluationRows, end - row);
      const leaf = this.#leafOf(
        this.#binding.test,
        Array.from({ length: rows }, (_, i) => row + i),
      );
      probabilities.set(evaluateLeaf(flat, leaf, mean, variance), row * classes);
    }
  }

  #leavesOf(shard: Shard): Leaf[] {
    const { memory, shape, train } = this.#binding;
    const rowNumbers = new Uint32Array(memory.buffer, shard.rowNumbers, shard.rows);
    return leafRowsOf(shard.leaves, shard.rows, shape.microBatch).map(({ start, end }) =>
      this.#leafOf(train, rowNumbers.subarray(start, end)),
    );
  }

  #leafOf(split: SplitBinding, rowNumbers: Iterable<number>): Leaf {
    const { buffer } = this.#binding.memory;
    const images = new Uint8Array(buffer, split.images, split.count * imagePixels);
    return leafOf(images, new Uint8Array(buffer, split.labels, split.count), rowNumbers);
  }

  /** new = (1 - momentum) * old + momentum * batch, from the shard's one set into the other. */
  #updateRunningStatistics(shard: Shard, rows: number, statistics: readonly BatchNormStatistics[]): void {
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

  #parametersOf(set: 0 | 1): Float64Array {
    return Float64Array.from(this.#floats(this.#binding.sets[set].parameters, parameterCount));
  }

  #runningOf(set: 0 | 1): Float32Array {
    return this.#floats(this.#binding.sets[set].runningStatistics, 2 * batchNormChannels);
  }

  #stateOf(set: 0 | 1): { parameters: Float32Array; firstMoments: Float32Array; secondMoments: Float32Array } {
    const { parameters: values, firstMoments, secondMoments } = this.#binding.sets[set];
    return {
      parameters: this.#floats(values, parameterCount),
      firstMoments: this.#floats(firstMoments, parameterCount),
      secondMoments: this.#floats(secondMoments, parameterCount),
    };
  }

  #floats(byteOffset: number, length: number): Float32Array {
    return new Float32Array(this.#binding.memory.buffer, byteOffset, length);
  }
}

/** Positions in the flat parameters that a unit owns. */
function* positionsOf(unit: number): Generator<number> {
  const owner = referenceEngine.units[unit];
  assert(owner !== undefined, `unit ${String(unit)} exists`);
  for (const { offset, length } of owner.parameters) for (let p = offset; p < offset + length; p++) yield p;
}

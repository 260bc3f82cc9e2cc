/**
 * One pass of the whole network over a shard, forward and backward.
 *
 * The chain of vector-Jacobian products is written out, since it is cut at the batch norms: their statistics may cover the
 * global batch, so sums leave the device, the group adds them up, and the totals come back. Between two cuts the device works
 * alone. It is waited for at six exchanges, at the logits and at the gradient, always by a promise: WebGPU answers by no
 * other way.
 */
import type { Tensor, Tensor2D, Tensor4D } from '@tensorflow/tfjs';
import type { StatisticsExchange } from '../../../shared/engine.js';
import { batchNormAfter, batchNorms, convolutions, imageSize, linears } from '../../../shared/model/network.js';
import type { BatchNorm, Convolution } from '../../../shared/model/network.js';
import { batchNormStatistics, type BatchNormStatistics } from '../host/batch-norm.js';
import { softmax, type LossFunction } from '../host/loss.js';
import type { Rows } from '../host/replica.js';
import type { Layers } from './layers.js';
import { ParameterTensors } from './parameters.js';

export interface PassReport {
  /** Sum over the rows. */
  readonly loss: number;
  /** Summed over the rows. */
  readonly gradients: ParameterTensors;
  /** For each batch norm, what it normalised by. */
  readonly statistics: readonly BatchNormStatistics[];
}

/** Gives what a batch norm normalises its input by. */
type StatisticsSource = (norm: BatchNorm, input: Tensor4D) => BatchNormStatistics | Promise<BatchNormStatistics>;

interface PooledTape {
  readonly norm: BatchNorm;
  readonly output: Tensor4D;
  readonly normalised: Tensor4D;
  readonly statistics: BatchNormStatistics;
}

interface ConvolutionTape {
  readonly conv: Convolution;
  readonly input: Tensor4D;
  readonly activated: Tensor4D;
  readonly pooled: PooledTape | null;
}

/** What backward needs of forward. */
interface Tape {
  readonly convolutions: readonly ConvolutionTape[];
  readonly features: Tensor2D;
  readonly hidden: Tensor2D;
  readonly logits: Tensor2D;
}

const [linear1, linear2] = linears;

/** The network with one set of parameters. All tensors that its functions make are left to the caller's scope. */
export class NetworkPass {
  readonly #layers: Layers;
  readonly #parameters: ParameterTensors;

  constructor(layers: Layers, parameters: ParameterTensors) {
    this.#layers = layers;
    this.#parameters = parameters;
  }

  /** Forward and backward in training mode, over at least one row. */
  async train(shard: Rows, sums: ShardExchange, loss: LossFunction): Promise<PassReport> {
    const tape = await this.#forward(shard, (norm, input) =>
      sums.forward(norm, this.#layers.channelSums(input, input)),
    );
    const probabilities = await probabilitiesOf(tape.logits);
    const report = loss(shard.rows, probabilities, shard.labels);
    const gradients = new ParameterTensors();
    const logitsGradient: Tensor2D = this.#layers.tensor(report.logitsGradient, tape.logits.shape);
    const featuresGradient = this.#backwardLinears(tape, logitsGradient, gradients);
    await this.#backwardConvolutions(tape, featuresGradient, gradients, sums);
    const statistics = tape.convolutions.flatMap(({ pooled }) => (pooled === null ? [] : [pooled.statistics]));
    return { loss: report.loss, gradients, statistics };
  }

  /**
   * Forward in evaluation mode.
   * @param statistics one for each batch norm, in the network's order
   * @returns softmax, [rows][classes]
   */
  async evaluate(rows: Rows, statistics: readonly BatchNormStatistics[]): Promise<Float64Array> {
    const tape = await this.#forward(
      rows,
      ({ name }) => statistics[batchNorms.findIndex((norm) => norm.name === name)]!,
    );
    return await probabilitiesOf(tape.logits);
  }

  async #forward({ rows, images }: Rows, statisticsOf: StatisticsSource): Promise<Tape> {
    const tapes: ConvolutionTape[] = [];
    let flowing: Tensor4D = this.#layers.tensor(images, [rows, imageSize, imageSize, 1]);
    for (const conv of convolutions) {
      const [filter, bias] = [this.#parameters.filter(conv.name), this.#parameters.vector(conv.name, 'bias')];
      const activated = this.#layers.convolution(flowing, filter, bias);
      const pooled = conv.pooled ? await this.#forwardPooled(batchNormAfter(conv), activated, statisticsOf) : null;
      tapes.push({ conv, input: flowing, activated, pooled });
      flowing = pooled === null ? activated : this.#scaleAndShift(pooled);
    }
    const features: Tensor2D = flowing.reshape([rows, linear1.inputs]);
    const hidden = this.#forwardLinear(linear1.name, features, 'relu');
    const logits = this.#forwardLinear(linear2.name, hidden, 'linear');
    return { convolutions: tapes, features, hidden, logits };
  }

  async #forwardPooled(norm: BatchNorm, activated: Tensor4D, statisticsOf: StatisticsSource): Promise<PooledTape> {
    const output = this.#layers.pool(activated);
    const statistics = await statisticsOf(norm, output);
    return { norm, output, normalised: this.#layers.normalise(output, statistics), statistics };
  }

  #scaleAndShift({ norm: { name }, normalised }: PooledTape): Tensor4D {
    const [weight, bias] = [this.#parameters.vector(name, 'weight'), this.#parameters.vector(name, 'bias')];
    return this.#layers.scaleAndShift(normalised, weight, bias);
  }

  #forwardLinear(name: LinearName, input: Tensor2D, activation: 'relu' | 'linear'): Tensor2D {
    return this.#layers.linear(input, this.#parameters.matrix(name), this.#parameters.vector(name, 'bias'), activation);
  }

  /** @returns the gradient with respect to the features */
  #backwardLinears({ features, hidden }: Tape, logitsGradient: Tensor2D, gradients: ParameterTensors): Tensor2D {
    const backward = (name: LinearName, input: Tensor2D, outputGradient: Tensor2D): Tensor2D => {
      gradients.set(name, 'weight', this.#layers.linearWeightGradient(input, outputGradient));
      gradients.set(name, 'bias', this.#layers.biasGradient(outputGradient));
      return this.#layers.linearInputGradient(outputGradient, this.#parameters.matrix(name));
    };
    const hiddenGradient = backward(linear2.name, hidden, logitsGradient);
    return backward(linear1.name, features, this.#layers.reluGradient(hidden, hiddenGradient));
  }

  async #backwardConvolutions(
    { convolutions: tapes }: Tape,
    featuresGradient: Tensor2D,
    gradients: ParameterTensors,
    sums: ShardExchange,
  ): Promise<void> {
    let flowing: Tensor = featuresGradient;
    for (const { conv, input, activated, pooled } of [...tapes].reverse()) {
      let outputGradient: Tensor4D;
      if (pooled === null) outputGradient = this.#layers.reluGradient(activated, flowing as Tensor4D);
      else {
        const pooledGradient = await this.#backwardNorm(pooled, flowing.reshape(pooled.output.shape), gradients, sums);
        // A maximum is positive where its output is, so relu's gradient can be taken on a quarter of the values.
        const masked = this.#layers.reluGradient(pooled.output, pooledGradient);
        outputGradient = this.#layers.poolGradient(activated, pooled.output, masked);
      }
      const filter = this.#parameters.filter(conv.name);
      const filterGradient = this.#layers.convolutionFilterGradient(input, outputGradient, filter.shape);
      gradients.set(conv.name, 'weight', filterGradient);
      gradients.set(conv.name, 'bias', this.#layers.biasGradient(outputGradient));
      // Nobody asks for the gradient of the pixels.
      if (conv.name === 'conv1') return;
      flowing = this.#layers.convolutionInputGradient(outputGradient, filter, input.shape);
    }
  }

  /** @returns the gradient with respect to the pool's output */
  async #backwardNorm(
    { norm, normalised, statistics }: PooledTape,
    outputGradient: Tensor4D,
    gradients: ParameterTensors,
    sums: ShardExchange,
  ): Promise<Tensor4D> {
    const own = this.#layers.channelSums(outputGradient, normalised);
    const [bias, weight] = this.#layers.biasGradient(own).split(2) as [Tensor, Tensor];
    gradients.set(norm.name, 'bias', bias);
    gradients.set(norm.name, 'weight', weight);
    const means = await sums.backward(norm, own);
    const scale = this.#parameters.vector(norm.name, 'weight');
    return this.#layers.normaliseGradient(normalised, outputGradient, scale, statistics, means);
  }
}

type LinearName = (typeof linears)[number]['name'];

/** The statistics exchange as a shard on a device needs it: sums of each row come down, figures of the whole go up. */
export class ShardExchange {
  readonly #exchange: StatisticsExchange;
  readonly #microBatch: number;

  constructor(exchange: StatisticsExchange, microBatch: number) {
    this.#exchange = exchange;
    this.#microBatch = microBatch;
  }

  /** @param rowSums of x and x*x, [rows][2 channels] */
  async forward(norm: BatchNorm, rowSums: Tensor2D): Promise<BatchNormStatistics> {
    const total = this.#reduce(norm, await rowSums.data());
    return batchNormStatistics(norm.channels, total, this.#count(norm));
  }

  /**
   * @param rowSums of dY and dY*xHat, [rows][2 channels]
   * @returns their means, [2][channels]
   */
  async backward(norm: BatchNorm, rowSums: Tensor2D): Promise<Float64Array> {
    const count = this.#count(norm);
    return this.#reduce(norm, await rowSums.data()).map((sum) => sum / count);
  }

  /** The part of a shard without rows: it adds nothing, but the group waits for it at each exchange. */
  withoutRows(): BatchNormStatistics[] {
    const nothing = new Float32Array(0);
    const statistics = batchNorms.map((norm) =>
      batchNormStatistics(norm.channels, this.#reduce(norm, nothing), this.#count(norm)),
    );
    for (const norm of [...batchNorms].reverse()) this.#reduce(norm, nothing);
    return statistics;
  }

  #reduce({ channels }: BatchNorm, rowSums: ArrayLike<number>): Float64Array {
    const length = 2 * channels;
    const rows = rowSums.length / length;
    const leaves = new Float64Array(Math.ceil(rows / this.#microBatch) * length);
    for (let n = 0; n < rows; n++) {
      const leaf = Math.floor(n / this.#microBatch) * length;
      for (let i = 0; i < length; i++) leaves[leaf + i]! += rowSums[n * length + i]!;
    }
    const total = new Float64Array(length);
    this.#exchange.reduce(leaves, length, total);
    return total;
  }

  /** Values of one channel that a total covers. */
  #count({ pixels }: BatchNorm): number {
    return this.#exchange.rows * pixels;
  }
}

async function probabilitiesOf(logits: Tensor2D): Promise<Float64Array> {
  return softmax(logits.shape[0], Float64Array.from(await logits.data()));
}

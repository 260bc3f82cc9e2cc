/**
 * One pass of the whole network over a run of leaves (micro-batches), forward and backward, in float64.
 *
 * Layers run one after the other over all leaves, since a batch norm needs every leaf's sums before any leaf can go on.
 * Nothing else crosses leaves: each has its own gradient, which the caller sums by the tree.
 */
import type { StatisticsExchange } from '../../../shared/engine.js';
import {
  batchNormAfter,
  batchNorms,
  convolutions,
  linears,
  parameterCount,
  parameterOf,
} from '../../../shared/model/network.js';
import type { BatchNorm, Convolution, LayerName } from '../../../shared/model/network.js';
import { batchNormStatistics, type BatchNormStatistics } from '../host/batch-norm.js';
import { doubleSoftmaxCrossEntropy, softmax, type LossFunction } from '../host/loss.js';
import * as norms from './batch-norm.js';
import * as layers from './layers.js';

export interface Leaf {
  readonly rows: number;
  /** [rows][784], pixels 0..255 */
  readonly images: Float64Array;
  /** [rows] */
  readonly labels: Uint8Array;
}

export interface LeavesReport {
  /** Sum of the loss over the rows of each leaf. */
  readonly losses: number[];
  /** For each leaf the sum over its rows of the gradient, [parameterCount]. */
  readonly gradients: Float64Array[];
  /** For each batch norm, what it normalised by; without meaning where the exchange covers no rows. */
  readonly statistics: BatchNormStatistics[];
  readonly activations: Activations;
}

/**
 * By layer, one array a leaf, [rows][...]: convolutions and linear1 after their relu, batch norms, linear2 before the
 * softmax.
 */
export type Activations = ReadonlyMap<LayerName, readonly Float64Array[]>;

interface PooledTape {
  readonly norm: BatchNorm;
  readonly argmax: readonly Int32Array[];
  readonly normalised: readonly Float64Array[];
  readonly statistics: BatchNormStatistics;
}

interface ConvolutionTape {
  readonly conv: Convolution;
  readonly inputs: readonly Float64Array[];
  readonly activated: readonly Float64Array[];
  readonly pooled: PooledTape | null;
}

/** What backward needs of forward; inputs and outputs are one array a leaf. */
interface Tape {
  readonly convolutions: readonly ConvolutionTape[];
  readonly features: readonly Float64Array[];
  readonly hidden: readonly Float64Array[];
  readonly probabilities: readonly Float64Array[];
  readonly activations: Activations;
}

/** Gives a batch norm's statistics for the leaves' inputs. */
type StatisticsSource = (norm: BatchNorm, inputs: readonly Float64Array[]) => BatchNormStatistics;

/**
 * Forward and backward in training mode.
 * @param parameters float64 [parameterCount]
 * @param leaves may be empty: then only the exchanges are made
 */
export function passOverLeaves(
  parameters: Float64Array,
  leaves: readonly Leaf[],
  exchange: StatisticsExchange,
  loss: LossFunction = doubleSoftmaxCrossEntropy,
): LeavesReport {
  const statistics: BatchNormStatistics[] = [];
  const tape = forward(parameters, leaves, (norm, inputs) => {
    const sums = inputs.map((input, l) => norms.batchNormForwardSums(norm, leaves[l]!.rows, input));
    const total = reduceSums(exchange, sums, norm);
    const found = batchNormStatistics(norm.channels, total, exchange.rows * norm.pixels);
    statistics.push(found);
    return found;
  });
  const gradients = leaves.map(() => new Float64Array(parameterCount));
  const reports = leaves.map((leaf, l) => loss(leaf.rows, tape.probabilities[l]!, leaf.labels));
  const featureGradients = leaves.map((leaf, l) =>
    backwardLinears(parameters, leaf, tape.features[l]!, tape.hidden[l]!, reports[l]!.logitsGradient, gradients[l]!),
  );
  backwardConvolutions(parameters, leaves, tape.convolutions, featureGradients, gradients, exchange);
  return {
    losses: reports.map((report) => report.loss),
    gradients,
    statistics,
    activations: tape.activations,
  };
}

/**
 * Forward in evaluation mode.
 * @param statistics what each batch norm normalises by, in the network's order
 * @returns softmax, [rows][classes]
 */
export function evaluateLeaf(
  parameters: Float64Array,
  leaf: Leaf,
  statistics: readonly BatchNormStatistics[],
): Float64Array {
  const tape = forward(
    parameters,
    [leaf],
    (norm) => statistics[batchNorms.findIndex(({ name }) => name === norm.name)]!,
  );
  return tape.probabilities[0]!;
}

/** The tensor's part of a flat array of all parameters or gradients; a view, not a copy. */
export function tensorOf(flat: Float64Array, layer: LayerName, kind: 'weight' | 'bias'): Float64Array {
  const { offset, length } = parameterOf(layer, kind);
  return flat.subarray(offset, offset + length);
}

function forward(parameters: Float64Array, leaves: readonly Leaf[], statisticsOf: StatisticsSource): Tape {
  const activations = new Map<LayerName, readonly Float64Array[]>();
  const tapes: ConvolutionTape[] = [];
  let inputs: readonly Float64Array[] = leaves.map((leaf) => leaf.images);
  for (const conv of convolutions) {
    const [weight, bias] = [tensorOf(parameters, conv.name, 'weight'), tensorOf(parameters, conv.name, 'bias')];
    const activated = inputs.map((input, l) =>
      layers.reluForward(layers.conv2dForward(conv, leaves[l]!.rows, input, weight, bias)),
    );
    activations.set(conv.name, activated);
    let outputs: readonly Float64Array[] = activated;
    let pooled: PooledTape | null = null;
    if (conv.pooled) {
      const norm = batchNormAfter(conv);
      ({ outputs, tape: pooled } = forwardPooled(parameters, leaves, conv, norm, activated, statisticsOf));
      activations.set(norm.name, outputs);
    }
    tapes.push({ conv, inputs, activated, pooled });
    inputs = outputs;
  }
  const [linear1, linear2] = linears;
  const hidden = inputs.map((input, l) => layers.reluForward(forwardLinear(parameters, linear1, leaves[l]!, input)));
  const logits = hidden.map((input, l) => forwardLinear(parameters, linear2, leaves[l]!, input));
  activations.set(linear1.name, hidden).set(linear2.name, logits);
  const probabilities = logits.map((values, l) => softmax(leaves[l]!.rows, values));
  return { convolutions: tapes, features: inputs, hidden, probabilities, activations };
}

function forwardPooled(
  parameters: Float64Array,
  leaves: readonly Leaf[],
  conv: Convolution,
  norm: BatchNorm,
  activated: readonly Float64Array[],
  statisticsOf: StatisticsSource,
): { outputs: readonly Float64Array[]; tape: PooledTape } {
  const pools = activated.map((values) => layers.maxPool2Forward(conv.outputSize, values));
  const pooled = pools.map((pool) => pool.output);
  const statistics = statisticsOf(norm, pooled);
  const [weight, bias] = [tensorOf(parameters, norm.name, 'weight'), tensorOf(parameters, norm.name, 'bias')];
  const results = pooled.map((input, l) =>
    norms.batchNormForward(norm, leaves[l]!.rows, input, statistics, weight, bias),
  );
  return {
    outputs: results.map((result) => result.output),
    tape: {
      norm,
      argmax: pools.map((pool) => pool.argmax),
      normalised: results.map((result) => result.normalised),
      statistics,
    },
  };
}

function forwardLinear(
  parameters: Float64Array,
  linear: (typeof linears)[number],
  leaf: Leaf,
  input: Float64Array,
): Float64Array {
  const [weight, bias] = [tensorOf(parameters, linear.name, 'weight'), tensorOf(parameters, linear.name, 'bias')];
  return layers.linearForward(linear, leaf.rows, input, weight, bias);
}

/** @returns the gradient with respect to the features, [rows][256] */
function backwardLinears(
  parameters: Float64Array,
  leaf: Leaf,
  features: Float64Array,
  hidden: Float64Array,
  logitsGradient: Float64Array,
  gradient: Float64Array,
): Float64Array {
  const backward = (linear: (typeof linears)[number], input: Float64Array, outputGradient: Float64Array) =>
    layers.linearBackward(
      linear,
      leaf.rows,
      input,
      tensorOf(parameters, linear.name, 'weight'),
      outputGradient,
      tensorOf(gradient, linear.name, 'weight'),
      tensorOf(gradient, linear.name, 'bias'),
    );
  const [linear1, linear2] = linears;
  const hiddenGradient = layers.reluBackward(hidden, backward(linear2, hidden, logitsGradient));
  return backward(linear1, features, hiddenGradient);
}

function backwardConvolutions(
  parameters: Float64Array,
  leaves: readonly Leaf[],
  tapes: readonly ConvolutionTape[],
  featureGradients: readonly Float64Array[],
  gradients: readonly Float64Array[],
  exchange: StatisticsExchange,
): void {
  let flowing = featureGradients;
  for (const { conv, inputs, activated, pooled } of [...tapes].reverse()) {
    if (pooled !== null) {
      const pooledGradients = backwardBatchNorm(parameters, leaves, pooled, flowing, gradients, exchange);
      flowing = pooledGradients.map((values, l) =>
        layers.maxPool2Backward(activated[l]!.length, pooled.argmax[l]!, values),
      );
    }
    const weight = tensorOf(parameters, conv.name, 'weight');
    flowing = flowing.map((outputGradient, l) => {
      const rows = leaves[l]!.rows;
      layers.reluBackward(activated[l]!, outputGradient);
      const weightGradient = tensorOf(gradients[l]!, conv.name, 'weight');
      const biasGradient = tensorOf(gradients[l]!, conv.name, 'bias');
      layers.conv2dBackwardParameters(conv, rows, inputs[l]!, outputGradient, weightGradient, biasGradient);
      // Nobody asks for the gradient of the pixels.
      if (conv.name === 'conv1') return outputGradient;
      return layers.conv2dBackwardInput(conv, rows, weight, outputGradient);
    });
  }
}

function backwardBatchNorm(
  parameters: Float64Array,
  leaves: readonly Leaf[],
  { norm, normalised, statistics }: PooledTape,
  outputGradients: readonly Float64Array[],
  gradients: readonly Float64Array[],
  exchange: StatisticsExchange,
): Float64Array[] {
  const sums = outputGradients.map((values, l) =>
    norms.batchNormBackwardSums(norm, leaves[l]!.rows, values, normalised[l]!),
  );
  sums.forEach((leafSums, l) => {
    tensorOf(gradients[l]!, norm.name, 'bias').set(leafSums.subarray(0, norm.channels));
    tensorOf(gradients[l]!, norm.name, 'weight').set(leafSums.subarray(norm.channels));
  });
  const total = reduceSums(exchange, sums, norm);
  const count = exchange.rows * norm.pixels;
  const weight = tensorOf(parameters, norm.name, 'weight');
  return outputGradients.map((values, l) =>
    norms.batchNormBackward(norm, leaves[l]!.rows, values, normalised[l]!, statistics, weight, total, count),
  );
}

function reduceSums(exchange: StatisticsExchange, sums: readonly Float64Array[], norm: BatchNorm): Float64Array {
  const length = 2 * norm.channels;
  const leaves = new Float64Array(sums.length * length);
  sums.forEach((leafSums, l) => {
    leaves.set(leafSums, l * length);
  });
  const total = new Float64Array(length);
  exchange.reduce(leaves, length, total);
  return total;
}

/** A replica of the `wasm` engine: the network's passes with its batch norms, bound to one rank's memory. */
import type { AdamScalars, ReplicaBinding, Shard, ShardReport, UnitReplica } from '../../../shared/engine.js';
import { parametersOf, type StatisticsExchange } from '../../../shared/engine.js';
import { at } from '../../../shared/errors.js';
import { transformLength } from '../../../shared/model/augmentation.js';
import { batchNormChannels, batchNormEpsilon, batchNormMomentum } from '../../../shared/model/network.js';
import { classes, imagePixels, parameterOf } from '../../../shared/model/network.js';
import { mergesOfLeaves, subtreesOf } from '../../../shared/sums/tree.js';
import { backward, smallGradient } from './backward.js';
import { proveFloatingPoint } from './proofs/floating-point.js';
import { forward, type NormCoefficients } from './forward.js';
import { doubleBytes, eachProduct, floatBytes, productLayers, productNames, rowOffset } from '../winograd/geometry.js';
import { planGradients, type GradientGroup } from './gradient-segments.js';
import { instantiateKernels } from './kernels.js';
import type { Kernels } from './kernels.js';
import { eachStrip, normOf, Pass, type NormName } from './pass.js';
import { sumLosses } from '../winograd/losses.js';
import { normOffset, smallLength } from '../winograd/units.js';
import { UnitWork } from './unit-work.js';
import { planWorkspace, type Workspace } from './workspace.js';

export function createWasmReplica(binding: ReplicaBinding): UnitReplica {
  if (binding.module === null) throw new Error('the wasm engine needs its compiled module');
  const kernels = instantiateKernels(binding.module, binding.memory);
  proveFloatingPoint(kernels);
  return new WasmReplica(kernels, binding, planWorkspace(binding.shape, binding.workspace));
}

class WasmReplica implements UnitReplica {
  readonly keepsState = false;
  readonly #kernels: Kernels;
  readonly #binding: ReplicaBinding;
  readonly #workspace: Workspace;
  readonly #pass: Pass;
  readonly #units: UnitWork;
  /** Leaf sums of shards of that many values: views are made once. */
  readonly #leafSums = new Map<number, Float64Array>();
  readonly #totals: Float64Array;
  readonly #losses: Float64Array;
  readonly #smallGradients: Float32Array;
  /** Each layer's groups; their segments are in the workspace, as they were planned for the shard of these rows and leaves. */
  readonly #groups = eachProduct((): readonly GradientGroup[] => []);
  #planned = { rows: -1, start: -1 };

  constructor(kernels: Kernels, binding: ReplicaBinding, workspace: Workspace) {
    const { buffer } = binding.memory;
    const { totals, losses, smallGradients } = workspace;
    this.#kernels = kernels;
    this.#binding = binding;
    this.#workspace = workspace;
    this.#pass = new Pass(kernels, binding, workspace);
    this.#units = new UnitWork(kernels, binding, workspace.scratch);
    this.#totals = new Float64Array(buffer, totals.address, totals.length);
    this.#losses = new Float64Array(buffer, losses.address, losses.length);
    this.#smallGradients = new Float32Array(buffer, smallGradients.address, smallGradients.length);
  }

  add(target: number, source: number, length: number): void {
    this.#kernels.add(target, source, length);
  }

  prepare(unit: number, set: 0 | 1, averaged = false): void {
    this.#units.prepare(unit, set, averaged);
  }

  finish(unit: number, accumulator: number, globalRows: number): boolean {
    return this.#units.finish(unit, accumulator, globalRows);
  }

  update(unit: number, from: 0 | 1, to: 0 | 1, adam: AdamScalars): boolean {
    return this.#units.update(unit, from, to, adam);
  }

  forwardBackward(shard: Shard, exchange: StatisticsExchange): ShardReport {
    const { images } = this.#binding.train;
    const { parameters } = this.#binding.sets[shard.from];
    const rowNumbers = new Uint32Array(this.#binding.memory.buffer, shard.rowNumbers, shard.rows);
    this.#startShard(shard);
    forward(this.#pass, {
      parameters,
      rows: shard.rows,
      keepInputs: true,
      image: (row) => images + rowNumbers[row]! * imagePixels,
      transform: (row) => (shard.transforms === null ? null : shard.transforms + row * transformLength * floatBytes),
      coefficients: (norm, pooled) => this.#normForward(norm, pooled, shard, exchange),
    });
    this.#lossGradient(shard, parameters);
    const { microBatch } = this.#binding.shape;
    backward(this.#pass, {
      groups: this.#groups,
      leafOf: (row) => Math.floor(row / microBatch),
      normalised: (norm, pooled, delta) => {
        this.#normBackward(norm, pooled, delta, shard, exchange);
      },
    });
    this.#sumSmallGradients(shard);
    return { losses: sumLosses(this.#losses, shard.rows, shard.leaves, microBatch) };
  }

  evaluate(start: number, end: number, set: 0 | 1, averaged = false): void {
    const { images } = this.#binding.test;
    const parameters = parametersOf(this.#binding.sets[set], averaged);
    const { logits, scratch } = this.#workspace;
    const bias = parameters + parameterOf('linear2', 'bias').offset * floatBytes;
    for (let first = start; first < end; first += this.#binding.shape.rows) {
      const rows = Math.min(this.#binding.shape.rows, end - first);
      forward(this.#pass, {
        parameters,
        rows,
        keepInputs: false,
        image: (row) => images + (first + row) * imagePixels,
        transform: () => null,
        coefficients: (norm) => this.#normEvaluation(norm, parameters),
      });
      eachStrip(productLayers.linear2, 0, rows, (row, stripRows) => {
        const z = logits + rowOffset(productLayers.linear2, row, 'outputs');
        const target = this.#binding.probabilities + (first + row) * classes * floatBytes;
        this.#kernels.softmax(z, bias, stripRows, target, scratch);
      });
    }
  }

  /** Writes each layer's segments where the shard is not the last one's again, and clears what is summed row by row. */
  #startShard({ rows, leaves }: Shard): void {
    this.#smallGradients.fill(0);
    if (rows === this.#planned.rows && leaves.start === this.#planned.start) return;
    const { memory, shape } = this.#binding;
    for (const name of productNames) {
      const { words, groups } = planGradients(productLayers[name], { rows, leaves, microBatch: shape.microBatch });
      new Int32Array(memory.buffer, this.#workspace.segments[name], words.length).set(words);
      this.#groups[name] = groups;
    }
    this.#planned = { rows, start: leaves.start };
  }

  #normForward(name: NormName, pooled: number, shard: Shard, exchange: StatisticsExchange): NormCoefficients {
    const { channels, pixels, offset } = normOf(name);
    const { mean, invStd, scale, totals } = this.#workspace;
    const at = offset * floatBytes;
    const variances = (batchNormChannels + offset) * floatBytes;
    const { parameters, runningStatistics: running } = this.#binding.sets[shard.from];
    const next = this.#binding.sets[shard.to].runningStatistics;
    this.#eachLeaf(shard, (leaf, first, rows) => {
      const x = pooled + first * pixels * channels * floatBytes;
      this.#kernels.normSums(
        x,
        rows * pixels,
        channels,
        this.#workspace.leafSums.address + leaf * 2 * channels * doubleBytes,
      );
    });
    exchange.reduce(this.#leafSumsOf(shard, channels), 2 * channels, this.#totals);
    const gamma = parameters + parameterOf(name, 'weight').offset * floatBytes;
    if (exchange.rows === 0) {
      const statistics = new Float32Array(this.#binding.memory.buffer);
      for (const place of [at, variances]) {
        statistics.copyWithin(
          (next + place) / floatBytes,
          (running + place) / floatBytes,
          (running + place) / floatBytes + channels,
        );
      }
    } else {
      this.#kernels.normForwardCoefficients(
        totals.address,
        exchange.rows * pixels,
        channels,
        batchNormEpsilon,
        batchNormMomentum,
        gamma,
        running + at,
        running + variances,
        next + at,
        next + variances,
        mean + at,
        invStd + at,
        scale + at,
      );
    }
    const shift = parameters + parameterOf(name, 'bias').offset * floatBytes;
    return { mean: mean + at, scale: scale + at, shift };
  }

  #normEvaluation(name: NormName, parameters: number): NormCoefficients {
    const { evaluationStatistics: statistics } = this.#binding;
    const { channels, offset } = normOf(name);
    const at = offset * floatBytes;
    const scale = this.#workspace.scale + at;
    const gamma = parameters + parameterOf(name, 'weight').offset * floatBytes;
    const variance = statistics + batchNormChannels * floatBytes + at;
    this.#kernels.normEvaluationCoefficients(channels, batchNormEpsilon, gamma, variance, scale);
    return { mean: statistics + at, scale, shift: parameters + parameterOf(name, 'bias').offset * floatBytes };
  }

  #normBackward(name: NormName, pooled: number, delta: number, shard: Shard, exchange: StatisticsExchange): void {
    const { channels, pixels, offset } = normOf(name);
    const { mean, invStd, scale, slope, shift, totals, leafSums } = this.#workspace;
    const at = offset * floatBytes;
    const rowBytes = pixels * channels * floatBytes;
    this.#eachLeaf(shard, (leaf, first, rows) => {
      const sums = leafSums.address + leaf * 2 * channels * doubleBytes;
      const x = pooled + first * rowBytes;
      const dy = delta + first * rowBytes;
      this.#kernels.normGradientSums(x, dy, rows * pixels, channels, mean + at, invStd + at, sums);
      const gradient = smallGradient(this.#workspace, leaf) + normOffset(name) * floatBytes;
      this.#kernels.storeNormGradient(sums, channels, gradient);
    });
    exchange.reduce(this.#leafSumsOf(shard, channels), 2 * channels, this.#totals);
    if (shard.rows === 0) return;
    const n = exchange.rows * pixels;
    this.#kernels.normBackwardCoefficients(
      totals.address,
      n,
      channels,
      invStd + at,
      scale + at,
      slope + at,
      shift + at,
    );
    const values = shard.rows * pixels;
    this.#kernels.normaliseGradient(pooled, delta, values, channels, mean + at, scale + at, slope + at, shift + at);
  }

  /** Turns the logits into the gradient of the summed loss, in place. */
  #lossGradient({ rows, rowNumbers }: Shard, parameters: number): void {
    const { logits, losses, scratch } = this.#workspace;
    const { linear2 } = productLayers;
    const bias = parameters + parameterOf('linear2', 'bias').offset * floatBytes;
    const { labels } = this.#binding.train;
    const gradient = this.#binding.loss === 'cross-entropy' ? 'crossEntropyGradient' : 'lossGradient';
    eachStrip(linear2, 0, rows, (first, stripRows) => {
      const z = logits + rowOffset(linear2, first, 'outputs');
      const numbers = rowNumbers + first * 4;
      const rowLosses = losses.address + first * doubleBytes;
      this.#kernels[gradient](z, bias, stripRows, labels, numbers, rowLosses, scratch);
    });
  }

  /** Sums the leaves' gradients of conv1 and the batch norms into the subtrees' accumulators. */
  #sumSmallGradients({ leaves }: Shard): void {
    for (const { target, source } of mergesOfLeaves(leaves)) {
      this.#kernels.add(smallGradient(this.#workspace, target), smallGradient(this.#workspace, source), smallLength);
    }
    const floats = new Float32Array(this.#binding.memory.buffer);
    subtreesOf(leaves).forEach((subtree, position) => {
      const from = smallGradient(this.#workspace, subtree.start - leaves.start) / floatBytes;
      floats.copyWithin(at(this.#binding.accumulators, position) / floatBytes, from, from + smallLength);
    });
  }

  #leafSumsOf({ leaves }: Shard, channels: number): Float64Array {
    const length = (leaves.end - leaves.start) * 2 * channels;
    const known = this.#leafSums.get(length);
    if (known !== undefined) return known;
    const view = new Float64Array(this.#binding.memory.buffer, this.#workspace.leafSums.address, length);
    this.#leafSums.set(length, view);
    return view;
  }

  #eachLeaf({ rows, leaves }: Shard, visit: (leaf: number, first: number, rows: number) => void): void {
    const { microBatch } = this.#binding.shape;
    for (let leaf = 0; leaf < leaves.end - leaves.start; leaf++) {
      const first = leaf * microBatch;
      visit(leaf, first, Math.min(microBatch, rows - first));
    }
  }
}

/**
 * Each kernel of the `wasm` engine alone, against the reference layers in float64: convolutions forward and backward, the
 * batch norm, the loss, Adam, and the products of panels with their tree.
 */
import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { drawTransform, transformLength } from '../../../src/shared/model/augmentation.js';
import { convolutions } from '../../../src/shared/model/network.js';
import { mergesOfLeaves, subtreesOf } from '../../../src/shared/sums/tree.js';
import * as layers from '../../../src/worker/engines/reference/layers.js';
import { batchNormBackwardSums, batchNormForwardSums } from '../../../src/worker/engines/reference/batch-norm.js';
import { transformImage } from '../../../src/worker/engines/host/augmentation.js';
import { lossFunctions, softmax } from '../../../src/worker/engines/host/loss.js';
import { signaturesSource } from '../../../src/worker/engines/wasm/emitters/emit-signatures.js';
import { inputPanels, outputPanels, productLayers } from '../../../src/worker/engines/winograd/geometry.js';
import type { ConvolutionName, ProductLayer } from '../../../src/worker/engines/winograd/geometry.js';
import {
  blockOffset,
  deltaBytes,
  maxSegments,
  nodeBytes,
  nodesBytes,
  planGradients,
  segmentFields,
  stackBytes,
} from '../../../src/worker/engines/wasm/gradient-segments.js';
import type { GradientShard } from '../../../src/worker/engines/wasm/gradient-segments.js';
import { instantiateKernels, type Kernels } from '../../../src/worker/engines/wasm/kernels.js';
import { sumGroup } from '../../../src/worker/engines/wasm/weight-gradients.js';
import { scratchBytes } from '../../../src/worker/engines/wasm/workspace.js';
import { relativeL2 } from '../../support/compute/golden.js';
import { compileKernels } from '../../support/compute/kernels.js';

const pages = 2048;
const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
let kernels: Kernels;
let free = 0;

it("have TypeScript's view of them as their source has it", async () => {
  const folder = new URL('../../../src/worker/engines/wasm/', import.meta.url);
  const read = (path: string): string => readFileSync(new URL(`assembly/${path}`, folder), 'utf8');
  const source = signaturesSource(read);
  expect(readFileSync(new URL('kernel-signatures.ts', folder), 'utf8')).toBe(source);
  const methods = [...source.matchAll(/^ {2}(\w+)\(/gm)].map(([, name]) => name);
  const functions = WebAssembly.Module.exports(await compileKernels()).filter(({ kind }) => kind === 'function');
  expect(methods).toEqual(functions.map(({ name }) => name).sort());
});

beforeAll(async () => {
  kernels = instantiateKernels(await compileKernels(), memory);
});

/** Room for that many bytes; each test starts anew. */
function take(bytes: number): number {
  const start = free;
  free = Math.ceil((free + bytes) / 64) * 64;
  if (free > pages * 65536) throw new RangeError('the test memory is too small');
  return start;
}

function reset(): void {
  free = 65536;
}

const floats = (offset: number, length: number): Float32Array => new Float32Array(memory.buffer, offset, length);

/** Uniform in [-1, 1), the same in every run. */
function noise(length: number, seed = 1): Float64Array {
  let state = seed;
  return Float64Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.fround(state / 2 ** 31 - 1);
  });
}

function place(values: ArrayLike<number>): number {
  const offset = take(values.length * 4);
  floats(offset, values.length).set(Float32Array.from(values));
  return offset;
}

/** [rows][channels][pixels] to [rows][pixels][channels], or back with the two swapped. */
function swap(values: ArrayLike<number>, channels: number, pixels: number): Float64Array {
  const swapped = new Float64Array(values.length);
  for (let p = 0; p < values.length; p++) {
    const [row, rest] = [Math.floor(p / (channels * pixels)), p % (channels * pixels)];
    swapped[(row * pixels + (rest % pixels)) * channels + Math.floor(rest / pixels)] = values[p] ?? 0;
  }
  return swapped;
}

function multiply(
  layer: ProductLayer,
  way: 'forward' | 'backward',
  source: number,
  weights: number,
  target: number,
  rows: number,
): void {
  const [k, n] = way === 'forward' ? [layer.inputs, layer.columns] : [layer.columns, layer.inputs];
  const { points, block } = layer;
  const [from, to] = way === 'forward' ? [block.inputs, block.outputs] : [block.outputs, block.inputs];
  const tiles = rows * layer.rowTiles;
  kernels.product(
    source,
    from.plane,
    from.panel,
    k / 16,
    weights,
    k * 64,
    points * k * 64,
    n / 16,
    target,
    to.plane,
    to.panel,
    points,
    tiles,
  );
}

describe.each(['conv2', 'conv3', 'conv4', 'conv5'] as const)('%s', (name: ConvolutionName) => {
  const shape = convolutions.find((conv) => conv.name === name);
  if (shape === undefined) throw new Error(name);
  const layer = productLayers[name];
  const rows = 2;
  const { inputs, outputs, inputSize, outputSize, pooled } = shape;
  const x = noise(rows * inputs * inputSize ** 2);
  const weight = noise(outputs * inputs * 9, 2).map((value) => Math.fround(value / 24));
  const bias = noise(outputs, 3).map((value) => Math.fround(value / 4));

  // Of conv2's input each panel is an array of its own; the others' are [pixels][channels].
  const panelOffset = (panel: number): number => panel * 64 * (name === 'conv2' ? rows * inputSize ** 2 : 1);
  /** From [pixels][channels] of all rows, and back. */
  const positions = Array.from({ length: x.length }, (_, p) => {
    const [pixel, channel] = [Math.floor(p / inputs), p % inputs];
    return name === 'conv2' ? panelOffset(Math.floor(channel / 16)) / 4 + pixel * 16 + (channel % 16) : p;
  });
  const toPanels = (values: Float64Array): Float64Array => {
    const panels = new Float64Array(values.length);
    positions.forEach((position, p) => (panels[position] = values[p] ?? 0));
    return panels;
  };
  const fromPanels = (panels: Float64Array): Float64Array =>
    Float64Array.from(positions, (position) => panels[position] ?? 0);

  /** V, and U and UT of all panels. */
  function prepare(): { scratch: number; v: number; u: number; ut: number; m: number } {
    reset();
    const scratch = take(scratchBytes);
    const [wAt, xAt] = [place(weight), place(toPanels(swap(x, inputs, inputSize ** 2)))];
    const bytes = layer.points * layer.inputs * layer.columns * 4;
    const [u, ut] = [take(bytes), take(bytes)];
    for (let panel = 0; panel < outputPanels(layer); panel++) {
      const [from, to] = [panel * 16 * inputs * 36, panel * layer.points * inputs * 64];
      kernels[`${name}Weights`](wAt + from, u + to, ut, panel * 16, scratch);
    }
    const [v, m] = [take(layer.block.inputs.bytes), take(layer.block.outputs.bytes)];
    const { plane, panel: panelBytes } = layer.block.inputs;
    for (let panel = 0; panel < inputPanels(layer); panel++) {
      kernels[`${name}Input`](xAt + panelOffset(panel), rows, v + panel * panelBytes, plane, scratch);
    }
    return { scratch, v, u, ut, m };
  }

  it('gives the activations of a direct convolution, relu and pool', () => {
    const { scratch, v, u, m } = prepare();
    multiply(layer, 'forward', v, u, m, rows);
    const biasAt = place(bias);
    const direct = layers.reluForward(layers.conv2dForward(shape, rows, x, weight, bias));
    const size = pooled ? outputSize / 2 : outputSize;
    const expected = pooled ? layers.maxPool2Forward(outputSize, direct).output : direct;
    const y = take(expected.length * 4);
    const choices = take(expected.length);
    const { plane, panel: panelBytes } = layer.block.outputs;
    for (let panel = 0; panel < outputPanels(layer); panel++) {
      const [biases, channel] = [biasAt + panel * 64, panel * 16];
      const [yAt, choicesAt] = [y + channel * 4, choices + channel];
      kernels[`${name}Output`](m + panel * panelBytes, plane, biases, rows, yAt, choicesAt, scratch);
    }
    expect(relativeL2(swap(floats(y, expected.length), size ** 2, outputs), expected)).toBeLessThan(1e-5);
    const on = Array.from(new Int8Array(memory.buffer, choices, expected.length), (choice) => choice < 0 !== pooled);
    expect(on).toEqual(Array.from(floats(y, expected.length), (value) => value > 0));
  });

  it('gives the weight, bias and input gradients of the direct convolution', () => {
    const { scratch, v, ut, m } = prepare();
    // Through relu and pool everywhere open: every activation positive, every window's maximum in its first place.
    const size = pooled ? outputSize / 2 : outputSize;
    const delta = noise(rows * outputs * size ** 2, 4);
    const spread = pooled ? spreadToCorners(delta, outputSize) : delta;
    const deltaAt = place(swap(delta, outputs, size ** 2));
    const choices = take(delta.length);
    new Int8Array(memory.buffer, choices, delta.length).fill(pooled ? 0 : -1);
    kernels[`${name}OutputAdjoint`](
      deltaAt,
      choices,
      rows,
      m,
      layer.block.outputs.plane,
      layer.block.outputs.panel,
      scratch,
    );

    const expectedWeight = new Float64Array(weight.length);
    const expectedBias = new Float64Array(outputs);
    layers.conv2dBackwardParameters(shape, rows, x, spread, expectedWeight, expectedBias);
    const { weightGradient, biasGradient } = gradients(layer, v, m, rows, scratch);
    expect(relativeL2(weightGradient, expectedWeight)).toBeLessThan(1e-5);
    expect(relativeL2(biasGradient, expectedBias)).toBeLessThan(1e-5);

    const dv = take(layer.block.inputs.bytes);
    multiply(layer, 'backward', m, ut, dv, rows);
    const dx = take(x.length * 4);
    const { plane, panel: panelBytes } = layer.block.inputs;
    for (let panel = 0; panel < inputPanels(layer); panel++) {
      kernels[`${name}InputAdjoint`](dv + panel * panelBytes, plane, rows, dx + panelOffset(panel), scratch);
    }
    const expected = layers.conv2dBackwardInput(shape, rows, weight, spread);
    const channelsLast = fromPanels(Float64Array.from(floats(dx, x.length)));
    expect(relativeL2(swap(channelsLast, inputSize ** 2, inputs), expected)).toBeLessThan(1e-5);
  });
});

/** [planes][size / 2][size / 2] to [planes][size][size], each value in the first place of its 2x2 window. */
function spreadToCorners(delta: Float64Array, size: number): Float64Array {
  const spread = new Float64Array(delta.length * 4);
  delta.forEach((value, p) => {
    const [plane, y, x] = [Math.floor(p / (size / 2) ** 2), Math.floor(p / (size / 2)) % (size / 2), p % (size / 2)];
    spread[(plane * size + 2 * y) * size + 2 * x] = value;
  });
  return spread;
}

/** Weight and bias gradient of one leaf, in PyTorch's layout. */
function gradients(layer: ProductLayer, v: number, dm: number, rows: number, scratch: number) {
  const { points, inputs, outputs } = layer;
  const unitBytes = (points * inputs + 1) * 64;
  const accumulator = take(nodeBytes(layer));
  sumGroups(layer, v, dm, { leaves: { start: 0, end: 1 }, rows, microBatch: rows }, [accumulator]);
  const weight = take(outputs * inputs * 36);
  const biases = new Float32Array(outputs);
  const name = layer.name as ConvolutionName;
  for (let panel = 0; panel < outputPanels(layer); panel++) {
    const unit = accumulator + panel * unitBytes;
    kernels[`${name}WeightsAdjoint`](unit, 1, weight + panel * 16 * inputs * 36, scratch);
    biases.set(floats(unit + points * inputs * 64, 16), panel * 16);
  }
  return { weightGradient: floats(weight, outputs * inputs * 9), biasGradient: biases };
}

/** All groups of a shard, from inputs and deltas of all its rows. */
function sumGroups(
  layer: ProductLayer,
  inputs: number,
  deltas: number,
  shard: GradientShard,
  accumulators: readonly number[],
): void {
  const { words, groups } = planGradients(layer, shard);
  const [segments, nodes] = [take(words.byteLength), take(nodesBytes)];
  new Int32Array(memory.buffer, segments, words.length).set(words);
  floats(nodes, nodesBytes / 4).fill(0);
  const stack = take(stackBytes(layer, shard.leaves.end - shard.leaves.start, shard.microBatch));
  for (const group of groups) {
    const places = { inputs, deltas: deltas + blockOffset(layer, group.first), segments, nodes, stack, accumulators };
    sumGroup(kernels, layer, places, group);
  }
}

describe('an image', () => {
  const image = new Uint8Array(784).map((_, i) => (Math.imul(i + 1, 0x9e3779b1) >>> 24) * (i % 3));
  const load = (transform: Float32Array): Float32Array => {
    reset();
    const source = take(784);
    new Uint8Array(memory.buffer, source, 784).set(image);
    const target = take(784 * 4);
    kernels.loadTransformed(source, place(transform), target);
    return floats(target, 784).slice();
  };

  it('stays what it is under the transform that is none', () => {
    expect([...load(Float32Array.of(1, 0, 0, 0, 1, 0))]).toEqual([...image]);
  });

  it('is shifted by whole pixels exactly, with nothing beyond its edge', () => {
    const shifted = load(Float32Array.of(1, 0, 2, 0, 1, -3));
    for (let y = 0; y < 28; y++) {
      for (let x = 0; x < 28; x++) {
        const inside = x + 2 < 28 && y - 3 >= 0;
        expect(shifted[28 * y + x]).toBe(inside ? image[28 * (y - 3) + x + 2] : 0);
      }
    }
  });

  it('has a middle between pixels half of each', () => {
    const halves = load(Float32Array.of(1, 0, 0.5, 0, 1, 0));
    for (let x = 0; x < 27; x++) expect(halves[x]).toBe(((image[x] ?? NaN) + (image[x + 1] ?? NaN)) / 2);
  });

  it('is transformed to the bits of plain loops, far beyond its edges too', () => {
    const expected = new Float32Array(784);
    for (let row = 0; row < 200; row++) {
      const transform = new Float32Array(transformLength);
      const config = { seed: row, rotation: 180, translation: row % 3 === 0 ? 28 : 4, scaling: 0.9, shear: 60 };
      drawTransform(config, 0, row, transform, 0);
      transformImage(image, transform, expected);
      expect(Buffer.compare(Buffer.from(load(transform).buffer), Buffer.from(expected.buffer))).toBe(0);
    }
  });

  it('comes near what one would see: a turned digit is that digit turned back', () => {
    const blurred = new Uint8Array(784).map((_, i) => {
      const [x, y] = [(i % 28) - 13.5, Math.floor(i / 28) - 13.5];
      return 255 * Math.exp(-((x - 4) ** 2 + (y + 2) ** 2) / 18);
    });
    const [there, back] = [new Float32Array(transformLength), new Float32Array(784)];
    const [cosine, sine] = [Math.cos(0.6), Math.sin(0.6)];
    there.set([cosine, -sine, 13.5 - 13.5 * (cosine - sine), sine, cosine, 13.5 - 13.5 * (sine + cosine)]);
    transformImage(blurred, there, back);
    for (let i = 0; i < 784; i++) {
      const [x, y] = [(i % 28) - 13.5, Math.floor(i / 28) - 13.5];
      const [u, v] = [cosine * x - sine * y, sine * x + cosine * y];
      const expected = 255 * Math.exp(-((u - 4) ** 2 + (v + 2) ** 2) / 18);
      expect(Math.abs((back[i] ?? NaN) - expected)).toBeLessThan(8);
    }
  });
});

describe('conv1', () => {
  const shape = convolutions[0];
  const image = noise(784, 5).map((value) => Math.abs(Math.round(value * 255)));
  const weight = noise(576, 6);
  const bias = noise(64, 7);
  const panelBytes = 676 * 64;
  /** [channels][pixels] to [panels][pixels][16], and back. */
  const panels = (values: Float64Array): Float64Array =>
    values.map((_, p) => values[(Math.floor(p / (676 * 16)) * 16 + (p % 16)) * 676 + (Math.floor(p / 16) % 676)] ?? 0);
  const channelsFirst = (values: Float32Array): Float32Array =>
    values.map(
      (_, p) => values[Math.floor(p / (676 * 16)) * 676 * 16 + (p % 676) * 16 + (Math.floor(p / 676) % 16)] ?? 0,
    );

  it('gives relu of the direct convolution, and its gradients behind the mask', () => {
    reset();
    const bytes = take(784);
    new Uint8Array(memory.buffer, bytes, 784).set(image);
    const [imageAt, y, signs] = [take(784 * 4), take(676 * 64 * 4), take(676 * 8)];
    const packed = place(
      Array.from({ length: 640 }, (_, p) => {
        const [panel, tap, o] = [Math.floor(p / 160), Math.floor(p / 16) % 10, p % 16];
        return (tap === 9 ? bias[panel * 16 + o] : weight[(panel * 16 + o) * 9 + tap]) ?? 0;
      }),
    );
    kernels.loadImage(bytes, imageAt);
    for (let panel = 0; panel < 4; panel++) {
      kernels.conv1Forward(imageAt, packed + panel * 640, y + panel * panelBytes, signs + panel * 2);
    }
    const expected = layers.reluForward(layers.conv2dForward(shape, 1, image, weight, bias));
    const activation = channelsFirst(floats(y, 676 * 64));
    expect(relativeL2(activation, expected)).toBeLessThan(1e-6);

    const delta = noise(676 * 64, 8);
    const deltaAt = place(panels(delta));
    const gradient = place(new Float32Array(640));
    for (let panel = 0; panel < 4; panel++) {
      kernels.conv1Gradient(imageAt, signs + panel * 2, deltaAt + panel * panelBytes, gradient + panel * 640);
    }
    const [expectedWeight, expectedBias] = [new Float64Array(576), new Float64Array(64)];
    const masked = layers.reluBackward(expected, Float64Array.from(delta));
    layers.conv2dBackwardParameters(shape, 1, image, masked, expectedWeight, expectedBias);
    const got = floats(gradient, 640);
    const at = (channel: number, tap: number): number =>
      got[(Math.floor(channel / 16) * 10 + tap) * 16 + (channel % 16)] ?? 0;
    expect(
      relativeL2(
        expectedWeight.map((_, p) => at(Math.floor(p / 9), p % 9)),
        expectedWeight,
      ),
    ).toBeLessThan(1e-5);
    expect(
      relativeL2(
        expectedBias.map((_, c) => at(c, 9)),
        expectedBias,
      ),
    ).toBeLessThan(1e-5);
  });
});

describe('weight and bias gradients', () => {
  /** Shards whose leaves are whole groups, single groups, parts of blocks, several blocks, or short. */
  const shards = [
    { rows: 45, microBatch: 4, leaves: { start: 3, end: 15 } },
    { rows: 128, microBatch: 8, leaves: { start: 0, end: 16 } },
    { rows: 71, microBatch: 8, leaves: { start: 7, end: 16 } },
    { rows: 100, microBatch: 50, leaves: { start: 0, end: 2 } },
    { rows: 37, microBatch: 1, leaves: { start: 27, end: 64 } },
    { rows: 3, microBatch: 8, leaves: { start: 15, end: 16 } },
  ];
  const each = (['linear1', 'conv5', 'conv4'] as const).flatMap((name) => shards.map((shard) => ({ name, ...shard })));

  it.each(each)('of $name add $rows rows up by the tree, $microBatch a leaf, to the bit', (shard) => {
    reset();
    const layer = productLayers[shard.name];
    const { rows, microBatch, leaves } = shard;
    const { block, blockRows, rowTiles } = layer;
    const blocks = Math.ceil(rows / blockRows);
    const fill = (bytes: number, seed: number): number => place(noise(bytes / 4, seed));
    const v = fill(blocks * block.inputs.bytes, 9);
    const d = fill(blocks * block.outputs.bytes, 10);
    const accumulators = subtreesOf(leaves).map(() => take(nodeBytes(layer)));
    sumGroups(layer, v, d, shard, accumulators);

    /** At the first point. */
    const value = (base: number, side: 'inputs' | 'outputs', tile: number, column: number): number => {
      const position = Math.floor(tile / (blockRows * rowTiles));
      const at = base + position * block[side].bytes + Math.floor(column / 16) * block[side].panel;
      return floats(at + (tile % (blockRows * rowTiles)) * 64 + (column % 16) * 4, 1)[0] ?? 0;
    };
    /** The sum of `term` over the tiles of each leaf, in their order, and then by the tree: one a subtree. */
    const sum = (term: (tile: number) => number): (number | undefined)[] => {
      const sums = Array.from({ length: leaves.end - leaves.start }, (_, leaf) => {
        const range = { start: leaf * microBatch, end: Math.min((leaf + 1) * microBatch, rows) };
        let total = 0;
        for (let tile = range.start * rowTiles; tile < range.end * rowTiles; tile++) {
          total = Math.fround(total + Math.fround(term(tile)));
        }
        return total;
      });
      for (const { target, source } of mergesOfLeaves(leaves))
        sums[target] = Math.fround((sums[target] ?? 0) + (sums[source] ?? 0));
      return subtreesOf(leaves).map((subtree) => sums[subtree.start - leaves.start]);
    };
    const unit = layer.points * layer.inputs * 16 + 16;
    const result = (row: number, n: number): (number | undefined)[] =>
      accumulators.map(
        (offset) => floats(offset, nodeBytes(layer) / 4)[Math.floor(n / 16) * unit + row * 16 + (n % 16)],
      );
    const biasTerms = (n: number) => (tile: number) =>
      value(d + layer.biasPoint * block.outputs.plane, 'outputs', tile, n);
    for (const [k, n] of [
      [0, 0],
      [17, 5],
      [layer.inputs - 1, layer.columns - 1],
    ] as const) {
      const expected = sum((tile) => value(v, 'inputs', tile, k) * value(d, 'outputs', tile, n));
      expect(result(k, n)).toEqual(expected);
      expect(result(layer.points * layer.inputs, n)).toEqual(sum(biasTerms(n)));
    }
  });

  it('stay in the room that is planned for their segments, deltas and open nodes', () => {
    for (const { rows, microBatch, leaves } of shards) {
      const count = leaves.end - leaves.start;
      for (const layer of Object.values(productLayers)) {
        const { words, groups } = planGradients(layer, { rows, microBatch, leaves });
        expect(words.length / segmentFields.length).toBeLessThanOrEqual(maxSegments(layer, count, rows));
        const room = stackBytes(layer, count, microBatch) / nodeBytes(layer);
        for (const { first, end, open, merges, finished } of groups) {
          expect(finished < 0 ? open - merges + 1 : open).toBeLessThanOrEqual(room);
          const bytes = blockOffset(layer, end - 1) + layer.block.outputs.bytes - blockOffset(layer, first);
          expect(bytes).toBeLessThanOrEqual(deltaBytes(layer, microBatch, rows));
        }
        expect(groups.flatMap(({ first, end }) => [first, end])).toEqual(
          groups.flatMap((_, i) => [groups[i - 1]?.end ?? 0, groups[i + 1]?.first ?? rows]),
        );
      }
    }
  });
});

describe('batch norm, loss and Adam', () => {
  it('sums statistics as the reference does', () => {
    reset();
    const [channels, pixels, rows] = [64, 9, 3];
    const [x, dy] = [noise(rows * channels * pixels, 11), noise(rows * channels * pixels, 12)];
    const [xAt, dyAt] = [place(swap(x, channels, pixels)), place(swap(dy, channels, pixels))];
    const [zero, one] = [place(new Float32Array(channels)), place(new Float32Array(channels).fill(1))];
    const sums = new Float64Array(memory.buffer, take(2 * channels * 8), 2 * channels);
    kernels.normSums(xAt, rows * pixels, channels, sums.byteOffset);
    const shape = { channels, pixels };
    expect(relativeL2(sums, batchNormForwardSums(shape, rows, x))).toBeLessThan(1e-14);
    kernels.normGradientSums(xAt, dyAt, rows * pixels, channels, zero, one, sums.byteOffset);
    expect(relativeL2(sums, batchNormBackwardSums(shape, rows, dy, x))).toBeLessThan(1e-14);
  });

  it.each([
    ['lossGradient', 'double-softmax'],
    ['crossEntropyGradient', 'cross-entropy'],
  ] as const)('gives loss and gradient, %s, of %s', (kernel, loss) => {
    reset();
    const rows = 7;
    const labels = Uint8Array.from({ length: rows }, (_, row) => (row * 3) % 10);
    const logits = noise(rows * 10, 13).map((value) => 4 * value);
    const bias = noise(10, 14);
    const shifted = logits.map((value, p) => Math.fround(value + (bias[p % 10] ?? 0)));
    const z = take(rows * 64);
    logits.forEach((value, p) => (floats(z, rows * 16)[Math.floor(p / 10) * 16 + (p % 10)] = value));
    const labelsAt = take(rows);
    new Uint8Array(memory.buffer, labelsAt, rows).set(labels);
    const numbers = take(rows * 4);
    new Uint32Array(memory.buffer, numbers, rows).set(labels.map((_, row) => row));
    const losses = new Float64Array(memory.buffer, take(rows * 8), rows);
    kernels[kernel](z, place(bias), rows, labelsAt, numbers, losses.byteOffset, take(256));
    const expected = lossFunctions[loss](rows, softmax(rows, shifted), labels);
    expect(losses.reduce((sum, loss) => sum + loss, 0)).toBeCloseTo(expected.loss, 12);
    const got = logits.map((_, p) => floats(z, rows * 16)[Math.floor(p / 10) * 16 + (p % 10)] ?? 0);
    expect(relativeL2(got, expected.logitsGradient)).toBeLessThan(1e-6);
  });

  it('gives a finite loss where a logit is far below the largest', () => {
    reset();
    const z = place([200, -900, ...new Float32Array(14)]);
    const label = take(1);
    new Uint8Array(memory.buffer, label, 1).set([1]);
    const loss = new Float64Array(memory.buffer, take(8), 1);
    kernels.crossEntropyGradient(z, place(new Float32Array(10)), 1, label, place([0]), loss.byteOffset, take(256));
    expect(loss[0]).toBe(1100);
    expect([...floats(z, 3)]).toEqual([1, -1, 0]);
  });

  it.each([3, 64, 67])('averages %i values, each operation rounded once', (length) => {
    reset();
    const [average, values] = [noise(length, 19), noise(length, 20)];
    const next = take(length * 4);
    kernels.averageOf(place(average), place(values), length, 0.999, next);
    const { fround } = Math;
    const [kept, added] = [fround(0.999), fround(1 - 0.999)];
    const expected = average.map((value, i) => fround(fround(kept * value) + fround(added * (values[i] ?? NaN))));
    expect([...floats(next, length)]).toEqual([...expected]);
  });

  it.each([3, 64, 67])("takes Adam's step of %i values at the default epsilon, tiny gradients included", (length) => {
    reset();
    const g = noise(length, 15).map((value, i) => Math.fround(i % 3 === 0 ? value * 1e-9 : value));
    const [w, m, v] = [noise(length, 16), noise(length, 17), noise(length, 18).map(Math.abs)];
    const [gAt, wAt, mAt, vAt] = [place(g), place(w), place(m), place(v)];
    const [nextW, nextM, nextV] = [take(length * 4), take(length * 4), take(length * 4)];
    const [b1, b2, t1, t2] = [0.9, 0.999, 0.9 ** 3, 0.999 ** 3];
    const finite = kernels.adam(gAt, length, wAt, mAt, vAt, nextW, nextM, nextV, 1e-3, b1, b2, 1e-8, t1, t2);
    const first = m.map((value, i) => b1 * value + (1 - b1) * (g[i] ?? 0));
    const second = v.map((value, i) => b2 * value + (1 - b2) * (g[i] ?? 0) ** 2);
    const move = first.map((value, i) => ((1e-3 / (1 - t1)) * value) / (Math.sqrt((second[i] ?? 0) / (1 - t2)) + 1e-8));
    expect(finite).toBe(1);
    expect(relativeL2(floats(nextM, length), first)).toBeLessThan(1e-6);
    expect(relativeL2(floats(nextV, length), second)).toBeLessThan(1e-6);
    expect(
      relativeL2(
        floats(nextW, length),
        w.map((value, i) => value - (move[i] ?? 0)),
      ),
    ).toBeLessThan(1e-7);
    floats(gAt, length)[length - 1] = NaN;
    expect(kernels.adam(gAt, length, wAt, mAt, vAt, nextW, nextM, nextV, 1e-3, b1, b2, 1e-8, t1, t2)).toBe(0);
  });
});

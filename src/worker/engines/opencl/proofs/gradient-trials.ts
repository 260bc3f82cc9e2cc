/** Trials of what follows the summation tree, and of the optimiser. */
import type { ReplicaBinding, StateSet } from '../../../../shared/engine.js';
import { batchNormChannels, batchNorms, parameterCount } from '../../../../shared/model/network.js';
import { mergesOfLeaves } from '../../../../shared/sums/tree.js';
import { nodesBytes, segmentFields } from '../../wasm/gradient-segments.js';
import { UnitWork } from '../../wasm/unit-work.js';
import { sumGroup } from '../../wasm/weight-gradients.js';
import { scratchBytes } from '../../wasm/workspace.js';
import {
  doubleBytes,
  floatBytes,
  inputPanels,
  lineBytes,
  outputPanels,
  panelWidth,
  productLayers,
  productNames,
  unitLength,
  type ProductLayer,
} from '../../winograd/geometry.js';
import { accumulatorLength, normOffset, preparedBytes, productOffset, units } from '../../winograd/units.js';
import { biasColumns, groupSizes } from '../kernels/gradients.js';
import type { Argument } from '../driver/program.js';
import { allFinite, updateKernels } from '../kernels/optimiser.js';
import { blockSums } from '../kernels/products.js';
import { setScalars } from '../passes/optimiser.js';
import { leaves, microBatch, rows, tilesOf, type Trial, type Trials } from './trial-shape.js';
import type { Both, Workbench } from './workbench.js';

/**
 * The gradients of all products' weights and biases and of the batch norms: of each of two leaves, and then their sum. conv1's are
 * left out.
 */
const gradients: Trial = (bench) => {
  const { arena } = bench;
  const sums = bench.room(accumulatorLength * floatBytes);
  const target = arena.room(accumulatorLength * floatBytes);
  const first = normOffset('bn2');
  arena.result(target + first * floatBytes, accumulatorLength - first);
  bench.arrives(sums, first * floatBytes, target + first * floatBytes, (accumulatorLength - first) * floatBytes);
  const slots = bench.room(leaves * accumulatorLength * floatBytes);
  const biases = productNames.flatMap((name) => productGradients(bench, productLayers[name], slots, target));
  const shard = [{ int32: 0 }, { int32: rows }, { int32: microBatch }];
  bench.lines('biasGradients', [...biases, slots, ...shard], biasColumns, leaves);
  const leafSums = batchNorms.map(({ name, channels }) => {
    const given = givenSums(bench, leaves * 2 * channels);
    const gradient = target + normOffset(name) * floatBytes;
    const second = arena.room(2 * channels * floatBytes);
    bench.wasm.storeNormGradient(given.at, channels, gradient);
    bench.wasm.storeNormGradient(given.at + 2 * channels * doubleBytes, channels, second);
    bench.wasm.add(gradient, second, 2 * channels);
    return given.buffer;
  });
  bench.lines('normGradients', [...leafSums, slots, { int32: 0 }], 2 * batchNormChannels, leaves);
  const zero = { int32: 0 };
  const group = [slots, zero, slots, zero, zero, sums, zero, { int32: accumulatorLength / 4 }];
  bench.items('sumLeaves2', group, accumulatorLength / 4);
};

/** float64 [count]; of a device without float64, rounded there. */
function givenSums(bench: Workbench, count: number): Both {
  const given = bench.givenDoubles(count);
  if (bench.float64) return given;
  const sums = new Float64Array(bench.arena.memories[1].buffer, given.at, count);
  const { buffer } = bench.givenWords(new Uint32Array(Float32Array.from(sums).buffer));
  return { at: given.at, buffer };
}

/** Of weights; returns what the biases' kernel is given of the layer. */
function productGradients(
  bench: Workbench,
  layer: ProductLayer,
  slots: Both['buffer'],
  target: number,
): readonly Argument[] {
  const { panel, padded, inputPlane, outputPlane, inputFloats, outputFloats } = tilesOf(layer.name);
  const [k, n] = [inputPanels(layer), outputPanels(layer)];
  const [a, d] = [bench.given(inputFloats), bench.given(outputFloats)];
  const leafBytes = microBatch * layer.rowTiles * lineBytes;
  const segments = Array.from({ length: leaves }, (_, leaf) => {
    const fields = { input: leaf * leafBytes, output: leaf * leafBytes, bytes: leafBytes, merges: leaf, goesOn: 0 };
    return segmentFields.map((field) => fields[field]);
  }).flat();
  const list = bench.arena.givenWords(segments);
  const nodes = bench.arena.zeros(nodesBytes);
  const layouts = { inputs: { plane: inputPlane, panel }, outputs: { plane: outputPlane, panel } };
  sumGroup(
    bench.wasm,
    {
      ...layer,
      block: { ...layer.block, inputs: { ...layouts.inputs, bytes: 0 }, outputs: { ...layouts.outputs, bytes: 0 } },
    },
    {
      inputs: a.at,
      deltas: d.at,
      segments: list,
      nodes,
      stack: 0,
      accumulators: [target + productOffset(layer.name) * floatBytes],
    },
    { first: 0, end: rows, from: 0, to: segments.length, open: 0, merges: 0, finished: 0 },
  );
  bench.launch(
    'weightGradient',
    [
      ...[a.buffer, { int32: panel / 16 }, { int32: k }, d.buffer, { int32: panel / 16 }, { int32: n }, slots],
      ...[{ int32: accumulatorLength }, { int32: productOffset(layer.name) }, { int32: unitLength(layer) }],
      ...[{ int32: leaves }, { int32: 0 }, { int32: microBatch * layer.rowTiles }, { int32: rows * layer.rowTiles }],
    ],
    (kernel) => {
      const blocks = (panels: number): number => Math.ceil((panels * panelWidth) / blockSums(bench.side)) * bench.side;
      return kernel.setSize([blocks(n), blocks(k), layer.points * leaves], [bench.side, bench.side, 1]);
    },
  );
  return [d.buffer, padded];
}

/** A group of `size` leaves that joins the two nodes before it. */
const sumLeaves =
  (size: number): Trial =>
  (bench) => {
    const { arena } = bench;
    const length = 256;
    const slots = bench.given(size * length);
    const stack = bench.given(3 * length);
    const sum = bench.made(length);
    const [copies] = arena.memories.map(({ buffer }) => new Float32Array(buffer)) as [Float32Array, Float32Array];
    const own = arena.room(size * length * floatBytes);
    copies.copyWithin(own / 4, slots.at / 4, slots.at / 4 + size * length);
    for (const { target, source } of mergesOfLeaves({ start: 0, end: size })) {
      bench.wasm.add(own + target * length * floatBytes, own + source * length * floatBytes, length);
    }
    for (const node of [2, 1]) {
      const place = arena.room(length * floatBytes);
      copies.copyWithin(place / 4, stack.at / 4 + node * length, stack.at / 4 + (node + 1) * length);
      bench.wasm.add(place, own, length);
      copies.copyWithin(own / 4, place / 4, place / 4 + length);
    }
    copies.copyWithin(sum.at / 4, own / 4, own / 4 + length);
    const values = [slots.buffer, { int32: 0 }, stack.buffer, { int32: 3 }, { int32: 2 }, sum.buffer];
    bench.items(`sumLeaves${String(size)}`, [...values, { int32: 0 }, { int32: length / 4 }], length / 4);
  };

const adam = {
  learningRate: 1e-3,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  beta1Power: 0.729,
  beta2Power: 0.997,
  averageDecay: 0.9,
};
const globalRows = 7;

/** The unit work of the wasm engine on the arena's first memory. */
function unitWork(bench: Workbench, sets: readonly [StateSet, StateSet], prepared: number): UnitWork {
  const gradients = bench.arena.room(parameterCount * floatBytes);
  const binding = { prepared, gradients, sets, inputDivisor: 1 } as unknown as ReplicaBinding;
  return new UnitWork(bench.wasm, binding, bench.arena.room(scratchBytes));
}

/** The whole step from the tree's sum to the new state, and to what is prepared of it. */
const update: Trial = (bench) => {
  const sums = bench.given(accumulatorLength);
  const [w, m, v] = [bench.given(parameterCount), bench.given(parameterCount), bench.given(parameterCount)];
  const [nextW, nextM, nextV] = [bench.made(parameterCount), bench.made(parameterCount), bench.made(parameterCount)];
  const prepared = bench.made(preparedBytes / floatBytes);
  const set = (parameters: number, firstMoments: number, secondMoments: number): StateSet => {
    return { parameters, firstMoments, secondMoments, runningStatistics: 0, average: null };
  };
  const work = unitWork(bench, [set(w.at, m.at, v.at), set(nextW.at, nextM.at, nextV.at)], prepared.at);
  units.forEach((_, unit) => {
    work.finish(unit, sums.at, globalRows);
    work.update(unit, 0, 1, adam);
  });
  const scalars = bench.room(32);
  const notFinite = bench.givenWords([allFinite, 0]);
  bench.launch('adamScalars', [scalars, notFinite.buffer], (kernel) =>
    setScalars(kernel, bench.wasm, 0, adam).setSize([1]),
  );
  const state = [w, m, v, nextW, nextM, nextV, prepared].map(({ buffer }) => buffer);
  for (const { name, lanes, count } of updateKernels) {
    bench.lines(
      `${name}Update`,
      [sums.buffer, ...state, scalars, { float32: globalRows }, notFinite.buffer],
      lanes,
      count,
    );
  }
};

/** The average of the weights of a step. */
const average: Trial = (bench) => {
  const length = 99;
  const [old, values, next] = [bench.given(length), bench.given(length), bench.made(length)];
  bench.wasm.averageOf(old.at, values.at, length, adam.averageDecay, next.at);
  const scalars = bench.givenWords(new Uint32Array(Float32Array.of(0, 0, 0, 0, 0, 0, 0, 1).buffer));
  const decay = [{ float32: adam.averageDecay }, { float32: 1 - adam.averageDecay }];
  bench.items(
    'averageOf',
    [...[old, values, next, scalars].map(({ buffer }) => buffer), ...decay, { int32: length }],
    length,
  );
};

/** What the products and conv1 need of parameters. */
const prepare: Trial = (bench) => {
  const w = bench.given(parameterCount);
  const prepared = bench.made(preparedBytes / floatBytes);
  const set = { parameters: w.at, firstMoments: 0, secondMoments: 0, runningStatistics: 0, average: null };
  const work = unitWork(bench, [set, set], prepared.at);
  units.forEach((_, unit) => {
    work.prepare(unit, 0, false);
  });
  for (const { name, lanes, count } of updateKernels) {
    bench.lines(`${name}Prepare`, [w.buffer, prepared.buffer], lanes, count);
  }
};

export const gradientTrials: Trials = {
  gradients,
  ...Object.fromEntries(groupSizes.map((size) => [`sumLeaves${String(size)}`, sumLeaves(size)])),
  update,
  average,
  prepare,
};

/**
 * Whether the wide kernels give the bits of the narrow ones on this machine: each is run by both modules on the same data, in a
 * memory of either's own, before anything is trained with the wide ones. What V8 makes of a module is the same for every
 * thread, so this is asked once for a process.
 *
 * Bits of NaN are not compared: WebAssembly leaves them open, and a run stops before it commits a NaN.
 */
import { convolutions } from '../../../../shared/model/network.js';
import { staticBytes } from '../../../../shared/group/memory.js';
import { Arena } from '../../winograd/comparison-arena.js';
import {
  blocksBytes,
  conv1Signs,
  conv1Values,
  lineBytes,
  productLayers,
  type ConvolutionName,
} from '../../winograd/geometry.js';
import { deltaBytes, nodesBytes, planGradients } from '../gradient-segments.js';
import { instantiateKernels, type Kernels } from '../kernels.js';
import { conv1Length } from '../../winograd/units.js';
import { scratchBytes } from '../workspace.js';

/** Lays a kernel's data out, and returns what to call it with. Odd numbers of rows and values: no pair is left without a rest. */
type Trials = { readonly [Name in keyof Kernels]: (arena: Arena) => Parameters<Kernels[Name]> };

/**
 * @returns `static data` where that differs, else the first kernel whose results do, or which fails in the wide module alone; null
 *   where there is none
 * @throws whatever the narrow kernels throw
 */
export function firstDifference(narrow: WebAssembly.Module, wide: WebAssembly.Module): string | null {
  const arena = new Arena(staticBytes, pages);
  const [expected, actual] = [
    instantiateKernels(narrow, arena.memories[0]),
    instantiateKernels(wide, arena.memories[1]),
  ];
  if (!arena.isStaticDataEqual()) return 'static data';
  for (const name of kernelNames) {
    arena.reset();
    const parameters = trials[name](arena);
    const wanted = call(expected, name, parameters);
    let got: unknown;
    try {
      got = call(actual, name, parameters);
    } catch (error) {
      if (error instanceof WebAssembly.RuntimeError) return name;
      throw error;
    }
    if (!Object.is(got, wanted) || !arena.isEqual()) return name;
  }
  return null;
}

function call(kernels: Kernels, name: keyof Kernels, parameters: readonly number[]): unknown {
  const byName = kernels as unknown as Readonly<Record<keyof Kernels, (...parameters: readonly number[]) => unknown>>;
  return byName[name](...parameters);
}

/** The largest trial is a layer's transformed weights. */
const pages = 64;

/** Rows of a trial, and of a convolution's, whose rows have many tiles each but for conv5's. */
const rows = 3;
const convolutionRows = { conv2: 1, conv3: 1, conv4: 1, conv5: 5 } as const;

/** A convolution, the tiles of a panel packed without gaps but for one line a plane. */
function layerOf(name: ConvolutionName) {
  const shape = convolutions.find((conv) => conv.name === name);
  if (shape === undefined) throw new Error(`no convolution ${name}`);
  const { points, inputs, outputs, rowTiles } = productLayers[name];
  const rows = convolutionRows[name];
  const plane = rows * rowTiles * lineBytes + lineBytes;
  const side = shape.pooled ? shape.outputSize / 2 : shape.outputSize;
  return {
    rows,
    points,
    inputs,
    outputs,
    plane,
    /** Floats of all points of one panel. */
    tiles: (points * plane) / 4,
    /** Values of the activations before and behind it; of conv2's input there is one panel at a time. */
    source: rows * shape.inputSize * shape.inputSize * (name === 'conv2' ? 16 : inputs),
    target: rows * side * side * outputs,
    pooled: shape.pooled,
  };
}

const input = (name: ConvolutionName) => (arena: Arena) => {
  const { rows, plane, tiles, source } = layerOf(name);
  return [arena.given(source), rows, arena.made(tiles), plane, arena.room(scratchBytes)] as const;
};

const output = (name: ConvolutionName) => (arena: Arena) => {
  const { rows, plane, tiles, target } = layerOf(name);
  const [m, bias, y] = [arena.given(tiles), arena.ordinary(16), arena.made(target)];
  return [m, plane, bias, rows, y, arena.madeBytes(target), arena.room(scratchBytes)] as const;
};

const outputAdjoint = (name: ConvolutionName) => (arena: Arena) => {
  const { rows, points, outputs, target, pooled } = layerOf(name);
  const delta = arena.given(target);
  // The position of a window's maximum, or -1; without a pool 0 or -1.
  const choices = arena.givenBytes(target, (random) => (pooled ? (random % 5) - 1 : -(random % 2)));
  const panel = rows * productLayers[name].rowTiles * lineBytes;
  const plane = (outputs / 16) * panel + lineBytes;
  const dm = arena.made((points * plane) / 4);
  return [delta, choices, rows, dm, plane, panel, arena.room(scratchBytes)] as const;
};

const inputAdjoint = (name: ConvolutionName) => (arena: Arena) => {
  const { rows, plane, tiles, source } = layerOf(name);
  return [arena.given(tiles), plane, rows, arena.made(source), arena.room(scratchBytes)] as const;
};

const weights = (name: ConvolutionName) => (arena: Arena) => {
  const { points, inputs, outputs } = layerOf(name);
  const w = arena.given(16 * inputs * 9);
  const u = arena.made(points * inputs * 16);
  // Of UT [inputs / 16][points][outputs][16] one panel's columns.
  const column = 16;
  const ut = arena.room(points * inputs * outputs * 4);
  for (let i = 0; i < (inputs / 16) * points; i++) arena.result(ut + (i * outputs + column) * lineBytes, 16 * 16);
  return [w, u, ut, column, arena.room(scratchBytes)] as const;
};

const weightsAdjoint = (name: ConvolutionName) => (arena: Arena) => {
  const { points, inputs } = layerOf(name);
  const [du, w] = [arena.given(points * inputs * 16), arena.made(16 * inputs * 9)];
  return [du, 7, w, arena.room(scratchBytes)] as const;
};

const gradientOfLoss = (arena: Arena) => {
  const [logits, bias] = [arena.changed(rows * 16), arena.given(16)];
  const labels = arena.givenBytes(64, (random) => random % 10);
  const rowNumbers = arena.givenWords([41, 3, 17]);
  return [logits, bias, rows, labels, rowNumbers, arena.madeDoubles(rows), arena.room(256)] as const;
};

/** Channels and values of the batch norms' trials, and values of arrays that have no shape. */
const [channels, values, length] = [64, 9, 67];

const trials: Trials = {
  conv2Input: (arena) => [...input('conv2')(arena)],
  conv3Input: (arena) => [...input('conv3')(arena)],
  conv4Input: (arena) => [...input('conv4')(arena)],
  conv5Input: (arena) => [...input('conv5')(arena)],
  conv2Output: (arena) => [...output('conv2')(arena)],
  conv3Output: (arena) => [...output('conv3')(arena)],
  conv4Output: (arena) => [...output('conv4')(arena)],
  conv5Output: (arena) => [...output('conv5')(arena)],
  conv2OutputAdjoint: (arena) => [...outputAdjoint('conv2')(arena)],
  conv3OutputAdjoint: (arena) => [...outputAdjoint('conv3')(arena)],
  conv4OutputAdjoint: (arena) => [...outputAdjoint('conv4')(arena)],
  conv5OutputAdjoint: (arena) => [...outputAdjoint('conv5')(arena)],
  conv2InputAdjoint: (arena) => [...inputAdjoint('conv2')(arena)],
  conv3InputAdjoint: (arena) => [...inputAdjoint('conv3')(arena)],
  conv4InputAdjoint: (arena) => [...inputAdjoint('conv4')(arena)],
  conv5InputAdjoint: (arena) => [...inputAdjoint('conv5')(arena)],
  conv2Weights: (arena) => [...weights('conv2')(arena)],
  conv3Weights: (arena) => [...weights('conv3')(arena)],
  conv4Weights: (arena) => [...weights('conv4')(arena)],
  conv5Weights: (arena) => [...weights('conv5')(arena)],
  conv2WeightsAdjoint: (arena) => [...weightsAdjoint('conv2')(arena)],
  conv3WeightsAdjoint: (arena) => [...weightsAdjoint('conv3')(arena)],
  conv4WeightsAdjoint: (arena) => [...weightsAdjoint('conv4')(arena)],
  conv5WeightsAdjoint: (arena) => [...weightsAdjoint('conv5')(arena)],

  loadImage: (arena) => [arena.givenBytes(784, (random) => random & 255), arena.made(784)],
  loadTransformed: (arena) => [
    arena.givenBytes(784, (random) => random & 255),
    arena.givenWords(new Uint32Array(Float32Array.of(0.98, -0.21, 3.4, 0.17, 1.09, -5.2).buffer)),
    arena.made(784),
  ],
  conv1Forward: (arena) => [
    arena.given(784),
    arena.given(conv1Length),
    arena.made(conv1Values),
    arena.madeBytes(conv1Signs),
  ],
  conv1Gradient: (arena) => {
    const signs = arena.givenBytes(conv1Signs, (random) => random & 255);
    return [arena.given(784), signs, arena.changed(conv1Values), arena.changed(conv1Length)];
  },

  product: (arena) => {
    // Rows beyond the five are read and written up to the next multiple of a tile's, and no part of the result.
    const [tiles, room, kPanels, nPanels, points] = [5, 8, 4, 3, 2];
    const panel = room * lineBytes;
    const a = arena.given((points * kPanels * panel) / 4);
    const b = arena.given(points * nPanels * kPanels * 16 * 16);
    const c = arena.room(points * nPanels * panel);
    for (let i = 0; i < points * nPanels; i++) arena.result(c + i * panel, tiles * 16);
    const bPanel = kPanels * 16 * lineBytes;
    return [
      a,
      kPanels * panel,
      panel,
      kPanels,
      b,
      nPanels * bPanel,
      bPanel,
      nPanels,
      c,
      nPanels * panel,
      panel,
      points,
      tiles,
    ];
  },
  weightGradient: (arena) => {
    const { v, d, segments, end, nodes, top, merges, nodeBytes, target } = gradient(arena);
    const { inputs, outputs } = productLayers.linear1.block;
    const stack = [segments, end, nodes, top, merges, nodeBytes] as const;
    return [v, inputs.panel, gradientInputs / 16, d, outputs.panel, 2, ...stack, target, nodeBytes / 2];
  },
  biasGradient: (arena) => {
    const { d, segments, end, nodes, top, merges, nodeBytes, target } = gradient(arena);
    return [d, segments, end, nodes, top, merges, nodeBytes, target];
  },

  normSums: (arena) => [arena.given(values * channels), values, channels, arena.madeDoubles(2 * channels)],
  normGradientSums: (arena) => {
    const [x, dy] = [arena.given(values * channels), arena.given(values * channels)];
    const [mean, invStd] = [arena.given(channels), arena.given(channels)];
    return [x, dy, values, channels, mean, invStd, arena.madeDoubles(2 * channels)];
  },
  normalise: (arena) => {
    const [mean, scale, shift] = [arena.given(channels), arena.given(channels), arena.given(channels)];
    const [x, y] = [arena.given(values * channels), arena.made(values * channels)];
    return [x, values, channels, mean, scale, shift, y];
  },
  normaliseGradient: (arena) => {
    const [mean, scale, slope, shift] = [0, 1, 2, 3].map(() => arena.given(channels)) as [
      number,
      number,
      number,
      number,
    ];
    const [x, dy] = [arena.given(values * channels), arena.changed(values * channels)];
    return [x, dy, values, channels, mean, scale, slope, shift];
  },
  normForwardCoefficients: (arena) => {
    const sums = arena.givenDoubles(2 * channels);
    const [gamma, runningMean, runningVariance] = [arena.given(channels), arena.given(channels), arena.given(channels)];
    const [nextMean, nextVariance] = [arena.made(channels), arena.made(channels)];
    const [mean, invStd, scale] = [arena.made(channels), arena.made(channels), arena.made(channels)];
    const running = [gamma, runningMean, runningVariance, nextMean, nextVariance] as const;
    return [sums, values, channels, 1e-5, 0.1, ...running, mean, invStd, scale];
  },
  normEvaluationCoefficients: (arena) => [
    channels,
    1e-5,
    arena.given(channels),
    arena.given(channels),
    arena.made(channels),
  ],
  normBackwardCoefficients: (arena) => {
    const [sums, invStd, scale] = [arena.givenDoubles(2 * channels), arena.given(channels), arena.given(channels)];
    return [sums, values, channels, invStd, scale, arena.made(channels), arena.made(channels)];
  },
  storeNormGradient: (arena) => [arena.givenDoubles(2 * channels), channels, arena.made(2 * channels)],

  packRows: (arena) => [arena.given(10 * 48), 10, 48, arena.made(48 * 16)],
  packColumns: (arena) => [arena.given(10 * 48), 10, 48, 32, 16, arena.made(3 * 32 * 16)],
  unpackRows: (arena) => [arena.given(48 * 16), 10, 48, 7, arena.made(10 * 48)],
  rowsToPanels: (arena) => [arena.given(rows * 5 * 16), rows, 5, arena.made(5 * rows * 16), rows * lineBytes],
  panelsToRows: (arena) => [arena.given(5 * rows * 16), rows * lineBytes, rows, 5, arena.made(rows * 5 * 16)],
  biasRelu: (arena) => [arena.changed(5 * rows * 16), rows * lineBytes, 5, rows, arena.given(5 * 16)],
  maskRelu: (arena) => [arena.changed(5 * rows * 16), arena.given(5 * rows * 16), rows * lineBytes, 5, rows],
  softmax: (arena) => [arena.given(rows * 16), arena.given(16), rows, arena.made(rows * 10), arena.room(256)],
  lossGradient: (arena) => [...gradientOfLoss(arena)],
  crossEntropyGradient: (arena) => [...gradientOfLoss(arena)],

  probeMultiply: () => [1.1754943508222875e-38, 0.3],
  probeAdd: () => [1, 5.960464477539063e-8],
  probeMultiplyAdd: () => [1.000244140625, 1.000244140625, -1],
  probeRoot: () => [2],
  probeExp: () => [-1],
  probeLog: () => [3],
  probeDoubleRoot: () => [2],

  add: (arena) => [arena.changed(length), arena.given(length), length],
  divide: (arena) => [arena.given(length), length, 7, arena.made(length)],
  averageOf: (arena) => [arena.given(length), arena.given(length), length, 0.999, arena.made(length)],
  isAllFinite: (arena) => [arena.given(length), length],
  adam: (arena) => {
    const [gradient, w, m, v] = [0, 1, 2, 3].map(() => arena.given(length)) as [number, number, number, number];
    const [nextW, nextM, nextV] = [arena.made(length), arena.made(length), arena.made(length)];
    return [gradient, length, w, m, v, nextW, nextM, nextV, 1e-3, 0.9, 0.999, 1e-8, 0.729, 0.997];
  },
};

export const kernelNames = Object.keys(trials) as (keyof Kernels)[];

const gradientInputs = 64;

/**
 * Two panels of linear1's gradients of its first inputs, of the second group of 16 leaves of nine rows: eight leaves, of which
 * some go on in another block, and which join the node of the eight before them.
 */
function gradient(arena: Arena) {
  const layer = productLayers.linear1;
  const shard = { leaves: { start: 0, end: 16 }, rows: 144, microBatch: 9 };
  const { words, groups } = planGradients(layer, shard);
  const group = groups[1];
  if (group?.merges !== 1) throw new Error('the second group joins no node');
  const list = arena.givenWords(words);
  const nodeBytes = 2 * (gradientInputs + 1) * lineBytes;
  return {
    v: arena.given(blocksBytes(layer, shard.rows, 'inputs') / 4),
    d: arena.given(deltaBytes(layer, shard.microBatch, shard.rows) / 4),
    segments: list + group.from * 4,
    end: list + group.to * 4,
    nodes: arena.zeros(nodesBytes),
    top: arena.given(nodeBytes / 4) + nodeBytes,
    merges: group.merges,
    nodeBytes,
    target: arena.made(nodeBytes / 4),
  };
}

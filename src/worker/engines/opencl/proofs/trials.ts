/**
 * Every kernel beside its counterpart in WebAssembly, on the same data: a batch of eight rows in leaves of four, in which there are
 * infinities, subnormals and zeros of both signs.
 */
import {
  batchNormChannels,
  batchNormEpsilon,
  batchNormMomentum,
  classes,
  convolutions,
  imagePixels,
  parameterCount,
  parameterOf,
} from '../../../../shared/model/network.js';
import { mergesOfLeaves } from '../../../../shared/sums/tree.js';
import { mergeRows } from '../../../../shared/sums/rows.js';
import { scratchBytes } from '../../wasm/workspace.js';
import {
  conv1Panels,
  conv1Signs,
  conv1Values,
  doubleBytes,
  floatBytes,
  inputPanels,
  lineBytes,
  outputPanels,
  panelWidth,
  productLayers,
  type ConvolutionName,
} from '../../winograd/geometry.js';
import { conv1Length } from '../../winograd/units.js';
import type { DeviceBuffer } from '../driver/buffer.js';
import type { Argument } from '../driver/program.js';
import { panelTiles } from '../geometry.js';
import { drawTransform, transformLength } from '../../../../shared/model/augmentation.js';
import { groupSizes } from '../kernels/gradients.js';
import { imageLanes, imageLines } from '../kernels/images.js';
import { allFinite } from '../kernels/optimiser.js';
import { blockSums } from '../kernels/products.js';
import { average, gradients, prepare, sumLeaves, update } from './gradient-trials.js';
import type { Both, Workbench } from './workbench.js';

export type Trial = (bench: Workbench) => void;

const rows = 8;
const microBatch = 4;
const leaves = rows / microBatch;

/** A layer's tiles of `rows` rows, on the device and for the wasm kernels alike. */
function tilesOf(name: keyof typeof productLayers) {
  const layer = productLayers[name];
  const padded = panelTiles(layer, rows);
  const panel = padded * lineBytes;
  return {
    layer,
    count: rows * layer.rowTiles,
    padded: { int32: padded },
    panel,
    /** Bytes of a point of the inputs and of the outputs. */
    inputPlane: inputPanels(layer) * panel,
    outputPlane: outputPanels(layer) * panel,
    inputFloats: (layer.points * inputPanels(layer) * panel) / floatBytes,
    outputFloats: (layer.points * outputPanels(layer) * panel) / floatBytes,
  };
}

/** An array of tiles in which those of the rows are results, and those behind them nobody's. */
function tilesMade(bench: Workbench, planes: number, panel: number, tiles: number) {
  const address = bench.arena.room(planes * panel);
  const buffer = bench.room(planes * panel);
  for (let plane = 0; plane < planes; plane++) {
    bench.arena.result(address + plane * panel, tiles * panelWidth);
    bench.arrives(buffer, plane * panel, address + plane * panel, tiles * lineBytes);
  }
  return { at: address, buffer };
}

/** The panels' calls of the wasm kernels, each of which handles one. */
function eachPanel(panels: number, visit: (panel: number) => void): void {
  for (let panel = 0; panel < panels; panel++) visit(panel);
}

function convolutionOf(name: ConvolutionName) {
  const conv = convolutions.find((candidate) => candidate.name === name);
  if (conv === undefined) throw new Error(`no convolution ${name}`);
  return conv;
}

/** Pixels of a layer's input, and of what it makes, behind its pool if it has one. */
function pixelsOf(name: ConvolutionName): number {
  const { inputSize } = convolutionOf(name);
  return inputSize * inputSize;
}
function outputPixelsOf(name: ConvolutionName): number {
  const { outputSize, pooled } = convolutionOf(name);
  return (outputSize * outputSize) / (pooled ? 4 : 1);
}

/** V of conv3, conv4 or conv5; `norm` is what normalises its input. */
const input =
  (name: 'conv3' | 'conv4' | 'conv5', norm: 'bn2' | 'bn4' | null): Trial =>
  (bench) => {
    const { layer, count, padded, panel, inputPlane } = tilesOf(name);
    const pixels = rows * pixelsOf(name);
    const x = bench.given(pixels * layer.inputs);
    const v = tilesMade(bench, layer.points * inputPanels(layer), panel, count);
    const scratch = bench.arena.room(scratchBytes);
    let [from, coefficients]: [number, DeviceBuffer[]] = [x.at, []];
    if (norm !== null) {
      const [mean, scale, parameters] = [
        bench.given(layer.inputs),
        bench.given(layer.inputs),
        bench.given(parameterCount),
      ];
      from = bench.arena.room(pixels * layer.inputs * floatBytes);
      coefficients = [mean.buffer, scale.buffer, parameters.buffer];
      const shift = parameters.at + parameterOf(norm, 'bias').offset * floatBytes;
      bench.wasm.normalise(x.at, pixels, layer.inputs, mean.at, scale.at, shift, from);
    }
    eachPanel(inputPanels(layer), (p) => {
      bench.wasm[`${name}Input`](from + p * lineBytes, rows, v.at + p * panel, inputPlane, scratch);
    });
    const values = [x.buffer, ...coefficients, v.buffer, padded];
    bench.lines(`${name}Input`, values, panelWidth, count, inputPanels(layer));
  };

const rowNumbers = [3, 0, 7, 2, 1, 4, 6, 5];

/** Rows of a split as they go through the network, each transformed or not. */
const images =
  (kind: 'load' | 'transform'): Trial =>
  (bench) => {
    const split = bench.givenBytes(rows * imagePixels, (random) => random & 255);
    const numbers = bench.givenWords(rowNumbers);
    const config = { seed: 7, rotation: 30, translation: 4, scaling: 0.3, shear: 20 };
    const drawn = new Float32Array(rows * transformLength);
    rowNumbers.forEach((number, row) => {
      drawTransform(config, 3, number, drawn, row * transformLength);
    });
    const transforms = bench.givenWords(new Uint32Array(drawn.buffer));
    const pixels = bench.made(rows * imagePixels);
    rowNumbers.forEach((number, row) => {
      const [source, target] = [split.at + number * imagePixels, pixels.at + row * imagePixels * floatBytes];
      const transform = transforms.at + row * transformLength * floatBytes;
      if (kind === 'load') bench.wasm.loadImage(source, target);
      else bench.wasm.loadTransformed(source, transform, target);
    });
    const list = [split, numbers, ...(kind === 'load' ? [] : [transforms]), pixels].map(({ buffer }) => buffer);
    bench.lines(`${kind}Images`, list, imageLanes, imageLines, rows);
  };

/** Pixels, and conv1's weights. */
function pictures(bench: Workbench) {
  return { pixels: bench.given(rows * imagePixels), weights: bench.given(conv1Panels * conv1Length) };
}

/** Calls the wasm kernels of conv1 for each row and panel: with the image, and the panel's weights, activation and signs. */
function eachConv1(
  bench: Workbench,
  { pixels, weights }: ReturnType<typeof pictures>,
  visit: (row: number, panel: number, image: number, activation: number, signs: number) => void,
): void {
  const { arena, wasm } = bench;
  const activation = arena.room(conv1Values * floatBytes);
  const signs = arena.room(conv1Signs);
  for (let row = 0; row < rows; row++) {
    const image = pixels.at + row * imagePixels * floatBytes;
    eachPanel(conv1Panels, (panel) => {
      wasm.conv1Forward(image, weights.at + panel * conv1Length * floatBytes, activation, signs + 2 * panel);
      visit(row, panel, image, activation, signs + 2 * panel);
    });
  }
}

const conv2Input: Trial = (bench) => {
  const { layer, count, padded, panel, inputPlane } = tilesOf('conv2');
  const given = pictures(bench);
  const v = tilesMade(bench, layer.points * inputPanels(layer), panel, count);
  const scratch = bench.arena.room(scratchBytes);
  eachConv1(bench, given, (row, p, _, activation) => {
    const target = v.at + p * panel + row * layer.rowTiles * lineBytes;
    bench.wasm.conv2Input(activation, 1, target, inputPlane, scratch);
  });
  const values = [given.pixels.buffer, given.weights.buffer, v.buffer, padded];
  bench.lines('conv2Input', values, panelWidth, count, inputPanels(layer));
};

/** The activation of M, and where a pool took its values from. */
const output =
  (name: ConvolutionName): Trial =>
  (bench) => {
    const { layer, count, padded, panel, outputPlane, outputFloats } = tilesOf(name);
    const values = rows * outputPixelsOf(name) * layer.outputs;
    const [m, parameters, y] = [bench.given(outputFloats), bench.given(parameterCount), bench.made(values)];
    const { pooled } = convolutionOf(name);
    const argmax = pooled ? bench.madeBytes(values) : null;
    const choices = argmax?.at ?? bench.arena.room(values);
    const scratch = bench.arena.room(scratchBytes);
    const bias = parameters.at + layer.bias.offset * floatBytes;
    eachPanel(outputPanels(layer), (p) => {
      const channel = p * panelWidth;
      bench.wasm[`${name}Output`](
        ...([m.at + p * panel, outputPlane, bias + channel * floatBytes, rows] as const),
        ...([y.at + channel * floatBytes, choices + channel, scratch] as const),
      );
    });
    const made = argmax === null ? [y.buffer] : [y.buffer, argmax.buffer];
    bench.lines(
      `${name}Output`,
      [m.buffer, parameters.buffer, ...made, padded],
      panelWidth,
      count,
      outputPanels(layer),
    );
  };

/** dM of the gradient of the activation. */
const outputAdjoint =
  (name: ConvolutionName): Trial =>
  (bench) => {
    const { layer, count, padded, panel, outputPlane } = tilesOf(name);
    const values = rows * outputPixelsOf(name) * layer.outputs;
    const delta = bench.given(values);
    const dm = tilesMade(bench, layer.points * outputPanels(layer), panel, count);
    const scratch = bench.arena.room(scratchBytes);
    const { pooled } = convolutionOf(name);
    const kept = pooled ? bench.givenBytes(values, (random) => (random % 5) - 1) : bench.given(values);
    const choices = pooled ? kept.at : openWhere(bench, kept.at, values);
    bench.wasm[`${name}OutputAdjoint`](delta.at, choices, rows, dm.at, outputPlane, panel, scratch);
    const list = [delta.buffer, kept.buffer, dm.buffer, padded];
    bench.lines(`${name}OutputAdjoint`, list, panelWidth, count, outputPanels(layer));
  };

/** int8 [count] as the wasm kernels keep of an activation: -1 where it is above 0. */
function openWhere({ arena }: Workbench, activation: number, count: number): number {
  const { buffer } = arena.memories[0];
  const open = arena.room(count);
  new Int8Array(buffer, open, count).set(new Float32Array(buffer, activation, count).map((x) => (x > 0 ? -1 : 0)));
  return open;
}

/** The gradient of a layer's input from its tiles. */
const inputAdjoint =
  (name: 'conv3' | 'conv4' | 'conv5'): Trial =>
  (bench) => {
    const { layer, count, padded, panel, inputPlane, inputFloats } = tilesOf(name);
    const dv = bench.given(inputFloats);
    const delta = bench.made(rows * pixelsOf(name) * layer.inputs);
    const scratch = bench.arena.room(scratchBytes);
    eachPanel(inputPanels(layer), (p) => {
      bench.wasm[`${name}InputAdjoint`](dv.at + p * panel, inputPlane, rows, delta.at + p * lineBytes, scratch);
    });
    bench.lines(`${name}InputAdjoint`, [dv.buffer, padded], panelWidth, count, inputPanels(layer));
    bench.lines(`${name}Gather`, [dv.buffer, delta.buffer, padded], layer.inputs, pixelsOf(name), rows);
  };

/** From the tiles of conv2's input to conv1's gradients of each leaf. */
const conv1Gradient: Trial = (bench) => {
  const { layer, count, padded, panel, inputPlane, inputFloats } = tilesOf('conv2');
  const given = pictures(bench);
  const dv = bench.given(inputFloats);
  const slotLength = conv1Panels * conv1Length;
  const slots = bench.made(leaves * slotLength);
  const [scratch, delta] = [bench.arena.room(scratchBytes), bench.arena.room(conv1Values * floatBytes)];
  new Float32Array(bench.arena.memories[0].buffer, slots.at, leaves * slotLength).fill(0);
  eachConv1(bench, given, (row, p, image, _, signs) => {
    const tiles = dv.at + p * panel + row * layer.rowTiles * lineBytes;
    bench.wasm.conv2InputAdjoint(tiles, inputPlane, 1, delta, scratch);
    const gradient = Math.floor(row / microBatch) * slotLength + p * conv1Length;
    bench.wasm.conv1Gradient(image, signs, delta, slots.at + gradient * floatBytes);
  });
  bench.lines('conv2InputAdjoint', [dv.buffer, padded], panelWidth, count, inputPanels(layer));
  const masked = bench.room(rows * pixelsOf('conv2') * layer.inputs * floatBytes);
  const { pixels, weights } = given;
  const values = [dv.buffer, pixels.buffer, weights.buffer, masked, padded];
  bench.lines('conv1Delta', values, layer.inputs, pixelsOf('conv2'), rows);
  const sizes = [{ int32: slotLength }, { int32: 0 }, { int32: rows }, { int32: microBatch }];
  bench.launch('conv1Gradient', [pixels.buffer, masked, slots.buffer, ...sizes], (kernel) =>
    kernel.setSize([panelWidth, conv1Length / panelWidth, leaves * conv1Panels], [panelWidth, 1, 1]),
  );
};

/** C = A B of a layer, forward (M = V U) or backward (dV = dM U^T). */
const product =
  (name: keyof typeof productLayers, way: 'forward' | 'backward'): Trial =>
  (bench) => {
    const { layer, count, panel } = tilesOf(name);
    const sides = [inputPanels(layer), outputPanels(layer)] as const;
    const [k, n] = way === 'forward' ? sides : [sides[1], sides[0]];
    const weightPanel = layer.points * k * panelWidth * lineBytes;
    const a = bench.given((layer.points * k * panel) / floatBytes);
    const b = bench.given((n * weightPanel) / floatBytes);
    const c = tilesMade(bench, layer.points * n, panel, count);
    bench.wasm.product(
      ...([a.at, k * panel, panel, k] as const),
      ...([b.at, k * panelWidth * lineBytes, weightPanel, n] as const),
      ...([c.at, n * panel, panel, layer.points, count] as const),
    );
    const pieces = (bytes: number): Argument => ({ int32: bytes / 16 });
    bench.launch(
      'product',
      [
        ...[a.buffer, pieces(panel), { int32: k }, b.buffer, pieces(0), pieces(weightPanel), { int32: n }],
        ...[c.buffer, pieces(panel)],
      ],
      (kernel) => {
        const { side } = bench;
        const blocks = (sums: number): number => Math.ceil(sums / blockSums(side)) * side;
        return kernel.setSize([blocks(n * panelWidth), blocks(count), layer.points], [side, side, 1]);
      },
    );
  };

/** Channels of bn2, its values of all rows, and its first channel among those of all batch norms. */
const channels = 64;
const normValues = rows * 144;
const normRow = normValues / rows;

const normSums: Trial = (bench) => {
  const x = bench.given(normValues * channels);
  const sums = bench.madeDoubles(leaves * 2 * channels);
  eachLeaf((leaf, values) => {
    const from = x.at + leaf * values * channels * floatBytes;
    bench.wasm.normSums(from, values, channels, sums.at + leaf * 2 * channels * doubleBytes);
  });
  bench.lines('normSums', [x.buffer, sums.buffer, ...normShard], channels, leaves);
};

const normGradientSums: Trial = (bench) => {
  const [x, dy] = [bench.given(normValues * channels), bench.given(normValues * channels)];
  const [mean, invStd] = [bench.given(channels), bench.given(channels)];
  const sums = bench.madeDoubles(leaves * 2 * channels);
  eachLeaf((leaf, values) => {
    const from = leaf * values * channels * floatBytes;
    const target = sums.at + leaf * 2 * channels * doubleBytes;
    bench.wasm.normGradientSums(x.at + from, dy.at + from, values, channels, mean.at, invStd.at, target);
  });
  const values = [x.buffer, dy.buffer, mean.buffer, invStd.buffer, sums.buffer, ...normShard];
  bench.lines('normGradientSums', values, channels, leaves);
};

const normShard: readonly Argument[] = [{ int32: normRow }, { int32: microBatch }, { int32: rows }];

function eachLeaf(visit: (leaf: number, values: number) => void): void {
  for (let leaf = 0; leaf < leaves; leaf++) visit(leaf, microBatch * normRow);
}

const mergeStatistics: Trial = (bench) => {
  const [count, length] = [5, 2 * channels];
  const sums = bench.givenDoubles(count * length);
  const total = bench.madeDoubles(length);
  const { buffer } = bench.arena.memories[0];
  const merges = mergesOfLeaves({ start: 0, end: count - 1 });
  const copy = new Float64Array(buffer, sums.at, count * length).slice();
  mergeRows(copy, length, merges);
  new Float64Array(buffer, total.at, length).set(copy.subarray(0, length));
  const pairs = bench.givenWords(merges.flatMap(({ target, source }) => [target, source]));
  const room = bench.room(count * length * doubleBytes);
  const list = [sums.buffer, { int32: count }, pairs.buffer, { int32: merges.length }, room, total.buffer];
  bench.lines('mergeStatistics', list, length, 1);
};

const normForwardCoefficients: Trial = (bench) => {
  const total = bench.givenDoubles(2 * channels);
  const [parameters, running] = [bench.given(parameterCount), bench.given(2 * batchNormChannels)];
  const next = bench.changed(2 * batchNormChannels);
  const [mean, invStd, scale] = [bench.made(channels), bench.made(channels), bench.made(channels)];
  const gamma = parameterOf('bn2', 'weight').offset;
  const variances = batchNormChannels * floatBytes;
  bench.wasm.normForwardCoefficients(
    ...([total.at, normValues, channels, batchNormEpsilon, batchNormMomentum] as const),
    ...([parameters.at + gamma * floatBytes, running.at, running.at + variances, next.at] as const),
    ...([next.at + variances, mean.at, invStd.at, scale.at] as const),
  );
  const notFinite = bench.givenWords([allFinite]);
  const scalars = [{ float64: normValues }, { float64: batchNormEpsilon }, { float64: batchNormMomentum }];
  bench.lines(
    'normForwardCoefficients',
    [
      ...[total.buffer, ...scalars, parameters.buffer, { int32: gamma }, running.buffer, next.buffer],
      ...[{ int32: batchNormChannels }, { int32: 0 }, mean.buffer, invStd.buffer, scale.buffer, notFinite.buffer],
    ],
    channels,
    1,
  );
};

const normEvaluationCoefficients: Trial = (bench) => {
  const [statistics, parameters] = [bench.given(2 * batchNormChannels), bench.given(parameterCount)];
  const [mean, scale] = [bench.room(channels * floatBytes), bench.made(channels)];
  const gamma = parameterOf('bn2', 'weight').offset;
  const variances = statistics.at + batchNormChannels * floatBytes;
  const weights = parameters.at + gamma * floatBytes;
  bench.wasm.normEvaluationCoefficients(channels, batchNormEpsilon, weights, variances, scale.at);
  const sizes = [{ int32: gamma }, { int32: batchNormChannels }, { int32: 0 }];
  const list = [statistics.buffer, { float64: batchNormEpsilon }, parameters.buffer, ...sizes, mean, scale.buffer];
  bench.lines('normEvaluationCoefficients', list, channels, 1);
};

const normBackwardCoefficients: Trial = (bench) => {
  const total = bench.givenDoubles(2 * channels);
  const [invStd, scale] = [bench.given(channels), bench.given(channels)];
  const [slope, shift] = [bench.made(channels), bench.made(channels)];
  bench.wasm.normBackwardCoefficients(total.at, normValues, channels, invStd.at, scale.at, slope.at, shift.at);
  const list = [total, invStd, scale, slope, shift].map(({ buffer }) => buffer);
  bench.lines('normBackwardCoefficients', [list[0]!, { float64: normValues }, ...list.slice(1)], channels, 1);
};

const normaliseGradient: Trial = (bench) => {
  const [x, dy] = [bench.given(normValues * channels), bench.changed(normValues * channels)];
  const coefficients = Array.from({ length: 4 }, () => bench.given(channels));
  const [mean, scale, slope, shift] = coefficients.map(({ at }) => at) as [number, number, number, number];
  bench.wasm.normaliseGradient(x.at, dy.at, normValues, channels, mean, scale, slope, shift);
  const list = [x, dy, ...coefficients].map(({ buffer }) => buffer);
  bench.lines('normaliseGradient', list, channels, normRow, rows);
};

const { linear1, linear2 } = productLayers;

const linear1Input: Trial = (bench) => {
  const { count, padded, panel } = tilesOf('linear1');
  const x = bench.given(rows * linear1.inputs);
  const [mean, scale, parameters] = [
    bench.given(linear1.inputs),
    bench.given(linear1.inputs),
    bench.given(parameterCount),
  ];
  const panels = tilesMade(bench, inputPanels(linear1), panel, count);
  const y = bench.arena.room(rows * linear1.inputs * floatBytes);
  const shift = parameters.at + parameterOf('bn5', 'bias').offset * floatBytes;
  bench.wasm.normalise(x.at, rows, linear1.inputs, mean.at, scale.at, shift, y);
  bench.wasm.rowsToPanels(y, rows, inputPanels(linear1), panels.at, panel);
  const list = [x, mean, scale, parameters, panels].map(({ buffer }) => buffer);
  bench.lines('linear1Input', [...list, padded], linear1.inputs, rows);
};

/** An array of tiles that is given, and changed where the rows are. */
function tilesChanged(bench: Workbench, panels: number, panel: number, tiles: number): Both {
  const both = bench.given((panels * panel) / floatBytes);
  for (let p = 0; p < panels; p++) {
    bench.arena.result(both.at + p * panel, tiles * panelWidth);
    bench.arrives(both.buffer, p * panel, both.at + p * panel, tiles * lineBytes);
  }
  return both;
}

const linear1Output: Trial = (bench) => {
  const { count, padded, panel } = tilesOf('linear1');
  const y = tilesChanged(bench, outputPanels(linear1), panel, count);
  const parameters = bench.given(parameterCount);
  const bias = parameters.at + linear1.bias.offset * floatBytes;
  bench.wasm.biasRelu(y.at, panel, outputPanels(linear1), rows, bias);
  bench.lines('linear1Output', [y.buffer, parameters.buffer, padded], panelWidth, rows, outputPanels(linear1));
};

const linear1OutputAdjoint: Trial = (bench) => {
  const { count, padded, panel } = tilesOf('linear1');
  const delta = tilesChanged(bench, outputPanels(linear1), panel, count);
  const activation = bench.given((outputPanels(linear1) * panel) / floatBytes);
  bench.wasm.maskRelu(delta.at, activation.at, panel, outputPanels(linear1), rows);
  const list = [delta.buffer, activation.buffer, padded];
  bench.lines('linear1OutputAdjoint', list, panelWidth, rows, outputPanels(linear1));
};

const linear1Gather: Trial = (bench) => {
  const { padded, panel } = tilesOf('linear1');
  const panels = bench.given((inputPanels(linear1) * panel) / floatBytes);
  const delta = bench.made(rows * linear1.inputs);
  bench.wasm.panelsToRows(panels.at, panel, rows, inputPanels(linear1), delta.at);
  bench.lines('linear1Gather', [panels.buffer, delta.buffer, padded], linear1.inputs, rows);
};

const softmax: Trial = (bench) => {
  const [logits, parameters] = [bench.given(rows * panelWidth), bench.given(parameterCount)];
  const probabilities = bench.made(rows * classes);
  const bias = parameters.at + linear2.bias.offset * floatBytes;
  bench.wasm.softmax(logits.at, bias, rows, probabilities.at, bench.arena.room(256));
  bench.items('softmax', [logits.buffer, parameters.buffer, probabilities.buffer, { int32: rows }], rows);
};

const lossGradient =
  (name: 'lossGradient' | 'crossEntropyGradient'): Trial =>
  (bench) => {
    const [logits, parameters] = [bench.changed(rows * panelWidth), bench.given(parameterCount)];
    const labels = bench.givenBytes(rows, (random) => random % 10);
    const numbers = bench.givenWords(rowNumbers);
    const losses = bench.madeDoubles(rows);
    const bias = parameters.at + linear2.bias.offset * floatBytes;
    const scratch = bench.arena.room(256);
    bench.wasm[name](logits.at, bias, rows, labels.at, numbers.at, losses.at, scratch);
    const list = [logits, parameters, labels, numbers, losses].map(({ buffer }) => buffer);
    bench.items(name, [...list, { int32: rows }], rows);
  };

/** By what they prove, in the order of a step. */
export const trials: Readonly<Record<string, Trial>> = {
  loadImages: images('load'),
  transformImages: images('transform'),
  conv2Input,
  conv3Input: input('conv3', 'bn2'),
  conv4Input: input('conv4', null),
  conv5Input: input('conv5', 'bn4'),
  'conv4 product': product('conv4', 'forward'),
  'linear2 product': product('linear2', 'forward'),
  'linear2 backward product': product('linear2', 'backward'),
  conv2Output: output('conv2'),
  conv3Output: output('conv3'),
  conv4Output: output('conv4'),
  conv5Output: output('conv5'),
  normSums,
  mergeStatistics,
  normForwardCoefficients,
  normEvaluationCoefficients,
  linear1Input,
  linear1Output,
  softmax,
  lossGradient: lossGradient('lossGradient'),
  crossEntropyGradient: lossGradient('crossEntropyGradient'),
  linear1OutputAdjoint,
  linear1Gather,
  normGradientSums,
  normBackwardCoefficients,
  normaliseGradient,
  conv2OutputAdjoint: outputAdjoint('conv2'),
  conv3OutputAdjoint: outputAdjoint('conv3'),
  conv4OutputAdjoint: outputAdjoint('conv4'),
  conv5OutputAdjoint: outputAdjoint('conv5'),
  conv3InputAdjoint: inputAdjoint('conv3'),
  conv4InputAdjoint: inputAdjoint('conv4'),
  conv5InputAdjoint: inputAdjoint('conv5'),
  conv1Gradient,
  gradients,
  ...Object.fromEntries(groupSizes.map((size) => [`sumLeaves${String(size)}`, sumLeaves(size)])),
  update,
  average,
  prepare,
};

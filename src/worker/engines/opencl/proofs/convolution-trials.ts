/** Trials of images, and of the convolutions with their products. */
import { drawTransform, transformLength } from '../../../../shared/model/augmentation.js';
import { convolutions, imagePixels, parameterCount, parameterOf } from '../../../../shared/model/network.js';
import { scratchBytes } from '../../wasm/workspace.js';
import {
  conv1Panels,
  conv1Signs,
  conv1Values,
  floatBytes,
  inputPanels,
  lineBytes,
  outputPanels,
  panelWidth,
  type productLayers,
  type ConvolutionName,
} from '../../winograd/geometry.js';
import { conv1Length } from '../../winograd/units.js';
import type { DeviceBuffer } from '../driver/buffer.js';
import type { Argument } from '../driver/program.js';
import { imageLanes, imageLines } from '../kernels/images.js';
import { blockSums } from '../kernels/products.js';
import { eachPanel, leaves, microBatch, rowNumbers, rows, tilesMade, tilesOf } from './trial-shape.js';
import type { Trial, Trials } from './trial-shape.js';
import type { Workbench } from './workbench.js';

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

export const convolutionTrials: Trials = {
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
  conv2OutputAdjoint: outputAdjoint('conv2'),
  conv3OutputAdjoint: outputAdjoint('conv3'),
  conv4OutputAdjoint: outputAdjoint('conv4'),
  conv5OutputAdjoint: outputAdjoint('conv5'),
  conv3InputAdjoint: inputAdjoint('conv3'),
  conv4InputAdjoint: inputAdjoint('conv4'),
  conv5InputAdjoint: inputAdjoint('conv5'),
  conv1Gradient,
};

/** Trials of the linear layers around their products, and of the loss. */
import { classes, parameterCount, parameterOf } from '../../../../shared/model/network.js';
import { floatBytes, inputPanels, outputPanels, panelWidth, productLayers } from '../../winograd/geometry.js';
import { rowNumbers, rows, tilesChanged, tilesMade, tilesOf, type Trial, type Trials } from './trial-shape.js';

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

/** Of what needs float64. */
export const lossTrials: Trials = {
  softmax,
  lossGradient: lossGradient('lossGradient'),
  crossEntropyGradient: lossGradient('crossEntropyGradient'),
};

export const classifierTrials: Trials = { linear1Input, linear1Output, linear1OutputAdjoint, linear1Gather };

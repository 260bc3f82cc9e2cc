/**
 * The forward pass, from pixels to logits, over rows of the training or the test split. The batch norms are the caller's:
 * `coefficients` is called where each stands, with the address of what it normalises, and says where mean, scale and shift are.
 */
import { imagePixels, parameterOf } from '../../../shared/model/network.js';
import { conv1Panels, conv3Values, pooled2Values, pooled4Values, pooled5Values } from '../winograd/geometry.js';
import { floatBytes, inputPanels, lineBytes, outputPanels, productLayers, rowOffset } from '../winograd/geometry.js';
import type { ProductName } from '../winograd/geometry.js';
import { conv1SignsAt, eachStrip, normOf } from './pass.js';
import { type NormName, type Pass } from './pass.js';
import { conv1Length } from '../winograd/units.js';

/** Per-channel float32 coefficients of y = (x - mean) scale + shift. */
export interface NormCoefficients {
  readonly mean: number;
  readonly scale: number;
  readonly shift: number;
}

export interface ForwardRequest {
  /** Address of the parameters. */
  readonly parameters: number;
  readonly rows: number;
  /** Whether `backward` follows: the products' inputs are kept; else all blocks lie in the place of the first. */
  readonly keepInputs: boolean;
  /** Address of the image of row 0..rows, and of what is done to it, see `loadTransformed`; null for nothing. */
  image(row: number): number;
  transform(row: number): number | null;
  coefficients(norm: NormName, pooled: number): NormCoefficients;
}

/** Fills the activations of the workspace and leaves linear2's products (without bias) in `logits`. */
export function forward(pass: Pass, request: ForwardRequest): void {
  const { workspace } = pass;
  forwardConv12(pass, request);
  const bn2 = request.coefficients('bn2', workspace.pooled2);
  forwardConv34(pass, request, bn2);
  const bn4 = request.coefficients('bn4', workspace.pooled4);
  forwardConv5(pass, request, bn4);
  const bn5 = request.coefficients('bn5', workspace.pooled5);
  forwardLinear(pass, request, bn5);
}

function forwardConv12(pass: Pass, request: ForwardRequest): void {
  const { kernels, workspace } = pass;
  const layer = productLayers.conv2;
  const bias = request.parameters + parameterOf('conv2', 'bias').offset * floatBytes;
  eachStrip(layer, 0, request.rows, (first, rows) => {
    const v = inputAt(pass, request, 'conv2', first);
    for (let i = 0; i < rows; i++) {
      const image = workspace.images + (first + i) * imagePixels * floatBytes;
      const transform = request.transform(first + i);
      if (transform === null) kernels.loadImage(request.image(first + i), image);
      else kernels.loadTransformed(request.image(first + i), transform, image);
      conv1Forward(pass, image, first + i, v + i * layer.rowTiles * lineBytes);
    }
    const pooled = workspace.pooled2 + first * pooled2Values * floatBytes;
    const argmax = workspace.argmax2 + first * pooled2Values;
    // A panel's M is transformed while it is cached.
    for (let panel = 0; panel < outputPanels(layer); panel++) {
      pass.forwardProduct('conv2', v, rows, workspace.strip, layer.strip.panel, panel, 1);
      pass.transformOutput('conv2', workspace.strip, layer.strip.panel, panel, bias, rows, pooled, argmax);
    }
  });
}

/** V of conv2 of one row, panel by panel: of conv1's activation only the signs are kept. */
function conv1Forward({ kernels, workspace, binding }: Pass, image: number, row: number, v: number): void {
  const { plane, panel: panelBytes } = productLayers.conv2.block.inputs;
  for (let panel = 0; panel < conv1Panels; panel++) {
    const weights = binding.prepared + panel * conv1Length * floatBytes;
    kernels.conv1Forward(image, weights, workspace.conv1, conv1SignsAt(workspace, row, panel));
    kernels.conv2Input(workspace.conv1, 1, v + panel * panelBytes, plane, workspace.scratch);
  }
}

/** Strip by strip through both: conv3's activation is that of one row, of which only the signs are kept. */
function forwardConv34(pass: Pass, request: ForwardRequest, norm: NormCoefficients): void {
  const { workspace } = pass;
  const { conv3, conv4 } = productLayers;
  const bias3 = request.parameters + parameterOf('conv3', 'bias').offset * floatBytes;
  const bias4 = request.parameters + parameterOf('conv4', 'bias').offset * floatBytes;
  const [m3, m4] = [conv3.strip.outputs, conv4.strip.outputs];
  eachStrip(conv3, 0, request.rows, (first, rows) => {
    const v3 = inputAt(pass, request, 'conv3', first);
    transformNormalised(pass, 'conv3', 'bn2', workspace.pooled2, first, rows, v3, norm);
    pass.forwardProduct('conv3', v3, rows, workspace.strip, m3);
    const v4 = inputAt(pass, request, 'conv4', first);
    for (let i = 0; i < rows; i++) {
      const m = workspace.strip + i * conv3.rowTiles * lineBytes;
      const open = workspace.open3 + (first + i) * conv3Values;
      for (let panel = 0; panel < outputPanels(conv3); panel++) {
        pass.transformOutput('conv3', m + panel * m3.panel, m3, panel, bias3, 1, workspace.conv3, open);
      }
      pass.transformInput('conv4', workspace.conv3, v4 + i * conv4.rowTiles * lineBytes);
    }
    pass.forwardProduct('conv4', v4, rows, workspace.strip, m4);
    const pooled = workspace.pooled4 + first * pooled4Values * floatBytes;
    const argmax = workspace.argmax4 + first * pooled4Values;
    for (let panel = 0; panel < outputPanels(conv4); panel++) {
      pass.transformOutput('conv4', workspace.strip + panel * m4.panel, m4, panel, bias4, rows, pooled, argmax);
    }
  });
}

function forwardConv5(pass: Pass, request: ForwardRequest, norm: NormCoefficients): void {
  const { workspace } = pass;
  const layer = productLayers.conv5;
  const m = layer.strip.outputs;
  const bias = request.parameters + parameterOf('conv5', 'bias').offset * floatBytes;
  eachStrip(layer, 0, request.rows, (first, rows) => {
    const v = inputAt(pass, request, 'conv5', first);
    transformNormalised(pass, 'conv5', 'bn4', workspace.pooled4, first, rows, v, norm);
    pass.forwardProduct('conv5', v, rows, workspace.strip, layer.strip.outputs);
    const pooled = workspace.pooled5 + first * pooled5Values * floatBytes;
    const argmax = workspace.argmax5 + first * pooled5Values;
    for (let panel = 0; panel < outputPanels(layer); panel++) {
      pass.transformOutput('conv5', workspace.strip + panel * m.panel, m, panel, bias, rows, pooled, argmax);
    }
  });
}

function forwardLinear(pass: Pass, request: ForwardRequest, norm: NormCoefficients): void {
  const { kernels, workspace } = pass;
  const { linear1, linear2 } = productLayers;
  const { panel } = linear1.block.outputs;
  const bias = request.parameters + parameterOf('linear1', 'bias').offset * floatBytes;
  eachStrip(linear1, 0, request.rows, (first, rows) => {
    const x = inputAt(pass, request, 'linear1', first);
    const hidden = inputAt(pass, request, 'linear2', first);
    normaliseRows(pass, 'bn5', workspace.pooled5, first, rows, norm);
    kernels.rowsToPanels(workspace.normalised, rows, inputPanels(linear1), x, linear1.block.inputs.panel);
    pass.forwardProduct('linear1', x, rows, hidden, linear1.block.outputs);
    kernels.biasRelu(hidden, panel, outputPanels(linear1), rows, bias);
    const logits = workspace.logits + rowOffset(linear2, first, 'outputs');
    pass.forwardProduct('linear2', hidden, rows, logits, linear2.block.outputs);
  });
}

/** Where the inputs of a row are kept; without a way back, in the place of the first block. */
function inputAt(pass: Pass, { keepInputs }: ForwardRequest, name: ProductName, row: number): number {
  return pass.inputAt(name, keepInputs ? row : row % productLayers[name].blockRows);
}

/** V of rows [first, first + rows) of a pooled activation, normalised row by row. */
function transformNormalised(
  pass: Pass,
  layer: 'conv3' | 'conv5',
  norm: NormName,
  pooled: number,
  first: number,
  rows: number,
  v: number,
  coefficients: NormCoefficients,
): void {
  const rowBytes = productLayers[layer].rowTiles * lineBytes;
  for (let i = 0; i < rows; i++) {
    normaliseRows(pass, norm, pooled, first + i, 1, coefficients);
    pass.transformInput(layer, pass.workspace.normalised, v + i * rowBytes);
  }
}

/** Normalises rows [first, first + rows) of a pooled activation into the start of `normalised`. */
function normaliseRows(
  pass: Pass,
  name: NormName,
  pooled: number,
  first: number,
  rows: number,
  { mean, scale, shift }: NormCoefficients,
): void {
  const { channels, pixels } = normOf(name);
  const x = pooled + first * pixels * channels * floatBytes;
  pass.kernels.normalise(x, rows * pixels, channels, mean, scale, shift, pass.workspace.normalised);
}

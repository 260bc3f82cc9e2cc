/**
 * The forward pass, from pixels to logits, over rows of the training or the test split. The batch norms are the caller's:
 * `normalise` is called where each stands, with the address of what it normalises, and leaves mean, scale and shift ready.
 */
import { imagePixels, parameterOf } from '../../../shared/network.js';
import { conv1Signs, conv3Values, pooled2Values, pooled4Values, pooled5Values } from './geometry.js';
import { floatBytes, inputPanels, lineBytes, outputPanels, productLayers } from './geometry.js';
import type { ProductName } from './geometry.js';
import { eachBlock, normOf } from './pass.js';
import { type NormName, type Pass } from './pass.js';

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
  /** Whether `backward` follows: each block's products keep their inputs, which else lie in the place of the first block. */
  readonly keepInputs: boolean;
  /** Address of the image of row 0..rows. */
  image(row: number): number;
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
  const { kernels, workspace, binding } = pass;
  const layer = productLayers.conv2;
  const bias = request.parameters + parameterOf('conv2', 'bias').offset * floatBytes;
  eachBlock(layer, request.rows, (block, first, rows) => {
    const v = inputBlock(pass, request, 'conv2', block);
    for (let i = 0; i < rows; i++) {
      const row = first + i;
      const image = workspace.images + row * imagePixels * floatBytes;
      kernels.loadImage(request.image(row), image);
      kernels.conv1Forward(image, binding.prepared, workspace.conv1, workspace.signs1 + row * conv1Signs);
      pass.transformInput('conv2', workspace.conv1, 1, v + i * layer.rowTiles * lineBytes);
    }
    pass.forwardProduct('conv2', v, rows, workspace.block);
    const pooled = workspace.pooled2 + first * pooled2Values * floatBytes;
    const argmax = workspace.argmax2 + first * pooled2Values;
    const { outputPlane, panelBytes } = layer;
    kernels.conv2Output(workspace.block, outputPlane, panelBytes, bias, rows, pooled, argmax, workspace.scratch);
  });
}

/** Block by block through both: conv3's activation is that of one row, of which only the signs are kept. */
function forwardConv34(pass: Pass, request: ForwardRequest, norm: NormCoefficients): void {
  const { kernels, workspace } = pass;
  const { conv3, conv4 } = productLayers;
  const bias3 = request.parameters + parameterOf('conv3', 'bias').offset * floatBytes;
  const bias4 = request.parameters + parameterOf('conv4', 'bias').offset * floatBytes;
  eachBlock(conv3, request.rows, (block, first, rows) => {
    const v = inputBlock(pass, request, 'conv3', block);
    normaliseRows(pass, 'bn2', workspace.pooled2, first, rows, norm);
    pass.transformInput('conv3', workspace.normalised, rows, v);
    pass.forwardProduct('conv3', v, rows, workspace.block);
    const v4 = inputBlock(pass, request, 'conv4', block);
    for (let i = 0; i < rows; i++) {
      const m = workspace.block + i * conv3.rowTiles * lineBytes;
      const open = workspace.open3 + (first + i) * conv3Values;
      kernels.conv3Output(m, conv3.outputPlane, conv3.panelBytes, bias3, 1, workspace.conv3, open, workspace.scratch);
      pass.transformInput('conv4', workspace.conv3, 1, v4 + i * conv4.rowTiles * lineBytes);
    }
    pass.forwardProduct('conv4', v4, rows, workspace.block);
    const pooled = workspace.pooled4 + first * pooled4Values * floatBytes;
    const argmax = workspace.argmax4 + first * pooled4Values;
    const { outputPlane, panelBytes } = conv4;
    kernels.conv4Output(workspace.block, outputPlane, panelBytes, bias4, rows, pooled, argmax, workspace.scratch);
  });
}

function forwardConv5(pass: Pass, request: ForwardRequest, norm: NormCoefficients): void {
  const { kernels, workspace } = pass;
  const layer = productLayers.conv5;
  const bias = request.parameters + parameterOf('conv5', 'bias').offset * floatBytes;
  eachBlock(layer, request.rows, (block, first, rows) => {
    const v = inputBlock(pass, request, 'conv5', block);
    normaliseRows(pass, 'bn4', workspace.pooled4, first, rows, norm);
    pass.transformInput('conv5', workspace.normalised, rows, v);
    pass.forwardProduct('conv5', v, rows, workspace.block);
    const pooled = workspace.pooled5 + first * pooled5Values * floatBytes;
    const argmax = workspace.argmax5 + first * pooled5Values;
    const { outputPlane, panelBytes } = layer;
    kernels.conv5Output(workspace.block, outputPlane, panelBytes, bias, rows, pooled, argmax, workspace.scratch);
  });
}

function forwardLinear(pass: Pass, request: ForwardRequest, norm: NormCoefficients): void {
  const { kernels, workspace } = pass;
  const { linear1, linear2 } = productLayers;
  const bias = request.parameters + parameterOf('linear1', 'bias').offset * floatBytes;
  eachBlock(linear1, request.rows, (block, first, rows) => {
    const x = inputBlock(pass, request, 'linear1', block);
    const hidden = inputBlock(pass, request, 'linear2', block);
    normaliseRows(pass, 'bn5', workspace.pooled5, first, rows, norm);
    kernels.rowsToPanels(workspace.normalised, rows, inputPanels(linear1), x, linear1.panelBytes);
    pass.forwardProduct('linear1', x, rows, hidden);
    kernels.biasRelu(hidden, linear1.panelBytes, outputPanels(linear1), rows, bias);
    pass.forwardProduct('linear2', hidden, rows, workspace.logits + block * linear2.outputPlane);
  });
}

function inputBlock(pass: Pass, { keepInputs }: ForwardRequest, name: ProductName, block: number): number {
  return pass.inputBlock(name, keepInputs ? block : 0);
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

/**
 * The backward pass, from the loss's gradient over the logits to the gradients of every parameter. Runs after `forward`
 * over the same rows; the batch norms are the caller's again. Weight gradients follow the summation tree.
 */
import { imagePixels } from '../../../shared/network.js';
import {
  blocksBytes,
  floatBytes,
  inputPanels,
  lineBytes,
  outputPanels,
  productLayers,
  rowPlace,
  unitLength,
} from './geometry.js';
import type { ProductLayer, ProductName } from './geometry.js';
import { conv1Signs, conv3Values, pooled2Values, pooled4Values, pooled5Values } from './geometry.js';
import { eachStrip } from './pass.js';
import type { NormName, Pass } from './pass.js';
import { productPlace, smallLength } from './units.js';

export interface BackwardRequest {
  readonly rows: number;
  /** Bytes of each layer's list of runs, see gradient-runs.ts; 0 for a shard without rows. */
  readonly runBytes: Readonly<Record<ProductName, number>>;
  /** The leaf that a row belongs to. */
  leafOf(row: number): number;
  /** Turns `delta`, the gradient of a batch norm's output, into that of its input `pooled`, in place. */
  normalised(norm: NormName, pooled: number, delta: number): void;
}

/** Leaves the sums of the shard's subtrees in the accumulators, conv1's and the batch norms' excepted: leaf by leaf. */
export function backward(pass: Pass, request: BackwardRequest): void {
  const { workspace } = pass;
  backwardLinear(pass, request);
  request.normalised('bn5', workspace.pooled5, workspace.delta5);
  backwardConv5(pass, request);
  request.normalised('bn4', workspace.pooled4, workspace.delta4);
  backwardConv34(pass, request);
  request.normalised('bn2', workspace.pooled2, workspace.delta2);
  backwardConv12(pass, request);
}

function backwardLinear(pass: Pass, request: BackwardRequest): void {
  const { kernels, workspace } = pass;
  const { linear1, linear2 } = productLayers;
  const { panel } = linear1.block.outputs;
  weightGradients(pass, 'linear2', workspace.logits, request);
  eachStrip(linear1, request.rows, (first, rows) => {
    const hidden = pass.inputAt('linear2', first);
    const delta = deltaAt(workspace.deltas, linear1, first);
    pass.backwardProduct('linear2', deltaAt(workspace.logits, linear2, first), rows, delta);
    kernels.maskRelu(delta, hidden, panel, outputPanels(linear1), rows);
    pass.backwardProduct('linear1', delta, rows, workspace.strip);
    const target = workspace.delta5 + first * pooled5Values * floatBytes;
    kernels.panelsToRows(workspace.strip, linear1.strip.inputs.panel, rows, inputPanels(linear1), target);
  });
  weightGradients(pass, 'linear1', workspace.deltas, request);
}

function backwardConv5(pass: Pass, request: BackwardRequest): void {
  const { kernels, workspace } = pass;
  const layer = productLayers.conv5;
  const [dmLayout, dvLayout] = [layer.block.outputs, layer.strip.inputs];
  eachStrip(layer, request.rows, (first, rows) => {
    const dm = deltaAt(workspace.deltas, layer, first);
    const delta = workspace.delta5 + first * pooled5Values * floatBytes;
    const argmax = workspace.argmax5 + first * pooled5Values;
    kernels.conv5OutputAdjoint(delta, argmax, rows, dm, dmLayout.plane, dmLayout.panel, workspace.scratch);
    pass.backwardProduct('conv5', dm, rows, workspace.strip);
    const dx = workspace.delta4 + first * pooled4Values * floatBytes;
    kernels.conv5InputAdjoint(workspace.strip, dvLayout.plane, dvLayout.panel, rows, dx, workspace.scratch);
  });
  weightGradients(pass, 'conv5', workspace.deltas, request);
}

function backwardConv34(pass: Pass, request: BackwardRequest): void {
  const { kernels, workspace } = pass;
  const { scratch } = workspace;
  const { conv3, conv4 } = productLayers;
  const deltas3 = workspace.deltas + blocksBytes(conv4, request.rows, 'outputs');
  const [dm3Layout, dm4Layout] = [conv3.block.outputs, conv4.block.outputs];
  const [dv3Layout, dv4Layout] = [conv3.strip.inputs, conv4.strip.inputs];
  eachStrip(conv4, request.rows, (first, rows) => {
    const dm4 = deltaAt(workspace.deltas, conv4, first);
    const delta = workspace.delta4 + first * pooled4Values * floatBytes;
    const argmax = workspace.argmax4 + first * pooled4Values;
    kernels.conv4OutputAdjoint(delta, argmax, rows, dm4, dm4Layout.plane, dm4Layout.panel, scratch);
    pass.backwardProduct('conv4', dm4, rows, workspace.strip);
    const dm3 = deltaAt(deltas3, conv3, first);
    for (let i = 0; i < rows; i++) {
      const dv = workspace.strip + i * conv4.rowTiles * lineBytes;
      kernels.conv4InputAdjoint(dv, dv4Layout.plane, dv4Layout.panel, 1, workspace.delta3, scratch);
      const open = workspace.open3 + (first + i) * conv3Values;
      const dm = dm3 + i * conv3.rowTiles * lineBytes;
      kernels.conv3OutputAdjoint(workspace.delta3, open, 1, dm, dm3Layout.plane, dm3Layout.panel, scratch);
    }
    pass.backwardProduct('conv3', dm3, rows, workspace.strip);
    const dx = workspace.delta2 + first * pooled2Values * floatBytes;
    kernels.conv3InputAdjoint(workspace.strip, dv3Layout.plane, dv3Layout.panel, rows, dx, scratch);
  });
  weightGradients(pass, 'conv4', workspace.deltas, request);
  weightGradients(pass, 'conv3', deltas3, request);
}

function backwardConv12(pass: Pass, request: BackwardRequest): void {
  const { kernels, workspace } = pass;
  const { scratch } = workspace;
  const layer = productLayers.conv2;
  const [dmLayout, dvLayout] = [layer.block.outputs, layer.strip.inputs];
  eachStrip(layer, request.rows, (first, rows) => {
    const dm = deltaAt(workspace.deltas, layer, first);
    const delta = workspace.delta2 + first * pooled2Values * floatBytes;
    const argmax = workspace.argmax2 + first * pooled2Values;
    kernels.conv2OutputAdjoint(delta, argmax, rows, dm, dmLayout.plane, dmLayout.panel, scratch);
    pass.backwardProduct('conv2', dm, rows, workspace.strip);
    for (let i = 0; i < rows; i++) {
      const dv = workspace.strip + i * layer.rowTiles * lineBytes;
      kernels.conv2InputAdjoint(dv, dvLayout.plane, dvLayout.panel, 1, workspace.delta1, scratch);
      conv1Gradient(pass, request, first + i);
    }
  });
  weightGradients(pass, 'conv2', workspace.deltas, request);
}

/** The part of one row, from its `delta1`. */
function conv1Gradient({ kernels, workspace }: Pass, request: BackwardRequest, row: number): void {
  const image = workspace.images + row * imagePixels * floatBytes;
  const gradient = smallGradient(workspace.smallGradients, request.leafOf(row));
  kernels.conv1Gradient(image, workspace.ones, workspace.signs1 + row * conv1Signs, workspace.delta1, gradient);
}

/** Weight and bias gradients of one layer from its stored inputs and `deltas`, panel by panel, into the accumulators. */
function weightGradients(pass: Pass, name: ProductName, deltas: number, request: BackwardRequest): void {
  const { kernels, workspace } = pass;
  const { layer, inputs } = pass.sites[name];
  const { points, block } = layer;
  const { nodes, stack } = workspace;
  const runs = workspace.runs[name];
  const end = runs + request.runBytes[name];
  const panels = outputPanels(layer);
  const unitBytes = unitLength(layer) * floatBytes;
  const place = productPlaces[name] * floatBytes;
  for (let point = 0; point < points; point++) {
    for (let panel = 0; panel < panels; panel += layer.gradientPanels) {
      kernels.weightGradient(
        inputs + point * block.inputs.plane,
        block.inputs.panel,
        inputPanels(layer),
        deltas + point * block.outputs.plane + panel * block.outputs.panel,
        block.outputs.panel,
        Math.min(layer.gradientPanels, panels - panel),
        runs,
        end,
        nodes,
        stack,
        place + panel * unitBytes + point * layer.inputs * lineBytes,
        unitBytes,
      );
    }
  }
  for (let panel = 0; panel < panels; panel++) {
    const d = deltas + layer.biasPoint * block.outputs.plane + panel * block.outputs.panel;
    const offset = place + panel * unitBytes + points * layer.inputs * lineBytes;
    kernels.biasGradient(d, runs, end, nodes, stack, offset);
  }
}

const productPlaces: Readonly<Record<ProductName, number>> = {
  conv2: productPlace('conv2'),
  conv3: productPlace('conv3'),
  conv4: productPlace('conv4'),
  conv5: productPlace('conv5'),
  linear1: productPlace('linear1'),
  linear2: productPlace('linear2'),
};

/** Address of the first tile of a row among a layer's deltas. */
function deltaAt(deltas: number, layer: ProductLayer, row: number): number {
  return deltas + rowPlace(layer, row, 'outputs');
}

/** Address of the gradients of conv1 and the batch norms of one leaf. */
export function smallGradient(smallGradients: number, leaf: number): number {
  return smallGradients + leaf * smallLength * floatBytes;
}

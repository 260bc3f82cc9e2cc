/**
 * The backward pass, from the loss's gradient over the logits to the gradients of every parameter. Runs after `forward`
 * over the same rows; the batch norms are the caller's again. Weight gradients follow the summation tree.
 */
import { at } from '../../../shared/errors.js';
import { imagePixels } from '../../../shared/model/network.js';
import { floatBytes, inputPanels, lineBytes, outputPanels, productLayers, rowOffset } from '../winograd/geometry.js';
import type { ProductLayer, ProductName } from '../winograd/geometry.js';
import { conv3Values, pooled2Values, pooled4Values, pooled5Values } from '../winograd/geometry.js';
import { blockOffset, deltaOffset, type GradientGroup } from './gradient-segments.js';
import { conv1SignsAt, eachStrip } from './pass.js';
import type { NormName, Pass } from './pass.js';
import { conv1Length, smallLength } from '../winograd/units.js';
import { sumGroup } from './weight-gradients.js';
import type { Workspace } from './workspace.js';

export interface BackwardRequest {
  /** Of each layer, see gradient-segments.ts; none for a shard without rows. conv3's and conv4's are the same. */
  readonly groups: Readonly<Record<ProductName, readonly GradientGroup[]>>;
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
  for (const group of request.groups.linear1) {
    eachStrip(linear1, group.first, group.end, (first, rows) => {
      const hidden = pass.inputAt('linear2', first);
      const delta = deltaAt(workspace.deltas, linear1, group, first);
      const z = workspace.logits + rowOffset(linear2, first, 'outputs');
      pass.backwardProduct('linear2', z, rows, delta, linear2.block.inputs);
      kernels.maskRelu(delta, hidden, panel, outputPanels(linear1), rows);
      pass.backwardProduct('linear1', delta, rows, workspace.strip, linear1.strip.inputs);
      const target = workspace.delta5 + first * pooled5Values * floatBytes;
      kernels.panelsToRows(workspace.strip, linear1.strip.inputs.panel, rows, inputPanels(linear1), target);
    });
    weightGradients(pass, 'linear1', workspace.deltas, group);
  }
  for (const group of request.groups.linear2) {
    weightGradients(pass, 'linear2', workspace.logits + blockOffset(linear2, group.first), group);
  }
}

function backwardConv5(pass: Pass, request: BackwardRequest): void {
  const { kernels, workspace } = pass;
  const { deltas, scratch } = workspace;
  const layer = productLayers.conv5;
  const [dmLayout, dvLayout] = [layer.block.outputs, layer.strip.inputs];
  for (const group of request.groups.conv5) {
    eachStrip(layer, group.first, group.end, (first, rows) => {
      const dm = deltaAt(deltas, layer, group, first);
      const delta = workspace.delta5 + first * pooled5Values * floatBytes;
      const argmax = workspace.argmax5 + first * pooled5Values;
      kernels.conv5OutputAdjoint(delta, argmax, rows, dm, dmLayout.plane, dmLayout.panel, scratch);
      pass.backwardProduct('conv5', dm, rows, workspace.strip, dvLayout);
      const dx = workspace.delta4 + first * pooled4Values * floatBytes;
      pass.adjointInput('conv5', workspace.strip, dvLayout, rows, dx);
    });
    weightGradients(pass, 'conv5', deltas, group);
  }
}

function backwardConv34(pass: Pass, request: BackwardRequest): void {
  const { kernels, workspace } = pass;
  const { deltas, deltas3, scratch } = workspace;
  const { conv3, conv4 } = productLayers;
  const [dm3Layout, dm4Layout] = [conv3.block.outputs, conv4.block.outputs];
  const [dv3Layout, dv4Layout] = [conv3.strip.inputs, conv4.strip.inputs];
  request.groups.conv4.forEach((group, position) => {
    eachStrip(conv4, group.first, group.end, (first, rows) => {
      const dm4 = deltaAt(deltas, conv4, group, first);
      const delta = workspace.delta4 + first * pooled4Values * floatBytes;
      const argmax = workspace.argmax4 + first * pooled4Values;
      kernels.conv4OutputAdjoint(delta, argmax, rows, dm4, dm4Layout.plane, dm4Layout.panel, scratch);
      pass.backwardProduct('conv4', dm4, rows, workspace.strip, dv4Layout);
      const dm3 = deltaAt(deltas3, conv3, group, first);
      for (let i = 0; i < rows; i++) {
        const dv = workspace.strip + i * conv4.rowTiles * lineBytes;
        pass.adjointInput('conv4', dv, dv4Layout, 1, workspace.delta3);
        const open = workspace.open3 + (first + i) * conv3Values;
        const dm = dm3 + i * conv3.rowTiles * lineBytes;
        kernels.conv3OutputAdjoint(workspace.delta3, open, 1, dm, dm3Layout.plane, dm3Layout.panel, scratch);
      }
      pass.backwardProduct('conv3', dm3, rows, workspace.strip, dv3Layout);
      const dx = workspace.delta2 + first * pooled2Values * floatBytes;
      pass.adjointInput('conv3', workspace.strip, dv3Layout, rows, dx);
    });
    weightGradients(pass, 'conv4', deltas, group);
    weightGradients(pass, 'conv3', deltas3, at(request.groups.conv3, position));
  });
}

function backwardConv12(pass: Pass, request: BackwardRequest): void {
  const { kernels, workspace } = pass;
  const { deltas, scratch } = workspace;
  const layer = productLayers.conv2;
  const dmLayout = layer.block.outputs;
  for (const group of request.groups.conv2) {
    eachStrip(layer, group.first, group.end, (first, rows) => {
      const dm = deltaAt(deltas, layer, group, first);
      const delta = workspace.delta2 + first * pooled2Values * floatBytes;
      const argmax = workspace.argmax2 + first * pooled2Values;
      kernels.conv2OutputAdjoint(delta, argmax, rows, dm, dmLayout.plane, dmLayout.panel, scratch);
      // A panel of dV goes on to conv1's gradient while it is cached.
      for (let panel = 0; panel < inputPanels(layer); panel++) {
        pass.backwardProduct('conv2', dm, rows, workspace.strip, layer.strip.panel, panel, 1);
        for (let i = 0; i < rows; i++) {
          const dv = workspace.strip + i * layer.rowTiles * lineBytes;
          kernels.conv2InputAdjoint(dv, layer.strip.panel.plane, 1, workspace.delta1, scratch);
          conv1Gradient(pass, request, first + i, panel);
        }
      }
    });
    weightGradients(pass, 'conv2', deltas, group);
  }
}

/** The part of one row and panel, from its `delta1`. */
function conv1Gradient({ kernels, workspace }: Pass, request: BackwardRequest, row: number, panel: number): void {
  const image = workspace.images + row * imagePixels * floatBytes;
  const gradient = smallGradient(workspace, request.leafOf(row)) + panel * conv1Length * floatBytes;
  kernels.conv1Gradient(image, conv1SignsAt(workspace, row, panel), workspace.delta1, gradient);
}

function weightGradients(pass: Pass, name: ProductName, deltas: number, group: GradientGroup): void {
  const { kernels, workspace, sites } = pass;
  const { layer, inputs, accumulators } = sites[name];
  const { nodes } = workspace;
  const [segments, stack] = [workspace.segments[name], workspace.stacks[name]];
  sumGroup(kernels, layer, { inputs, deltas, segments, nodes, stack, accumulators }, group);
}

/** Address of the first tile of a row among the deltas of its group. */
function deltaAt(deltas: number, layer: ProductLayer, { first }: GradientGroup, row: number): number {
  return deltas + deltaOffset(layer, row, first);
}

/** Address of the gradients of conv1 and the batch norms of one leaf. */
export function smallGradient({ smallGradients }: Workspace, leaf: number): number {
  return smallGradients.address + leaf * smallLength * floatBytes;
}

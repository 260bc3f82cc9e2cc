/**
 * What forward and backward share: the kernels of one rank bound to its memory, with each layer's sizes filled in.
 * A "strip" is the rows that go through a layer together (geometry.ts).
 */
import type { ReplicaBinding } from '../../../shared/engine.js';
import { batchNorms, type BatchNorm } from '../../../shared/model/network.js';
import {
  conv1Signs,
  eachProduct,
  floatBytes,
  inputPanels,
  lineBytes,
  outputPanels,
  panelWidth,
  productLayers,
  rowOffset,
} from '../winograd/geometry.js';
import type { ConvolutionName, ProductLayer, ProductName, TileLayout } from '../winograd/geometry.js';
import type { Kernels } from './kernels.js';
import { preparedOffsets, productOffset } from '../winograd/units.js';
import type { Workspace } from './workspace.js';

export type NormName = BatchNorm['name'];

/** Addresses of the pieces of one layer. */
export interface Site {
  readonly layer: ProductLayer;
  readonly inputs: number;
  readonly u: number;
  readonly ut: number;
  /** Its part of the accumulator of each subtree. */
  readonly accumulators: readonly number[];
}

export class Pass {
  readonly kernels: Kernels;
  readonly binding: ReplicaBinding;
  /** Absolute addresses. */
  readonly workspace: Workspace;
  readonly sites: Readonly<Record<ProductName, Site>>;

  constructor(kernels: Kernels, binding: ReplicaBinding, workspace: Workspace) {
    this.kernels = kernels;
    this.binding = binding;
    this.workspace = workspace;
    this.sites = eachProduct((layer) => ({
      layer,
      inputs: workspace.inputs[layer.name],
      u: binding.prepared + preparedOffsets[layer.name].u,
      ut: binding.prepared + preparedOffsets[layer.name].ut,
      accumulators: binding.accumulators.map((address) => address + productOffset(layer.name) * floatBytes),
    }));
  }

  /** M = V U of the tiles of some rows, or only some panels of it; `layout` is M's. */
  forwardProduct(
    name: ProductName,
    inputs: number,
    rows: number,
    outputs: number,
    layout: TileLayout,
    panel = 0,
    panels = outputPanels(productLayers[name]),
  ): void {
    const { layer, u } = this.sites[name];
    const { points, block } = layer;
    const uPoint = layer.inputs * lineBytes;
    this.kernels.product(
      inputs,
      block.inputs.plane,
      block.inputs.panel,
      inputPanels(layer),
      u + panel * points * uPoint,
      uPoint,
      points * uPoint,
      panels,
      outputs,
      layout.plane,
      layout.panel,
      points,
      rows * layer.rowTiles,
    );
  }

  /** dV = dM U^T of the tiles of some rows, or only some panels of it; `layout` is dV's. */
  backwardProduct(
    name: ProductName,
    outputs: number,
    rows: number,
    inputs: number,
    layout: TileLayout,
    panel = 0,
    panels = inputPanels(productLayers[name]),
  ): void {
    const { layer, ut } = this.sites[name];
    const { points, block } = layer;
    const utPoint = layer.columns * lineBytes;
    this.kernels.product(
      outputs,
      block.outputs.plane,
      block.outputs.panel,
      outputPanels(layer),
      ut + panel * points * utPoint,
      utPoint,
      points * utPoint,
      panels,
      inputs,
      layout.plane,
      layout.panel,
      points,
      rows * layer.rowTiles,
    );
  }

  /** Address of the first tile of a row among a layer's stored inputs. */
  inputAt(name: ProductName, row: number): number {
    const { layer, inputs } = this.sites[name];
    return inputs + rowOffset(layer, row, 'inputs');
  }

  /** The activation of a panel of M, and what the way back needs of it; addresses are those of the first row and channel. */
  transformOutput(
    name: ConvolutionName,
    m: number,
    { plane }: TileLayout,
    panel: number,
    bias: number,
    rows: number,
    y: number,
    choices: number,
  ): void {
    const channel = panel * panelWidth;
    const scaled = channel * floatBytes;
    this.kernels[`${name}Output`](m, plane, bias + scaled, rows, y + scaled, choices + channel, this.workspace.scratch);
  }

  /** V of one row of a convolution's input, [side][side][channels]. */
  transformInput(name: 'conv3' | 'conv4' | 'conv5', x: number, v: number): void {
    const layer = productLayers[name];
    const { plane, panel: panelBytes } = layer.block.inputs;
    for (let panel = 0; panel < inputPanels(layer); panel++) {
      this.kernels[`${name}Input`](x + panel * lineBytes, 1, v + panel * panelBytes, plane, this.workspace.scratch);
    }
  }

  /** The gradient of some rows of a convolution's input, [side][side][channels], from their dV. */
  adjointInput(name: 'conv3' | 'conv4' | 'conv5', dv: number, layout: TileLayout, rows: number, x: number): void {
    for (let panel = 0; panel < inputPanels(productLayers[name]); panel++) {
      const from = dv + panel * layout.panel;
      this.kernels[`${name}InputAdjoint`](from, layout.plane, rows, x + panel * lineBytes, this.workspace.scratch);
    }
  }
}

/** Calls `visit` for each strip of a layer's rows [first, end): its first row and its rows. None crosses a block. */
export function eachStrip(
  layer: ProductLayer,
  first: number,
  end: number,
  visit: (row: number, stripRows: number) => void,
): void {
  for (let row = first; row < end;) {
    const rows = Math.min(layer.stripRows, end - row, layer.blockRows - (row % layer.blockRows));
    visit(row, rows);
    row += rows;
  }
}

/** Address of the first sign of a row's activation in a panel of conv1. */
export function conv1SignsAt({ signs1 }: Workspace, row: number, panel: number): number {
  return signs1 + row * conv1Signs + panel * 2;
}

/** The batch norm of that name. */
export function normOf(name: NormName): BatchNorm {
  const norm = batchNorms.find((candidate) => candidate.name === name);
  if (norm === undefined) throw new Error(`no batch norm ${name}`);
  return norm;
}

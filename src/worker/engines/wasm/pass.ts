/**
 * What forward and backward share: the kernels of one rank bound to its memory, with each layer's sizes filled in.
 * A "strip" is the run of rows that go through a layer together (geometry.ts).
 */
import type { ReplicaBinding } from '../../../shared/engine.js';
import { batchNorms, type BatchNorm } from '../../../shared/network.js';
import {
  eachProduct,
  floatBytes,
  inputPanels,
  lineBytes,
  outputPanels,
  panelWidth,
  productLayers,
  rowPlace,
} from './geometry.js';
import type { ConvolutionName, ProductLayer, ProductName, TileLayout } from './geometry.js';
import type { Kernels } from './kernels.js';
import { preparedPlaces, productPlace } from './units.js';
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
      u: binding.prepared + preparedPlaces[layer.name].u,
      ut: binding.prepared + preparedPlaces[layer.name].ut,
      accumulators: binding.accumulators.map((address) => address + productPlace(layer.name) * floatBytes),
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

  /** dV = dM U^T of the tiles of a strip. */
  backwardProduct(name: ProductName, outputs: number, rows: number, inputs: number): void {
    const { layer, ut } = this.sites[name];
    const { points, block, strip } = layer;
    const utPoint = layer.columns * lineBytes;
    this.kernels.product(
      outputs,
      block.outputs.plane,
      block.outputs.panel,
      outputPanels(layer),
      ut,
      utPoint,
      points * utPoint,
      inputPanels(layer),
      inputs,
      strip.inputs.plane,
      strip.inputs.panel,
      points,
      rows * layer.rowTiles,
    );
  }

  /** Address of the first tile of a row among a layer's stored inputs. */
  inputAt(name: ProductName, row: number): number {
    const { layer, inputs } = this.sites[name];
    return inputs + rowPlace(layer, row, 'inputs');
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

  /** V of one row of a convolution's input. */
  transformInput(name: ConvolutionName, x: number, v: number): void {
    const { plane, panel } = productLayers[name].block.inputs;
    this.kernels[`${name}Input`](x, 1, v, plane, panel, this.workspace.scratch);
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

/** The batch norm of that name. */
export function normOf(name: NormName): BatchNorm {
  const norm = batchNorms.find((candidate) => candidate.name === name);
  if (norm === undefined) throw new Error(`no batch norm ${name}`);
  return norm;
}

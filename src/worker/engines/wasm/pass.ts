/**
 * What forward and backward share: the kernels of one rank bound to its memory, with each layer's sizes filled in.
 * A "block" is the run of rows whose tiles lie together (geometry.ts); its number and rows are given by `eachBlock`.
 */
import type { ReplicaBinding } from '../../../shared/engine.js';
import { batchNorms, type BatchNorm } from '../../../shared/network.js';
import { eachProduct, inputPanels, outputPanels, lineBytes, productLayers } from './geometry.js';
import type { ConvolutionName, ProductLayer, ProductName } from './geometry.js';
import type { Kernels } from './kernels.js';
import { preparedPlaces } from './units.js';
import type { Workspace } from './workspace.js';

export type NormName = BatchNorm['name'];

/** Addresses of the pieces of one layer. */
export interface Site {
  readonly layer: ProductLayer;
  readonly inputs: number;
  readonly u: number;
  readonly ut: number;
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
    }));
  }

  /** M = V U of one block. */
  forwardProduct(name: ProductName, inputs: number, rows: number, outputs: number): void {
    const { layer, u } = this.sites[name];
    const { points, panelBytes } = layer;
    const uPoint = layer.inputs * lineBytes;
    this.kernels.product(
      inputs,
      layer.inputPlane,
      panelBytes,
      inputPanels(layer),
      u,
      uPoint,
      points * uPoint,
      outputPanels(layer),
      outputs,
      layer.outputPlane,
      panelBytes,
      points,
      rows * layer.rowTiles,
    );
  }

  /** dV = dM U^T of one block. */
  backwardProduct(name: ProductName, outputs: number, rows: number, inputs: number): void {
    const { layer, ut } = this.sites[name];
    const { points, panelBytes } = layer;
    const utPoint = layer.columns * lineBytes;
    this.kernels.product(
      outputs,
      layer.outputPlane,
      panelBytes,
      outputPanels(layer),
      ut,
      utPoint,
      points * utPoint,
      inputPanels(layer),
      inputs,
      layer.inputPlane,
      panelBytes,
      points,
      rows * layer.rowTiles,
    );
  }

  /** Address of block `block` among a layer's stored inputs. */
  inputBlock(name: ProductName, block: number): number {
    const { layer, inputs } = this.sites[name];
    return inputs + block * layer.points * layer.inputPlane;
  }

  /** V of one block of a convolution's input. */
  transformInput(name: ConvolutionName, x: number, rows: number, v: number): void {
    const { inputPlane, panelBytes } = productLayers[name];
    this.kernels[`${name}Input`](x, rows, v, inputPlane, panelBytes, this.workspace.scratch);
  }
}

/** Calls `visit` for each block of a layer: its number, its first row and its rows. */
export function eachBlock(
  layer: ProductLayer,
  rows: number,
  visit: (block: number, row: number, blockRows: number) => void,
): void {
  for (let row = 0, block = 0; row < rows; row += layer.blockRows, block++) {
    visit(block, row, Math.min(layer.blockRows, rows - row));
  }
}

/** The batch norm of that name. */
export function normOf(name: NormName): BatchNorm {
  const norm = batchNorms.find((candidate) => candidate.name === name);
  if (norm === undefined) throw new Error(`no batch norm ${name}`);
  return norm;
}

/** The private memory of one rank: what lies where, computed from the shape alone. */
import type { WorkspaceShape } from '../../../shared/engine.js';
import { batchNormChannels, batchNorms, imagePixels } from '../../../shared/model/network.js';
import { leafCount } from '../../../shared/sums/tree.js';
import {
  blocksBytes,
  conv1Signs,
  conv1Values,
  conv3Values,
  doubleBytes,
  floatBytes,
  lineBytes,
} from '../winograd/geometry.js';
import {
  eachProduct,
  pooled2Values,
  pooled4Values,
  pooled5Values,
  productLayers,
  type ProductLayer,
  type ProductName,
} from '../winograd/geometry.js';
import { deltaBytes, maxSegments, nodesBytes, segmentBytes, stackBytes } from './gradient-segments.js';
import { smallLength } from '../winograd/units.js';

/** Where an array is that TypeScript reads too. */
export interface Region {
  readonly address: number;
  /** In elements. */
  readonly length: number;
}

/** Addresses; activations are float32 [rows][height][width][channels]. */
export interface Workspace {
  /** For the transforms: `scratchBytes`. */
  readonly scratch: number;
  /** The open nodes of the tree: those of one tile within a group, and those of a whole layer between groups. */
  readonly nodes: number;
  readonly stacks: Readonly<Record<ProductName, number>>;
  /** int32 [segments][segmentFields] of each layer, see gradient-segments.ts. */
  readonly segments: Readonly<Record<ProductName, number>>;
  /** float32 [leaves][smallLength]: gradients of conv1 and the batch norms. */
  readonly smallGradients: Region;
  /** float64 [leaves][2 channels] and [2 channels], of the batch norm at hand. */
  readonly leafSums: Region;
  readonly totals: Region;
  /** float32 [channels of all batch norms] each. */
  readonly mean: number;
  readonly invStd: number;
  readonly scale: number;
  readonly slope: number;
  readonly shift: number;
  readonly images: number;
  /** Of one row and panel; only the signs are kept, see assembly/convolution1.ts. */
  readonly conv1: number;
  readonly signs1: number;
  /** Winograd inputs of all blocks, kept for the weight gradients. */
  readonly inputs: Readonly<Record<ProductName, number>>;
  readonly pooled2: number;
  readonly argmax2: number;
  /** Of one row; kept is where it is above 0, int8. */
  readonly conv3: number;
  readonly open3: number;
  readonly pooled4: number;
  readonly argmax4: number;
  readonly pooled5: number;
  readonly argmax5: number;
  /** Normalised input of one row, or of a strip for the classifier. */
  readonly normalised: number;
  /** M or dV of one strip. */
  readonly strip: number;
  /** dM of one group of a layer, or the classifier's deltas; conv3's, which go together with conv4's. */
  readonly deltas: number;
  readonly deltas3: number;
  readonly logits: number;
  /** float64 [rows]. */
  readonly losses: Region;
  /** Gradients of the activations of the same names; those of conv1 of one row and panel, of conv3 of one row. */
  readonly delta1: number;
  readonly delta2: number;
  readonly delta3: number;
  readonly delta4: number;
  readonly delta5: number;
  readonly bytes: number;
}

/** Room for conv2's 16 x 16 filters at all 64 points and what they are made from, see assembly/convolution.ts: 66 KiB. */
export const scratchBytes = 69632;

/** @param base address of the workspace, a multiple of 64 */
export function planWorkspace({ rows, microBatch }: WorkspaceShape, base = 0): Workspace {
  let offset = base;
  const take = (bytes: number): number => {
    const start = offset;
    offset += Math.ceil(bytes / lineBytes) * lineBytes;
    return start;
  };
  const floats = (count: number): number => take(count * floatBytes);
  const region = (length: number, elementBytes: number): Region => ({ address: take(length * elementBytes), length });
  const leaves = Math.max(1, leafCount(rows, microBatch));
  const channels = Math.max(...batchNorms.map((norm) => norm.channels));
  const layers = Object.values(productLayers);
  const { conv3, linear1, linear2 } = productLayers;
  const deltas = (layer: ProductLayer): number => deltaBytes(layer, microBatch, rows);
  // Normalised rows go into conv3 and conv5 one by one, into the classifier a strip at a time.
  const normalised = Math.max(pooled2Values, pooled4Values, linear1.stripRows * pooled5Values);

  const plan = {
    scratch: take(scratchBytes),
    nodes: take(nodesBytes),
    stacks: eachProduct((layer) => take(stackBytes(layer, leaves, microBatch))),
    segments: eachProduct((layer) => take(maxSegments(layer, leaves, rows) * segmentBytes)),
    smallGradients: region(leaves * smallLength, floatBytes),
    leafSums: region(leaves * 2 * channels, doubleBytes),
    totals: region(2 * channels, doubleBytes),
    mean: floats(batchNormChannels),
    invStd: floats(batchNormChannels),
    scale: floats(batchNormChannels),
    slope: floats(batchNormChannels),
    shift: floats(batchNormChannels),
    images: floats(rows * imagePixels),
    conv1: floats(conv1Values),
    signs1: take(rows * conv1Signs),
    inputs: eachProduct((layer) => take(blocksBytes(layer, rows, 'inputs'))),
    pooled2: floats(rows * pooled2Values),
    argmax2: take(rows * pooled2Values),
    conv3: floats(conv3Values),
    open3: take(rows * conv3Values),
    pooled4: floats(rows * pooled4Values),
    argmax4: take(rows * pooled4Values),
    pooled5: floats(rows * pooled5Values),
    argmax5: take(rows * pooled5Values),
    normalised: floats(normalised),
    strip: take(Math.max(...layers.map(({ strip }) => Math.max(strip.inputs.bytes, strip.outputs.bytes)))),
    deltas: take(Math.max(...layers.map(deltas))),
    deltas3: take(deltas(conv3)),
    logits: take(blocksBytes(linear2, rows, 'outputs')),
    losses: region(rows, doubleBytes),
    delta1: floats(conv1Values),
    delta2: floats(rows * pooled2Values),
    delta3: floats(conv3Values),
    delta4: floats(rows * pooled4Values),
    delta5: floats(rows * pooled5Values),
  };
  return { ...plan, bytes: offset - base };
}

/** Weight and bias gradients of one layer, group by group (gradient-segments.ts), from its stored inputs and the group's deltas. */
import { at } from '../../../shared/errors.js';
import {
  floatBytes,
  inputPanels,
  lineBytes,
  outputPanels,
  unitLength,
  type ProductLayer,
} from '../winograd/geometry.js';
import { nodeBytes, type GradientGroup } from './gradient-segments.js';
import type { Kernels } from './kernels.js';

/** Addresses. */
export interface GradientPlaces {
  /** V of all rows of the shard, block after block. */
  readonly inputs: number;
  /** dM from the block on in which the group begins. */
  readonly deltas: number;
  /** The layer's segments, `nodesBytes` with zeros in front, and `stackBytes`. */
  readonly segments: number;
  readonly nodes: number;
  readonly stack: number;
  /** The layer's part of the accumulator of each subtree of the shard. */
  readonly accumulators: readonly number[];
}

/** Leaves the group's sum on the layer's stack, or in the accumulator of the subtree that it finishes. */
export function sumGroup(kernels: Kernels, layer: ProductLayer, places: GradientPlaces, group: GradientGroup): void {
  const { points, block } = layer;
  const { merges } = group;
  const { nodes, stack, inputs, deltas } = places;
  const bytes = nodeBytes(layer);
  const unitBytes = unitLength(layer) * floatBytes;
  const [from, to] = [places.segments + group.from * 4, places.segments + group.to * 4];
  const top = stack + group.open * bytes;
  const target = group.finished < 0 ? top - merges * bytes : at(places.accumulators, group.finished);
  for (let point = 0; point < points; point++) {
    const place = point * layer.inputs * lineBytes;
    kernels.weightGradient(
      inputs + point * block.inputs.plane,
      block.inputs.panel,
      inputPanels(layer),
      deltas + point * block.outputs.plane,
      block.outputs.panel,
      outputPanels(layer),
      from,
      to,
      nodes,
      top + place,
      merges,
      bytes,
      target + place,
      unitBytes,
    );
  }
  for (let panel = 0; panel < outputPanels(layer); panel++) {
    const d = deltas + layer.biasPoint * block.outputs.plane + panel * block.outputs.panel;
    const place = panel * unitBytes + points * layer.inputs * lineBytes;
    kernels.biasGradient(d, from, to, nodes, top + place, merges, bytes, target + place);
  }
}

/**
 * The backward pass, from the gradient of the logits to those of every parameter, as kernels in the order of their launches: first
 * the gradients of the activations, with the batch norms' statistics between their parts, then those of the weights, which follow
 * the summation tree.
 */
import type { LeafRange } from '../../../../shared/sums/tree.js';
import { leafSchedule } from '../../../../shared/sums/tree.js';
import { batchNormChannels, batchNorms, convolutions, imagePixels } from '../../../../shared/model/network.js';
import type { DeviceBuffer } from '../driver/buffer.js';
import type { Kernel } from '../driver/program.js';
import {
  conv1Panels,
  inputPanels,
  outputPanels,
  panelWidth,
  productLayers,
  productNames,
} from '../../winograd/geometry.js';
import { floatBytes, lineBytes, unitLength, type ConvolutionName, type ProductLayer } from '../../winograd/geometry.js';
import { accumulatorLength, conv1Taps, productOffset } from '../../winograd/units.js';
import { panelTiles, slotCount } from '../geometry.js';
import { biasColumns } from '../kernels/gradients.js';
import { blockSums } from '../kernels/products.js';
import { normArrays, normOf, type NormName, type Pass } from './pass.js';
import { each, tileWork, worked } from '../works.js';

export interface BackwardParts {
  /** From the gradient of the logits to that of bn5's output, from there to bn4's, then bn2's, then to conv1. */
  readonly toNorm5: readonly Kernel[];
  readonly toNorm4: readonly Kernel[];
  readonly toNorm2: readonly Kernel[];
  readonly toPixels: readonly Kernel[];
}

/** Runs behind the forward pass over the same rows, of the training split. */
export function backwardParts(pass: Pass, rows: number): BackwardParts {
  const { arrays } = pass;
  const { inputs, outputs, inputDeltas: dv } = arrays;
  const { linear1 } = productLayers;
  const outputAdjoint = (name: ConvolutionName, ...values: readonly DeviceBuffer[]): Kernel =>
    pass.tileKernel(name, 'OutputAdjoint', [...values, outputs[name]], rows);
  const inputAdjoint = (name: ConvolutionName): Kernel => pass.tileKernel(name, 'InputAdjoint', [dv], rows);
  /** From the gradient of what a convolution made to that of its input. */
  const through = (name: ConvolutionName, from: DeviceBuffer, kept: DeviceBuffer, to: DeviceBuffer): Kernel[] => {
    const list = [dv, to, pass.tiles(name)];
    const gather = pass.lines(`${name}Gather`, list, productLayers[name].inputs, inputPixels(name), rows);
    return [
      outputAdjoint(name, from, kept),
      pass.backwardProduct(name, rows),
      inputAdjoint(name),
      worked(gather, tileWork(name, 'Gather', rows)),
    ];
  };
  return {
    toNorm5: [
      pass.backwardProduct('linear2', rows, outputs.linear2, outputs.linear1),
      pass.lines(
        'linear1OutputAdjoint',
        [outputs.linear1, inputs.linear2, pass.tiles('linear1')],
        panelWidth,
        rows,
        outputPanels(linear1),
      ),
      pass.backwardProduct('linear1', rows),
      pass.lines('linear1Gather', [dv, arrays.delta5, pass.tiles('linear1')], linear1.inputs, rows),
    ],
    toNorm4: [normalised(pass, 'bn5', rows), ...through('conv5', arrays.delta5, arrays.argmax5, arrays.delta4)],
    toNorm2: [
      normalised(pass, 'bn4', rows),
      ...through('conv4', arrays.delta4, arrays.argmax4, arrays.delta3),
      ...through('conv3', arrays.delta3, arrays.conv3, arrays.delta2),
    ],
    toPixels: [
      normalised(pass, 'bn2', rows),
      outputAdjoint('conv2', arrays.delta2, arrays.argmax2),
      pass.backwardProduct('conv2', rows),
      inputAdjoint('conv2'),
      conv1Delta(pass, rows),
    ],
  };
}

/** The gradient of a batch norm's input in the place of its output's. */
function normalised(pass: Pass, name: NormName, rows: number): Kernel {
  const { channels, pixels } = normOf(name);
  const { mean, scale, slope, shift } = pass.arrays.norms[name];
  const { x, delta } = normArrays(pass, name);
  const kernel = pass.lines('normaliseGradient', [x, delta, mean, scale, slope, shift], channels, pixels, rows);
  return worked(kernel, each(rows * pixels * channels, 5, 12));
}

/** The gradient of conv1's activation, from the tiles of conv2's input. */
function conv1Delta(pass: Pass, rows: number): Kernel {
  const { inputDeltas: dv, pixels: images, prepared, delta1 } = pass.arrays;
  const { inputs } = productLayers.conv2;
  const pixels = rows * inputPixels('conv2');
  const list = [dv, images, prepared, delta1, pass.tiles('conv2')];
  const kernel = pass.lines('conv1Delta', list, inputs, inputPixels('conv2'), rows);
  const { operations, bytes } = tileWork('conv2', 'Gather', rows);
  kernel.work = {
    operations: operations + pixels * inputs * 2 * conv1Taps,
    bytes: bytes + rows * imagePixels * floatBytes,
  };
  return kernel;
}

/** Pixels of a layer's input. */
function inputPixels(name: ProductLayer['name']): number {
  const side = convolutions.find((conv) => conv.name === name)?.inputSize ?? 1;
  return side * side;
}

/** Leaves whose sum is a node of the tree, and what becomes of it. */
export interface LeafGroup {
  /** The first leaf, from the shard's on. */
  readonly first: number;
  readonly leaves: number;
  /** Nodes on the stack before it, and how many of these it joins. */
  readonly open: number;
  readonly merges: number;
  /** The subtree that it finishes, by its position in the shard; -1 where it goes on the stack. */
  readonly finished: number;
}

/** The groups of a shard, each a complete subtree of at most `most` leaves, a power of two. */
export function leafGroups(range: LeafRange, most: number): LeafGroup[] {
  const groups: LeafGroup[] = [];
  let [first, open, stacked] = [0, 0, 0];
  let depth = 0;
  leafSchedule(range).forEach(({ merges, finished }, leaf) => {
    const leaves = leaf + 1 - first;
    depth += 1 - merges;
    if (leaves < most && finished < 0) return;
    // Its leaves have become one node; what else was joined stood on the stack before.
    const joined = stacked + 1 - depth;
    groups.push({ first, leaves, open, merges: joined, finished });
    [first, stacked] = [leaf + 1, finished < 0 ? depth : 0];
    open = stacked;
    if (finished >= 0) depth = 0;
  });
  return groups;
}

/** The gradients of the weights of a shard, round by round: as many leaves as there are slots, and then the groups that they are. */
export function gradientKernels(pass: Pass, rows: number, range: LeafRange): Kernel[] {
  const slots = slotCount(pass.shape);
  const rounds: LeafGroup[][] = [];
  let used = slots;
  for (const group of leafGroups(range, slots)) {
    if (used + group.leaves > slots) {
      rounds.push([]);
      used = 0;
    }
    rounds.at(-1)?.push(group);
    used += group.leaves;
  }
  return rounds.flatMap((groups) => roundKernels(pass, rows, groups));
}

function roundKernels(pass: Pass, rows: number, groups: readonly LeafGroup[]): Kernel[] {
  const { arrays, shape } = pass;
  const first = groups[0]?.first ?? 0;
  const leaves = groups.reduce((sum, group) => sum + group.leaves, 0);
  const [firstLeaf, count, microBatch] = [{ int32: first }, { int32: rows }, { int32: shape.microBatch }];
  const { norms, slots } = arrays;
  const biases = productNames.flatMap((name) => [arrays.outputs[name], pass.tiles(name)]);
  return [
    ...productNames.map((name) => weightGradient(pass, productLayers[name], rows, first, leaves)),
    pass.lines('biasGradients', [...biases, slots, firstLeaf, count, microBatch], biasColumns, leaves),
    pass.lines(
      'normGradients',
      [...batchNorms.map(({ name }) => norms[name].leafSums), slots, firstLeaf],
      2 * batchNormChannels,
      leaves,
    ),
    conv1Gradient(pass, rows, first, leaves),
    ...groups.map((group) => {
      const target = group.finished < 0 ? arrays.stack : arrays.accumulators;
      const position = group.finished < 0 ? group.open - group.merges : group.finished;
      const values = [
        slots,
        { int32: group.first - first },
        arrays.stack,
        { int32: group.open },
        { int32: group.merges },
      ];
      const kernel = pass.items(
        `sumLeaves${String(group.leaves)}`,
        [...values, target, { int32: position }, { int32: accumulatorLength / 4 }],
        accumulatorLength / 4,
      );
      const terms = group.leaves + group.merges;
      kernel.work = {
        operations: (terms - 1) * accumulatorLength,
        bytes: (terms + 1) * accumulatorLength * floatBytes,
      };
      return kernel;
    }),
  ];
}

function weightGradient(pass: Pass, layer: ProductLayer, rows: number, first: number, leaves: number): Kernel {
  const { arrays, shape, side } = pass;
  const [k, n] = [inputPanels(layer), outputPanels(layer)];
  const panel = { int32: (panelTiles(layer, shape.rows) * lineBytes) / 16 };
  const kernel = pass.program.kernel(
    'weightGradient',
    [
      ...[arrays.inputs[layer.name], panel, { int32: k }],
      ...[layer.name === 'linear1' ? arrays.outputs.linear1 : arrays.outputs[layer.name], panel, { int32: n }],
      ...[
        arrays.slots,
        { int32: accumulatorLength },
        { int32: productOffset(layer.name) },
        { int32: unitLength(layer) },
      ],
      ...[
        { int32: leaves },
        { int32: first },
        { int32: shape.microBatch * layer.rowTiles },
        { int32: rows * layer.rowTiles },
      ],
    ],
    `${layer.name} weight gradient`,
  );
  const tiles = Math.min(leaves * shape.microBatch, rows - first * shape.microBatch) * layer.rowTiles;
  const sums = layer.points * k * n * panelWidth * panelWidth;
  kernel.work = {
    operations: 2 * tiles * sums,
    bytes: (layer.points * tiles * (k + n) * panelWidth + leaves * sums) * floatBytes,
  };
  const block = blockSums(side);
  const blocks = (panels: number): number => Math.ceil((panels * panelWidth) / block) * side;
  return kernel.setSize([blocks(n), blocks(k), layer.points * leaves], [side, side, 1]);
}

function conv1Gradient(pass: Pass, rows: number, first: number, leaves: number): Kernel {
  const { arrays, shape } = pass;
  const kernel = pass.program.kernel('conv1Gradient', [
    ...[arrays.pixels, arrays.delta1, arrays.slots, { int32: accumulatorLength }],
    ...[{ int32: first }, { int32: rows }, { int32: shape.microBatch }],
  ]);
  const taps = conv1Taps + 1;
  const covered = Math.min(leaves * shape.microBatch, rows - first * shape.microBatch) * inputPixels('conv2');
  const { inputs } = productLayers.conv2;
  kernel.work = { operations: covered * inputs * (2 * conv1Taps + 1), bytes: covered * (inputs + 1) * floatBytes };
  // All taps of a panel side by side, where a work-group may be so large: they read the same gradients.
  const together = kernel.maxWorkGroupSize >= panelWidth * taps ? taps : 1;
  return kernel.setSize([panelWidth, taps, leaves * conv1Panels], [panelWidth, together, 1]);
}

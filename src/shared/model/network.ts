/**
 * The network, as one table: every size in the project is derived from here.
 *
 *   input 28x28 -> conv1 -> relu -> conv2 -> relu -> pool -> bn2 -> conv3 -> relu -> conv4 -> relu -> pool -> bn4
 *         -> conv5 -> relu -> pool -> bn5 -> flatten -> linear1 -> relu -> linear2 -> softmax
 *
 * Convolutions are 3x3, stride 1, unpadded, with bias; pools are 2x2. Names and shapes are those of the PyTorch program.
 */

export const imageSize = 28;
export const imagePixels = imageSize * imageSize;
export const classes = 10;

export interface Convolution {
  readonly name: 'conv1' | 'conv2' | 'conv3' | 'conv4' | 'conv5';
  readonly inputs: number;
  readonly outputs: number;
  /** Height and width of the (square) input. */
  readonly inputSize: number;
  /** Height and width before any pooling. */
  readonly outputSize: number;
  /** Whether relu is followed by a 2x2 max pool and a batch norm. */
  readonly pooled: boolean;
}

export const convolutions = [
  { name: 'conv1', inputs: 1, outputs: 64, inputSize: 28, outputSize: 26, pooled: false },
  { name: 'conv2', inputs: 64, outputs: 64, inputSize: 26, outputSize: 24, pooled: true },
  { name: 'conv3', inputs: 64, outputs: 128, inputSize: 12, outputSize: 10, pooled: false },
  { name: 'conv4', inputs: 128, outputs: 128, inputSize: 10, outputSize: 8, pooled: true },
  { name: 'conv5', inputs: 128, outputs: 256, inputSize: 4, outputSize: 2, pooled: true },
] as const satisfies readonly Convolution[];

/** PyTorch's names of the batch norms, and what each follows. */
const normNames = { bn2: 'conv2', bn4: 'conv4', bn5: 'conv5' } as const;

export interface BatchNorm {
  readonly name: keyof typeof normNames;
  readonly channels: number;
  /** Height times width of the pooled activation that it normalises. */
  readonly pixels: number;
  /** Where its channels begin in a flat array over all batch norms. */
  readonly offset: number;
}

/** One behind each pool, in the network's order. */
export const batchNorms: readonly BatchNorm[] = buildBatchNorms();

/** Channels of all batch norms together: the length of one running statistic. */
export const batchNormChannels = batchNorms.reduce((sum, { channels }) => sum + channels, 0);
export const batchNormEpsilon = 1e-5;
export const batchNormMomentum = 0.1;

export interface Linear {
  readonly name: 'linear1' | 'linear2';
  readonly inputs: number;
  readonly outputs: number;
}

export const linears = [
  { name: 'linear1', inputs: 256, outputs: 512 },
  { name: 'linear2', inputs: 512, outputs: 10 },
] as const satisfies readonly Linear[];

export type LayerName = (typeof convolutions)[number]['name'] | BatchNorm['name'] | Linear['name'];

export interface Parameter {
  /** PyTorch's name, such as `conv1.weight`. */
  readonly name: string;
  readonly layer: LayerName;
  readonly kind: 'weight' | 'bias';
  readonly shape: readonly number[];
  /** Position of its first value in the flat float32 array of all parameters. */
  readonly offset: number;
  readonly length: number;
  /** Values each output is summed over; PyTorch's default init is uniform in +-1/sqrt(fanIn). 0 for batch norms. */
  readonly fanIn: number;
}

/** All learnable tensors in PyTorch's `state_dict` order, row-major, one after the other. */
export const parameters: readonly Parameter[] = buildParameters();

/** Learnable values in all: 691,786. */
export const parameterCount = parameters.reduce((sum, parameter) => sum + parameter.length, 0);

/** The tensor of that PyTorch name. */
export function parameterOf(layer: LayerName, kind: 'weight' | 'bias'): Parameter {
  const found = parameters.find((parameter) => parameter.layer === layer && parameter.kind === kind);
  if (found === undefined) throw new Error(`no parameter ${layer}.${kind}`);
  return found;
}

/** What normalises the pooled output of a convolution. */
export function batchNormAfter({ name }: Pick<Convolution, 'name'>): BatchNorm {
  const found = batchNorms.find((norm) => normNames[norm.name] === name);
  if (found === undefined) throw new Error(`no batch norm follows ${name}`);
  return found;
}

function buildBatchNorms(): BatchNorm[] {
  let offset = 0;
  return (Object.keys(normNames) as BatchNorm['name'][]).map((name) => {
    const conv = convolutions.find((candidate) => candidate.name === normNames[name]);
    if (conv?.pooled !== true) throw new Error(`${name} follows no pool`);
    const norm = { name, channels: conv.outputs, pixels: (conv.outputSize * conv.outputSize) / 4, offset };
    offset += norm.channels;
    return norm;
  });
}

function buildParameters(): Parameter[] {
  const list: Parameter[] = [];
  let offset = 0;
  const push = (layer: LayerName, kind: 'weight' | 'bias', shape: number[], fanIn: number): void => {
    const length = shape.reduce((product, size) => product * size, 1);
    list.push({ name: `${layer}.${kind}`, layer, kind, shape, offset, length, fanIn });
    offset += length;
  };
  for (const conv of convolutions) {
    const fanIn = conv.inputs * 9;
    push(conv.name, 'weight', [conv.outputs, conv.inputs, 3, 3], fanIn);
    push(conv.name, 'bias', [conv.outputs], fanIn);
    if (!conv.pooled) continue;
    const norm = batchNormAfter(conv);
    push(norm.name, 'weight', [norm.channels], 0);
    push(norm.name, 'bias', [norm.channels], 0);
  }
  for (const linear of linears) {
    push(linear.name, 'weight', [linear.outputs, linear.inputs], linear.inputs);
    push(linear.name, 'bias', [linear.outputs], linear.inputs);
  }
  return list;
}

/** What a trained network is, apart from the run that trained it: all that evaluation and prediction need. */
import { batchNormChannels, batchNorms, parameters } from '../shared/model/network.js';

export interface Weights {
  /** float32 [parameterCount], in PyTorch's order and layout. */
  readonly parameters: Float32Array;
  /** float32 [2][batchNormChannels]: running means, then running (unbiased) variances. */
  readonly runningStatistics: Float32Array;
  /** Training batches that the running statistics have seen; PyTorch keeps it beside each batch norm. */
  readonly batchesTracked: number;
}

/** One entry of PyTorch's `state_dict`, in its order. */
export interface StateTensor {
  /** PyTorch's name, such as `bn2.running_mean`. */
  readonly name: string;
  readonly shape: readonly number[];
  readonly length: number;
  /** Which array of `Weights` holds it, from which value on; `batchesTracked` is an int64 scalar. */
  readonly part: keyof Weights;
  readonly offset: number;
}

/** All tensors of the network's `state_dict`, in PyTorch's order. */
export const stateTensors: readonly StateTensor[] = buildStateTensors();

function buildStateTensors(): StateTensor[] {
  return parameters.flatMap(({ name, layer, kind, shape, length, offset }) => {
    const tensor: StateTensor = { name, shape, length, part: 'parameters', offset };
    const norm = batchNorms.find((candidate) => candidate.name === layer);
    return norm === undefined || kind === 'weight' ? [tensor] : [tensor, ...buffersOf(norm)];
  });
}

function buffersOf({ name, channels, offset }: (typeof batchNorms)[number]): StateTensor[] {
  const statistic = (kind: string, start: number): StateTensor => ({
    name: `${name}.${kind}`,
    shape: [channels],
    length: channels,
    part: 'runningStatistics',
    offset: start + offset,
  });
  return [
    statistic('running_mean', 0),
    statistic('running_var', batchNormChannels),
    { name: `${name}.num_batches_tracked`, shape: [], length: 1, part: 'batchesTracked', offset: 0 },
  ];
}

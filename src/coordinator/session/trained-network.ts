/** The network of a checkpoint as it is used: the average of its weights where one was taken, for plain pixels. */
import { forPlainPixels } from '../../shared/model/input-scale.js';
import type { Checkpoint } from '../checkpoint/checkpoint.js';
import { synchroniseStatistics } from './batch-norm.js';
import type { NetworkState } from './state.js';

/** What the run that wrote it was scored with, to the bit. */
export function trainedNetwork(
  checkpoint: Pick<Checkpoint, 'config' | 'average' | 'parameters' | 'runningStatistics'>,
): NetworkState {
  const { config, average } = checkpoint;
  const { parameters, runningStatistics } = average ?? checkpoint;
  return {
    parameters: forPlainPixels(parameters, config),
    runningStatistics: synchroniseStatistics(config, runningStatistics),
  };
}

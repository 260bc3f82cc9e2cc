/** The network of a checkpoint as it is used. */
import { networkParameters, type Checkpoint } from './checkpoint.js';
import { synchroniseStatistics } from './batch-norm.js';

/** A network without the run that trained it: float32 [parameterCount], and [2][batchNormChannels]. */
export interface NetworkState {
  readonly parameters: Float32Array;
  readonly runningStatistics: Float32Array;
}

/** What the run that wrote it was scored with, to the bit. */
export function trainedNetwork(
  checkpoint: Pick<Checkpoint, 'config' | 'average' | 'parameters' | 'runningStatistics'>,
): NetworkState {
  const { config, average, runningStatistics } = checkpoint;
  const statistics = (average ?? { runningStatistics }).runningStatistics;
  return {
    parameters: networkParameters(checkpoint),
    runningStatistics: synchroniseStatistics(config, statistics),
  };
}

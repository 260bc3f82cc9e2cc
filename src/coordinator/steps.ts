/** Running training steps on a group, epoch by epoch. */
import type { TrainConfig } from '../shared/config.js';
import type { RankReport } from '../shared/protocol.js';
import { positionOf } from '../shared/schedule.js';
import type { Launched } from './launch.js';
import { fillPermutation } from './sampler.js';

/**
 * Commands steps [first, end) of one epoch, and resolves with the ranks' reports; fewer steps are done where the group was
 * asked to stop or a value ceased to be finite.
 */
export async function trainWithinEpoch(
  { group, layout, buffer }: Launched,
  config: TrainConfig,
  first: number,
  end: number,
): Promise<RankReport[]> {
  const { trainCount } = layout.shape;
  const { epoch } = positionOf(config, trainCount, first);
  fillPermutation(new Uint32Array(buffer, layout.permutation, trainCount), config.seed, epoch);
  return group.run({ name: 'train', first, end });
}

/**
 * The training state as the coordinator sees it: views of the two state sets in shared memory. It touches them only while no
 * rank is in a step.
 */
import { stateSetOf, type MemoryLayout } from '../../shared/group/memory.js';
import { batchNormChannels, parameterCount } from '../../shared/model/network.js';
import type { Checkpoint } from '../checkpoint/checkpoint.js';
import { initialiseParameters, initialiseRunningStatistics } from './initialisation.js';

interface SetViews {
  readonly parameters: Float32Array;
  readonly firstMoments: Float32Array;
  readonly secondMoments: Float32Array;
  /** [rank] */
  readonly runningStatistics: readonly Float32Array[];
  readonly betaPowers: Float64Array;
}

/** A network without the run that trained it: float32 [parameterCount], and [2][batchNormChannels]. */
export interface NetworkState {
  readonly parameters: Float32Array;
  readonly runningStatistics: Float32Array;
}

/** What a checkpoint holds of the state. */
export type SavedState = Pick<
  Checkpoint,
  'parameters' | 'firstMoments' | 'secondMoments' | 'runningStatistics' | 'beta1Power' | 'beta2Power'
>;

export class TrainingState {
  readonly #sets: readonly [SetViews, SetViews];

  constructor(buffer: ArrayBufferLike, layout: MemoryLayout) {
    const floats = (offset: number, length = parameterCount): Float32Array => new Float32Array(buffer, offset, length);
    const views = (set: MemoryLayout['sets'][0]): SetViews => ({
      parameters: floats(set.parameters),
      firstMoments: floats(set.firstMoments),
      secondMoments: floats(set.secondMoments),
      runningStatistics: set.runningStatistics.map((offset) => floats(offset, 2 * batchNormChannels)),
      betaPowers: new Float64Array(buffer, set.betaPowers, 2),
    });
    this.#sets = [views(layout.sets[0]), views(layout.sets[1])];
  }

  /** Fresh parameters of that seed, as state of step 0. */
  initialise(seed: number): void {
    const set = this.#fresh();
    initialiseParameters(set.parameters, seed);
    set.runningStatistics.forEach(initialiseRunningStatistics);
  }

  /** A trained network, as state of step 0: the optimiser knows nothing yet. */
  startFrom({ parameters, runningStatistics }: NetworkState): void {
    const set = this.#fresh();
    set.parameters.set(parameters);
    for (const view of set.runningStatistics) view.set(runningStatistics);
  }

  /**
   * A checkpoint's state, as state of its step. Where it holds fewer running statistics than there are ranks, all ranks
   * start from its first.
   */
  restore(saved: SavedState, step: number): void {
    const set = this.#of(step);
    set.parameters.set(saved.parameters);
    set.firstMoments.set(saved.firstMoments);
    set.secondMoments.set(saved.secondMoments);
    set.runningStatistics.forEach((view, rank) => {
      view.set(saved.runningStatistics[rank] ?? saved.runningStatistics[0] ?? []);
    });
    set.betaPowers.set([saved.beta1Power, saved.beta2Power]);
  }

  /** A private copy of the state of that step, with the running statistics of the first `ranks` ranks. */
  save(step: number, ranks: number): SavedState {
    const set = this.#of(step);
    return {
      parameters: new Float32Array(set.parameters),
      firstMoments: new Float32Array(set.firstMoments),
      secondMoments: new Float32Array(set.secondMoments),
      runningStatistics: set.runningStatistics.slice(0, ranks).map((view) => new Float32Array(view)),
      beta1Power: set.betaPowers[0] ?? 1,
      beta2Power: set.betaPowers[1] ?? 1,
    };
  }

  /** Running statistics of every rank at that step; views of shared memory. */
  runningStatistics(step: number): readonly Float32Array[] {
    return this.#of(step).runningStatistics;
  }

  #fresh(): SetViews {
    const set = this.#of(0);
    set.firstMoments.fill(0);
    set.secondMoments.fill(0);
    set.betaPowers.fill(1);
    return set;
  }

  #of(step: number): SetViews {
    return this.#sets[stateSetOf(step)];
  }
}

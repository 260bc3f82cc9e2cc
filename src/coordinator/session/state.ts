/**
 * The training state as the coordinator sees it: views of the two state sets in shared memory. It touches them only while no
 * rank is in a step.
 */
import { stateSetOf, type MemoryLayout } from '../../shared/group/memory.js';
import { batchNormChannels, parameterCount } from '../../shared/model/network.js';
import type { Checkpoint } from '../checkpoint/checkpoint.js';
import type { NetworkState } from '../checkpoint/trained-network.js';
import { initialiseParameters, initialiseRunningStatistics } from './initialisation.js';

interface SetViews {
  readonly parameters: Float32Array;
  readonly firstMoments: Float32Array;
  readonly secondMoments: Float32Array;
  /** [rank] */
  readonly runningStatistics: readonly Float32Array[];
  readonly betaPowers: Float64Array;
  readonly average: Pick<SetViews, 'parameters' | 'runningStatistics'> | null;
}

/** What a checkpoint holds of the state. */
export type SavedState = Pick<
  Checkpoint,
  'parameters' | 'firstMoments' | 'secondMoments' | 'runningStatistics' | 'beta1Power' | 'beta2Power' | 'average'
>;

export class TrainingState {
  readonly #sets: readonly [SetViews, SetViews];

  constructor(buffer: ArrayBufferLike, layout: MemoryLayout) {
    const floats = (offset: number, length = parameterCount): Float32Array => new Float32Array(buffer, offset, length);
    const statistics = (offset: number): Float32Array => floats(offset, 2 * batchNormChannels);
    const views = (set: MemoryLayout['sets'][0]): SetViews => ({
      parameters: floats(set.parameters),
      firstMoments: floats(set.firstMoments),
      secondMoments: floats(set.secondMoments),
      runningStatistics: set.runningStatistics.map(statistics),
      betaPowers: new Float64Array(buffer, set.betaPowers, 2),
      average: set.average && {
        parameters: floats(set.average.parameters),
        runningStatistics: set.average.runningStatistics.map(statistics),
      },
    });
    this.#sets = [views(layout.sets[0]), views(layout.sets[1])];
  }

  /** Fresh parameters of that seed, as state of step 0. */
  initialise(seed: number): void {
    const set = this.#fresh();
    initialiseParameters(set.parameters, seed);
    set.runningStatistics.forEach(initialiseRunningStatistics);
    startAverage(set);
  }

  /** A trained network, as state of step 0: the optimiser knows nothing yet. */
  startFrom({ parameters, runningStatistics }: NetworkState): void {
    const set = this.#fresh();
    set.parameters.set(parameters);
    for (const view of set.runningStatistics) view.set(runningStatistics);
    startAverage(set);
  }

  /**
   * A checkpoint's state, as state of its step. Where it holds fewer running statistics than there are ranks, all ranks
   * start from its first; where it holds no average, that starts from its weights.
   */
  restore(saved: SavedState, step: number): void {
    const set = this.#of(step);
    set.parameters.set(saved.parameters);
    set.firstMoments.set(saved.firstMoments);
    set.secondMoments.set(saved.secondMoments);
    fillStatistics(set.runningStatistics, saved.runningStatistics);
    set.betaPowers.set([saved.beta1Power, saved.beta2Power]);
    startAverage(set);
    if (saved.average === null || set.average === null) return;
    set.average.parameters.set(saved.average.parameters);
    fillStatistics(set.average.runningStatistics, saved.average.runningStatistics);
  }

  /** A private copy of the state of that step, with the running statistics of the first `ranks` ranks. */
  save(step: number, ranks: number): SavedState {
    const set = this.#of(step);
    return {
      parameters: new Float32Array(set.parameters),
      firstMoments: new Float32Array(set.firstMoments),
      secondMoments: new Float32Array(set.secondMoments),
      runningStatistics: copies(set.runningStatistics.slice(0, ranks)),
      beta1Power: set.betaPowers[0] ?? 1,
      beta2Power: set.betaPowers[1] ?? 1,
      average: set.average && {
        parameters: new Float32Array(set.average.parameters),
        runningStatistics: copies(set.average.runningStatistics.slice(0, ranks)),
      },
    };
  }

  /** Running statistics of every rank at that step, or their averages where they are taken; views of shared memory. */
  evaluatedStatistics(step: number): readonly Float32Array[] {
    const { runningStatistics, average } = this.#of(step);
    return (average ?? { runningStatistics }).runningStatistics;
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

/** An average begins with what it is the average of. */
function startAverage({ parameters, runningStatistics, average }: SetViews): void {
  average?.parameters.set(parameters);
  if (average !== null) fillStatistics(average.runningStatistics, runningStatistics);
}

function fillStatistics(views: readonly Float32Array[], values: readonly Float32Array[]): void {
  views.forEach((view, rank) => {
    view.set(values[rank] ?? values[0] ?? []);
  });
}

function copies(views: readonly Float32Array[]): Float32Array[] {
  return views.map((view) => new Float32Array(view));
}

/** Means of the loss: over the steps since the last line of the metrics, and over those of the epoch. */
import type { LossSum, SavedLosses } from '../checkpoint/checkpoint.js';

/** Steps of an interval, where nothing else is asked for. */
export const defaultLogEvery = 100;

const nothing: LossSum = { steps: 0, sum: 0 };

/** Adds steps up one after the other, so that neither stretches of steps nor stops and resumes change a bit. */
export class LossMeans {
  readonly #perEpoch: number;
  readonly #logEvery: number;
  #interval: LossSum;
  #epoch: LossSum;

  /**
   * @param perEpoch steps of an epoch
   * @param logEvery steps of an interval; the last one of an epoch may be shorter
   * @param saved of the checkpoint that the run goes on from
   */
  constructor(perEpoch: number, logEvery: number, saved: SavedLosses | null) {
    this.#perEpoch = perEpoch;
    this.#logEvery = logEvery;
    this.#interval = saved?.interval ?? nothing;
    this.#epoch = saved?.epoch ?? nothing;
  }

  /** Adds the loss of the next step, counted from 0. */
  add(step: number, loss: number): void {
    if (step % this.#perEpoch === 0) this.#epoch = nothing;
    this.#interval = plus(this.#interval, loss);
    this.#epoch = plus(this.#epoch, loss);
  }

  /** How many steps the interval has. */
  get steps(): number {
    return this.#interval.steps;
  }

  /** Over the interval; null before its first step. */
  get ofInterval(): number | null {
    return meanOf(this.#interval);
  }

  /** Over the steps of the epoch so far, or of the one that has just ended; null before the first. */
  get ofEpoch(): number | null {
    return meanOf(this.#epoch);
  }

  /** Whether an interval ends after so many steps of the epoch. */
  endsAt(stepInEpoch: number): boolean {
    return stepInEpoch % this.#logEvery === 0 || stepInEpoch === this.#perEpoch;
  }

  /** Begins the next interval. */
  startInterval(): void {
    this.#interval = nothing;
  }

  /** For a checkpoint. */
  save(): SavedLosses {
    return { logEvery: this.#logEvery, interval: this.#interval, epoch: this.#epoch };
  }
}

function plus({ steps, sum }: LossSum, loss: number): LossSum {
  return { steps: steps + 1, sum: sum + loss };
}

function meanOf({ steps, sum }: LossSum): number | null {
  return steps === 0 ? null : sum / steps;
}

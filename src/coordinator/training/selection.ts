/** Which epoch is the best by the score of the held-out rows, and for how long none has been better. */
import type { ValidationScore } from '../checkpoint/checkpoint.js';

export class Selection {
  readonly #patience: number;
  #best: ValidationScore | null;

  /**
   * @param patience epochs without a better score after which training ends; 0 for never
   * @param best of the checkpoint that the run goes on from
   */
  constructor(patience: number, best: ValidationScore | null) {
    this.#patience = patience;
    this.#best = best;
  }

  get best(): ValidationScore | null {
    return this.#best;
  }

  /**
   * Takes the score of a step.
   * @param ends whether an epoch ends there. Within one, where a run may end that is gone on with later, only a first score counts:
   *   a run that did not end there would not have it
   * @returns whether it is the best; that of the best step itself is, once more
   */
  consider(score: ValidationScore, ends: boolean): boolean {
    const best = this.#best;
    const better = best === null || best.step === score.step || (ends && isBetter(score, best));
    if (better) this.#best = score;
    return better;
  }

  /** Whether training ends after an epoch. */
  isExhausted(epoch: number): boolean {
    return this.#patience > 0 && this.#best !== null && epoch - this.#best.epoch >= this.#patience;
  }
}

/** By rows, then by loss. */
function isBetter(score: ValidationScore, best: ValidationScore): boolean {
  return score.correct > best.correct || (score.correct === best.correct && score.loss < best.loss);
}

/** What a run measures of its steps: losses, images and time. */
import { lossSlots } from '../../shared/group/memory.js';
import { learningRateAt, positionOf } from '../../shared/model/schedule.js';
import type { SavedLosses } from '../checkpoint/checkpoint.js';
import type { Session } from '../session/session.js';
import { LossMeans } from './losses.js';
import type { BatchMetric, Progress, StepMetric, StepPlace } from './metrics.js';

/** How often progress is told: a stretch of steps ends there, which costs the group one wake-up. */
const progressMs = 400;

/** Counts each committed step once, however often it was done, and gives the metrics of the step that the session stands at. */
export class RunFigures {
  /** Time of this process's steps, failed ones among them. */
  trainMs = 0;
  /** Rows of the steps that this process has committed. */
  images = 0;
  readonly #session: Session;
  readonly #losses: LossMeans;
  /** Steps that were trained before, or are in the figures. */
  #counted: number;
  #lastLine = { images: 0, trainMs: 0 };
  #recent: { loss: number | null; imagesPerSecond: number; stepMs: number } = {
    ...{ loss: null, imagesPerSecond: 0, stepMs: progressMs },
  };

  /**
   * @param logEvery steps that a line of the metrics is the mean over
   * @param resumed where the run goes on from
   */
  constructor(session: Session, logEvery: number, resumed: { step: number; losses: SavedLosses | null } | null) {
    this.#session = session;
    this.#losses = new LossMeans(session.perEpoch, logEvery, resumed?.losses ?? null);
    this.#counted = resumed?.step ?? 0;
  }

  /** Counts the steps that were committed in the last `ms`, of which the session still has to know the losses. */
  count(ms: number): void {
    const { step, config, layout } = this.#session;
    let [images, sum] = [0, 0];
    for (let counted = this.#counted; counted < step; counted++) {
      const loss = this.#session.lossOf(counted);
      this.#losses.add(counted, loss);
      sum += loss;
      images += positionOf(config, layout.shape.trainCount, counted).rows;
    }
    const steps = step - this.#counted;
    if (steps > 0) this.#recent = { loss: sum / steps, imagesPerSecond: (1000 * images) / ms, stepMs: ms / steps };
    this.#counted = step;
    this.trainMs += ms;
    this.images += images;
  }

  /** By which step the figures are to be counted or, where progress is told, told at the latest. */
  nextStop(tellsProgress: boolean): number {
    const { step } = this.#session;
    const slice = tellsProgress ? Math.max(1, Math.round(progressMs / this.#recent.stepMs)) : Infinity;
    return step + Math.min(slice, lossSlots);
  }

  /** Mean loss of the epoch's steps so far; null where none is known. */
  get lossOfEpoch(): number | null {
    return this.#losses.ofEpoch;
  }

  /** For a checkpoint. */
  saveLosses(): SavedLosses {
    return this.#losses.save();
  }

  /** Whether steps were counted that are in no line of the metrics yet. */
  get hasOpenInterval(): boolean {
    return this.#losses.steps > 0;
  }

  /** Whether a line of the metrics is to be written after this step, the last of the run or not. */
  lineIsDue(isLast: boolean): boolean {
    return this.hasOpenInterval && (isLast || this.#losses.endsAt(this.#place().stepInEpoch));
  }

  /** The line of the interval that ends here. */
  line(): StepMetric {
    const place = this.#place();
    const images = this.images - this.#lastLine.images;
    const ms = this.trainMs - this.#lastLine.trainMs;
    this.#lastLine = { images: this.images, trainMs: this.trainMs };
    const metric: StepMetric = {
      kind: 'step',
      ...place,
      loss: this.#losses.ofInterval ?? NaN,
      steps: this.#losses.steps,
      imagesPerSecond: (1000 * images) / ms,
    };
    // A run that goes on from here goes on with the interval too.
    if (this.#losses.endsAt(place.stepInEpoch)) this.#losses.startInterval();
    return metric;
  }

  batch(): BatchMetric {
    return { kind: 'batch', ...this.#place(), loss: this.#session.lossOf(this.#session.step - 1) };
  }

  /** @param lastStep at which the run ends */
  progress(phase: Progress['phase'], lastStep: number): Progress {
    const { loss: recentLoss, imagesPerSecond } = this.#recent;
    return { phase, lastStep, ...this.#place(), loss: this.lossOfEpoch, recentLoss, imagesPerSecond };
  }

  #place(): StepPlace {
    const { step, perEpoch, config } = this.#session;
    const epoch = Math.max(1, Math.ceil(step / perEpoch));
    return {
      step,
      epoch,
      epochs: config.epochs,
      stepInEpoch: step - (epoch - 1) * perEpoch,
      stepsPerEpoch: perEpoch,
      learningRate: learningRateAt(config, perEpoch, step),
    };
  }
}

/**
 * What a run writes down, and what becomes of training where it cannot: nothing is lost but the file. A full disk or a
 * deleted folder is worth a warning while the run goes on, and an error only where there is no later chance to write.
 */
import { OperationalError } from '../../shared/errors.js';
import type { Checkpoint } from '../checkpoint/checkpoint.js';

/** One line of metrics.jsonl: JSON values beside the optimiser step that they belong to. */
export type Metric = Readonly<Record<string, unknown>> & { readonly step: number };

/** Where a run is written down: a folder (run-folder.ts), or a page's memory. Await each call before the next. */
export interface RunStore {
  /** How to name it to the user, who resumes from there. */
  readonly directory: string;
  /** Whether its newest checkpoint was read or written by this run. */
  readonly checkpointIsKnown: boolean;
  /** Makes it ready to be written; called before each write. */
  keep(): Promise<void>;
  writeCheckpoint(checkpoint: Checkpoint): Promise<void>;
  /** Replaces the best network. */
  writeBest(checkpoint: Checkpoint): Promise<void>;
  /** Removes the best network where it is one of a step after that: of steps that the run does once more, or otherwise. */
  cutBest(step: number): Promise<void>;
  appendMetric(metric: Metric): Promise<void>;
  /**
   * Drops metrics of steps after that one, and of `droppedKinds` those of that step too.
   * @returns whether there are metrics, and no evaluation of that step among them any more
   */
  cutMetrics(step: number, droppedKinds?: readonly string[]): Promise<boolean>;
  writeSummary(summary: Readonly<Record<string, unknown>>): Promise<void>;
}

export class RunRecorder {
  readonly #folder: RunStore | null;
  readonly #onNote: (text: string) => void;
  #warnedOfMetrics = false;
  #savedStep: number | null = null;

  /**
   * @param folder null for a process whose job has another one write
   * @param onNote receives warnings, one line each
   */
  constructor(folder: RunStore | null, onNote: (text: string) => void) {
    this.#folder = folder;
    this.#onNote = onNote;
  }

  /** Step of the last checkpoint that was written; null before the first. */
  get savedStep(): number | null {
    return this.#savedStep;
  }

  /** Sees to it that what is there is this run's, where it ends where it began. Throws as `lastCheckpoint` does. */
  async unchangedCheckpoint(checkpoint: Checkpoint): Promise<void> {
    if (this.#folder?.checkpointIsKnown === false) await this.lastCheckpoint(checkpoint);
  }

  /** Writes a checkpoint; where that fails the run goes on, and tries again at its next one. */
  async checkpoint(checkpoint: Checkpoint): Promise<void> {
    try {
      await this.lastCheckpoint(checkpoint);
    } catch (error) {
      if (!isUnwritten(error)) throw error;
      const step = String(checkpoint.step);
      this.#onNote(
        `warning: no checkpoint of step ${step}: ${error.message}; training goes on, and the next one is tried`,
      );
    }
  }

  /** Writes a checkpoint after which none is due. Throws OUT_NOT_WRITABLE or OUT_IN_USE; the one before is unharmed. */
  async lastCheckpoint(checkpoint: Checkpoint): Promise<void> {
    await this.#folder?.keep();
    await this.#folder?.writeCheckpoint(checkpoint);
    this.#savedStep = checkpoint.step;
  }

  /** Writes the best network; where that fails the run goes on, and the file stays that of an earlier step. */
  async best(checkpoint: Checkpoint): Promise<void> {
    try {
      await this.#folder?.keep();
      await this.#folder?.writeBest(checkpoint);
    } catch (error) {
      if (!isUnwritten(error)) throw error;
      this.#onNote(`warning: the best network, of step ${String(checkpoint.step)}, is not kept: ${error.message}`);
    }
  }

  /** Appends a line to the metrics, which are no part of the training state: the first failure is a warning. */
  async metric(metric: Metric): Promise<void> {
    try {
      await this.#folder?.keep();
      await this.#folder?.appendMetric(metric);
    } catch (error) {
      if (!isUnwritten(error)) throw error;
      if (!this.#warnedOfMetrics) this.#onNote(`warning: lines of the metrics are lost: ${error.message}`);
      this.#warnedOfMetrics = true;
    }
  }

  /** Throws OUT_NOT_WRITABLE or OUT_IN_USE. */
  async summary(summary: Readonly<Record<string, unknown>>): Promise<void> {
    await this.#folder?.keep();
    await this.#folder?.writeSummary(summary);
  }
}

function isUnwritten(error: unknown): error is OperationalError {
  return error instanceof OperationalError && (error.code === 'OUT_NOT_WRITABLE' || error.code === 'OUT_IN_USE');
}

/** A run's store in a page: its last checkpoint, and nothing of what the page shows anyway. */
import type { Checkpoint } from '../../coordinator/checkpoint/checkpoint.js';
import type { RunStore } from '../../coordinator/training/run-recorder.js';

const done = Promise.resolve();

export class MemoryStore implements RunStore {
  /** The name under which the page lets it be downloaded. */
  readonly directory = 'checkpoint.msgpack';
  /** null before the first. */
  checkpoint: Checkpoint | null = null;

  get checkpointIsKnown(): boolean {
    return this.checkpoint !== null;
  }

  writeCheckpoint(checkpoint: Checkpoint): Promise<void> {
    this.checkpoint = checkpoint;
    return done;
  }

  readonly keep = (): Promise<void> => done;
  readonly writeBest = (): Promise<void> => done;
  readonly cutBest = (): Promise<void> => done;
  readonly appendMetric = (): Promise<void> => done;
  readonly cutMetrics = (): Promise<boolean> => Promise.resolve(false);
  readonly writeSummary = (): Promise<void> => done;
}

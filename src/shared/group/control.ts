/**
 * The shared control words: what the threads of a group wait on, and who writes each.
 *
 * | word | written by | meaning |
 * | --- | --- | --- |
 * | generation | coordinator | counts commands; ranks wait for it to move |
 * | command, first, end | coordinator, before `generation` | what to do |
 * | committed | rank 0, after a step's last barrier, on devices when they have settled; the coordinator, before training starts | steps
 *   done; the state set of step s is s & 1 |
 * | abort | coordinator | non-zero: leave every wait |
 * | notFinite | any rank, before a barrier | 1 + number of the unit whose values ceased to be finite; first writer wins |
 * | arrived | all ranks, atomically | ranks in the barrier |
 * | released | the last rank to arrive | counts barriers |
 * | stop | coordinator | a request to end after the step at hand |
 * | stopAt | rank 0, before a step's last barrier | 1 + the step after which all ranks end, so that they end together |
 * | phase[rank], entered[rank], pulse[rank], step[rank] | that rank | what it is doing, barriers it has entered, phases it has
 *   begun, and in which step: they name who is missing and where, and tell a slow rank from a stalled one |
 */
import { OperationalError } from '../errors.js';

const words = {
  generation: 0,
  command: 1,
  first: 2,
  end: 3,
  committed: 4,
  abort: 5,
  notFinite: 6,
  arrived: 7,
  released: 8,
  stop: 9,
  stopAt: 10,
};
const firstRankWord = 16;
/** Words of each rank: phase, barriers entered, pulse, step. */
const rankWords = 4;

/** Length of the control words of a group, in int32. */
export function controlWords(groupSize: number): number {
  return firstRankWord + rankWords * groupSize;
}

const commandNames = ['train', 'evaluate', 'prepare', 'prepareAverage', 'exit'] as const;
export type CommandName = (typeof commandNames)[number];

/**
 * `train`: steps [first, end). `evaluate`: test rows of this rank's share of [first, end), by what was prepared last. `prepare`,
 * `prepareAverage`: what the engine derives from the weights that are committed, or from their average.
 */
export interface Command {
  readonly name: CommandName;
  readonly first: number;
  readonly end: number;
}

export const phases = [
  'start',
  'idle',
  'data',
  'forward and backward',
  'exchange',
  'reduce',
  'optimiser',
  'commit',
  'evaluation',
  'prepare',
  'reduce-scatter',
  'all-gather',
] as const;
export type Phase = (typeof phases)[number];

/** How long ranks may take to start at least, in which they give no sign of life: drivers of GPUs compile meanwhile. */
export const startMs = 180_000;
/** How long a wait sleeps before it looks at the abort word again. */
const sliceMs = 200;
/** Polls before a thread sleeps: waking a sleeping thread costs more than a short step's imbalance. */
const spins = 2000;

export class Control {
  readonly #words: Int32Array;
  readonly groupSize: number;
  readonly #timeoutMs: number;

  /** @param timeoutMs how long a rank may keep the others waiting in a barrier */
  constructor(buffer: ArrayBufferLike, offset: number, groupSize: number, timeoutMs: number) {
    this.#words = new Int32Array(buffer, offset, controlWords(groupSize));
    this.groupSize = groupSize;
    this.#timeoutMs = timeoutMs;
  }

  // Coordinator's side.

  /** Publishes a command; the ranks wake. */
  post(command: Command): void {
    Atomics.store(this.#words, words.command, commandNames.indexOf(command.name));
    Atomics.store(this.#words, words.first, command.first);
    Atomics.store(this.#words, words.end, command.end);
    Atomics.add(this.#words, words.generation, 1);
    Atomics.notify(this.#words, words.generation);
  }

  /** Makes every rank leave its wait with ABORTED. */
  abort(): void {
    Atomics.store(this.#words, words.abort, 1);
    Atomics.notify(this.#words, words.generation);
    Atomics.notify(this.#words, words.released);
  }

  /** Asks the group to end after the step that it is in. */
  requestStop(): void {
    Atomics.store(this.#words, words.stop, 1);
  }

  /** Sets the step that training goes on from. No rank may be in a command. */
  startFrom(step: number): void {
    Atomics.store(this.#words, words.committed, step);
  }

  /** Makes the words ready for new ranks that go on from the committed step. No rank may be alive. */
  reset(): void {
    const [committed, stop] = [this.committed, Atomics.load(this.#words, words.stop)];
    this.#words.fill(0);
    Atomics.store(this.#words, words.committed, committed);
    Atomics.store(this.#words, words.stop, stop);
  }

  get generation(): number {
    return Atomics.load(this.#words, words.generation);
  }

  get committed(): number {
    return Atomics.load(this.#words, words.committed);
  }

  /** The unit that ceased to be finite, or null. */
  get notFinite(): number | null {
    const value = Atomics.load(this.#words, words.notFinite);
    return value === 0 ? null : value - 1;
  }

  /** Where a rank is, in words, such as `reduce of step 5`. The committed step does not tell: a rank may be one off it. */
  placeOf(rank: number): string {
    const phase = phases[Atomics.load(this.#words, this.#rankWord(rank, 0))] ?? 'start';
    return `${phase} of step ${String(Atomics.load(this.#words, this.#rankWord(rank, 3)))}`;
  }

  // A rank's side. These block the thread and must never be called on the main one.

  /** Waits until the generation passes `seen` and returns the new one with its command. */
  nextCommand(seen: number): { generation: number; command: Command } {
    for (;;) {
      this.throwIfAborted();
      const generation = this.generation;
      if (generation !== seen) return { generation, command: this.#command() };
      Atomics.wait(this.#words, words.generation, seen, sliceMs);
    }
  }

  /**
   * Says what a rank does next; also its sign of life.
   * @param step counted from 1; outside of steps the last that is committed
   */
  setPhase(rank: number, phase: Phase, step: number = this.committed): void {
    Atomics.store(this.#words, this.#rankWord(rank, 3), step);
    Atomics.store(this.#words, this.#rankWord(rank, 0), phases.indexOf(phase));
    Atomics.add(this.#words, this.#rankWord(rank, 2), 1);
  }

  commit(step: number): void {
    Atomics.store(this.#words, words.committed, step);
  }

  get stopRequested(): boolean {
    return Atomics.load(this.#words, words.stop) !== 0;
  }

  /** Rank 0, before the last barrier of `step`: decides for all ranks whether it is their last. */
  decideStop(step: number, stop: boolean = this.stopRequested): void {
    if (stop) Atomics.store(this.#words, words.stopAt, step + 1);
  }

  /** Whether the group decided to end before `step`. */
  stoppedAt(step: number): boolean {
    const stopAt = Atomics.load(this.#words, words.stopAt);
    return stopAt !== 0 && step >= stopAt;
  }

  flagNotFinite(unit: number): void {
    Atomics.compareExchange(this.#words, words.notFinite, 0, unit + 1);
  }

  /**
   * Returns when every rank has entered. Throws ABORTED when the group is told to leave, and RANK_STALLED, naming the ranks
   * that are missing, when no rank has given a sign of life for longer than `patienceMs`.
   */
  barrier(rank: number): void {
    const released = Atomics.load(this.#words, words.released);
    Atomics.add(this.#words, this.#rankWord(rank, 1), 1);
    if (Atomics.add(this.#words, words.arrived, 1) === this.groupSize - 1) {
      Atomics.store(this.#words, words.arrived, 0);
      Atomics.add(this.#words, words.released, 1);
      Atomics.notify(this.#words, words.released);
    } else {
      for (let i = 0; i < spins; i++) if (Atomics.load(this.#words, words.released) !== released) break;
      this.#awaitRelease(rank, released);
    }
    this.throwIfAborted();
  }

  #awaitRelease(rank: number, released: number): void {
    let silentMs = 0;
    let pulse = this.pulse();
    while (Atomics.load(this.#words, words.released) === released) {
      this.throwIfAborted();
      const start = performance.now();
      Atomics.wait(this.#words, words.released, released, sliceMs);
      const seen = this.pulse();
      // A slice that took far longer was a suspended process, in which nobody could give a sign.
      silentMs = seen === pulse ? silentMs + Math.min(performance.now() - start, 2 * sliceMs) : 0;
      pulse = seen;
      if (silentMs > this.patienceMs) this.#throwStalled(rank);
    }
  }

  /** Changes whenever any rank begins a phase: the group's sign of life. */
  pulse(): number {
    let sum = 0;
    for (let rank = 0; rank < this.groupSize; rank++) sum += Atomics.load(this.#words, this.#rankWord(rank, 2));
    return sum;
  }

  /** How long the group may be silent: a rank gives its first sign when it has started. */
  get patienceMs(): number {
    for (let rank = 0; rank < this.groupSize; rank++) {
      if (Atomics.load(this.#words, this.#rankWord(rank, 2)) === 0) return Math.max(this.#timeoutMs, startMs);
    }
    return this.#timeoutMs;
  }

  #rankWord(rank: number, word: 0 | 1 | 2 | 3): number {
    return firstRankWord + rankWords * rank + word;
  }

  #command(): Command {
    const name = commandNames[Atomics.load(this.#words, words.command)];
    if (name === undefined) throw new Error('unknown command');
    return { name, first: Atomics.load(this.#words, words.first), end: Atomics.load(this.#words, words.end) };
  }

  /** Throws ABORTED when the group is told to leave. */
  throwIfAborted(): void {
    if (Atomics.load(this.#words, words.abort) !== 0)
      throw new OperationalError('ABORTED', 'the group was told to stop');
  }

  #throwStalled(rank: number): never {
    const entered = (other: number): number => Atomics.load(this.#words, this.#rankWord(other, 1));
    const ranks = Array.from({ length: this.groupSize }, (_, other) => other);
    const missing = ranks.filter((other) => entered(other) < entered(rank));
    const names = missing.map((other) => `rank ${String(other)} (in ${this.placeOf(other)})`);
    throw new OperationalError(
      'RANK_STALLED',
      `${names.join(', ')} kept the others waiting for ${String(this.patienceMs / 1000)} s`,
      { rank: missing[0] ?? rank },
    );
  }
}

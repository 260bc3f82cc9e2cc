/**
 * What the ranks of a process do where it is one of several: the tree goes on over all processes.
 *
 *   own subtrees summed -> reduce-scatter -> each process sums its chunk of the accumulator -> all-gather
 *
 * Ranks compute, and the process's MPI thread carries bytes from memory to memory while they wait: rank 0 asks for it
 * between two barriers. Which bytes go where is in src/mpi/exchange.ts; both sides compute it from the same plan.
 */
import type { BatchPlan, JobPlan } from '../sums/batch-plan.js';
import { accumulatorOf, mergeLosses, type StatisticsOverJob } from './collectives.js';
import { addRow, copyRow, mergeRows, sumTree } from '../sums/rows.js';
import type { Control, Phase } from './control.js';
import type { Replica } from '../engine.js';
import { at, assert } from '../errors.js';
import type { ExchangeKind, Mailbox } from './mailbox.js';
import { statisticsLength, type JobLayout, type MemoryLayout } from './memory.js';
import { chunkOf } from '../sums/tree.js';

const floatBytes = 4;

/** The plan and the layout of a process that is one of several. */
export function jobOf(layout: MemoryLayout, plan: BatchPlan): { job: JobLayout; plan: JobPlan; headerLength: number } {
  const { job, shape } = layout;
  assert(job !== null && plan.job !== null && shape.job !== undefined, 'a process of a job');
  return { job, plan: plan.job, headerLength: 1 + shape.job.roots };
}

/** The process's chunk of the accumulator, in floats. */
export function ownChunk(layout: MemoryLayout, { process, processes }: JobPlan): { start: number; end: number } {
  return chunkOf(layout.accumulatorLength, { process, processes });
}

/**
 * Where a node of the tree over processes lies during the sum of a chunk: the byte offset at which its accumulator would
 * begin. Own nodes are accumulators of this process; those of others have their place for the chunk alone.
 */
export function nodeBase(layout: MemoryLayout, plan: BatchPlan, index: number): number {
  const { job, plan: over } = jobOf(layout, plan);
  const node = over.nodes[index];
  assert(node !== undefined, 'a node of the tree');
  if (node.process === over.process) return accumulatorOf(layout, plan, at(over.roots, node.position));
  if (index === 0) return job.sum;
  const { start, end } = ownChunk(layout, over);
  return job.received + (index * (end - start) - start) * floatBytes;
}

/** Byte offset of the accumulator that holds the whole tree's sum in the end. */
export function sumBase(layout: MemoryLayout, plan: BatchPlan): number {
  return nodeBase(layout, plan, 0);
}

/** Finishes the tree for a rank's part of the process's chunk, in place. */
export function reduceChunk(layout: MemoryLayout, plan: BatchPlan, replica: Pick<Replica, 'add'>, rank: number): void {
  const { plan: over } = jobOf(layout, plan);
  const { start, end } = ownChunk(layout, over);
  const part = chunkOf(end - start, { process: rank, processes: layout.shape.groupSize });
  const from = (start + part.start) * floatBytes;
  for (const { target, source } of over.merges) {
    const [to, of] = [nodeBase(layout, plan, target), nodeBase(layout, plan, source)];
    replica.add(to + from, of + from, part.end - part.start);
  }
}

/** Sums what the process has of a statistics exchange by its complete subtrees, and puts it where it is sent from. */
export function placeStatistics(
  slots: Float64Array,
  base: number,
  length: number,
  plan: BatchPlan,
  target: Float64Array,
): void {
  const { merges, job } = plan;
  if (job === null) return;
  for (const merge of merges) {
    addRow(slots, base + merge.target * statisticsLength, base + merge.source * statisticsLength, length);
  }
  job.roots.forEach((root, position) => {
    copyRow(slots, base + root * statisticsLength, target, (job.firstOwn + position) * length, length);
  });
}

/** A rank's part in a job. */
export class JobRank implements StatisticsOverJob {
  readonly #layout: MemoryLayout;
  readonly #rank: number;
  readonly #control: Control;
  readonly #mailbox: Mailbox;
  readonly #enter: (phase: Phase) => void;
  readonly #statistics: Float64Array;
  readonly #losses: Float64Array;
  readonly #headers: Float64Array;
  /** Sums of the loss, by subtree of the process or by node of the job. */
  readonly #sums: Float64Array;
  /** Of the step at hand, counted from 0. */
  step = 0;

  /** @param enter called when the rank enters a phase, and while it waits in one: its sign of life */
  constructor(
    buffer: ArrayBufferLike,
    layout: MemoryLayout,
    control: Control,
    rank: number,
    mailbox: Mailbox,
    enter: (phase: Phase) => void,
  ) {
    const { shape, job } = layout;
    assert(job !== null && shape.job !== undefined, 'a process of a job');
    const { nodes, processes, roots } = shape.job;
    this.#layout = layout;
    this.#control = control;
    this.#rank = rank;
    this.#mailbox = mailbox;
    this.#enter = enter;
    this.#statistics = new Float64Array(buffer, job.statistics, nodes * statisticsLength);
    this.#losses = new Float64Array(buffer, layout.losses, shape.groupSize * shape.subtrees);
    this.#headers = new Float64Array(buffer, job.headers, processes * (1 + roots));
    this.#sums = new Float64Array(Math.max(nodes, shape.groupSize * shape.subtrees));
  }

  exchangeStatistics(slots: Float64Array, base: number, length: number, plan: BatchPlan): void {
    if (this.#rank === 0) placeStatistics(slots, base, length, plan, this.#statistics);
    this.#exchange('statistics', plan, length);
  }

  sumStatistics(length: number, plan: BatchPlan, total: Float64Array): void {
    const { plan: over } = jobOf(this.#layout, plan);
    sumTree(this.#statistics, 0, length, length, over.nodes.length, over.merges, total);
  }

  /**
   * Sums all processes' accumulators, of which this process's subtrees are summed already; `sumBase` has the result. Call it
   * after the last barrier of the reduction within the process.
   */
  sumGradients(plan: BatchPlan, replica: Pick<Replica, 'add'>): void {
    this.#enter('reduce-scatter');
    this.#control.barrier(this.#rank);
    if (this.#rank === 0) this.#writeHeader(plan);
    this.#exchange('reduce-scatter', plan, 0);
    this.#enter('reduce');
    reduceChunk(this.#layout, plan, replica, this.#rank);
    this.#enter('all-gather');
    this.#control.barrier(this.#rank);
    this.#exchange('all-gather', plan, 0);
  }

  /** After `sumGradients`: whether any process was told to stop. All processes see the same. */
  get stopRequested(): boolean {
    const { length, processes } = this.#headerShape();
    for (let process = 0; process < processes; process++) if (this.#headers[process * length] !== 0) return true;
    return false;
  }

  /** After `sumGradients`: sum of the loss over the global batch. */
  lossSum(plan: BatchPlan): number {
    const { plan: over, headerLength } = jobOf(this.#layout, plan);
    let i = 0;
    for (const { process, position } of over.nodes) {
      this.#sums[i++] = this.#headers[process * headerLength + 1 + position] ?? NaN;
    }
    mergeRows(this.#sums, 1, over.merges);
    return this.#sums[0] ?? NaN;
  }

  /** Has the MPI thread carry out an exchange, and lets all ranks go on when it is complete. */
  #exchange(kind: ExchangeKind, plan: BatchPlan, length: number): void {
    if (this.#rank === 0) {
      const phase = kind === 'reduce-scatter' || kind === 'all-gather' ? kind : 'exchange';
      const request = { kind, step: this.step, rows: plan.rows, length };
      this.#mailbox.carryOut(request, this.#control, () => {
        this.#enter(phase);
      });
    }
    this.#control.barrier(this.#rank);
  }

  #writeHeader(plan: BatchPlan): void {
    const { plan: over, headerLength } = jobOf(this.#layout, plan);
    mergeLosses(this.#losses, this.#layout, plan, this.#sums);
    const start = over.process * headerLength;
    this.#headers[start] = this.#control.stopRequested ? 1 : 0;
    over.roots.forEach((root, position) => {
      this.#headers[start + 1 + position] = this.#sums[root] ?? NaN;
    });
  }

  #headerShape(): { length: number; processes: number } {
    const { job } = this.#layout.shape;
    return { length: 1 + (job?.roots ?? 0), processes: job?.processes ?? 0 };
  }
}

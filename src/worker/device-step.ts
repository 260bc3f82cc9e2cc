/**
 * A rank's step on the state of its device:
 *
 *   forward and backward over the shard -> sums into shared memory -> barrier -> the tree and the Adam step on each device -> barrier
 *
 * A rank that is alone shares no sums, and so waits for nothing: its device may be two steps behind it. The state comes back to
 * shared memory when a stretch of steps ends, and within a long one; only then are its steps committed. A group that dies before
 * that does them again.
 */
import type { DeviceReplica, SumTree } from '../shared/engine.js';
import { accumulatorOf } from '../shared/group/collectives.js';
import { at } from '../shared/errors.js';
import { sumBase } from '../shared/group/job-collectives.js';
import { stateSetOf } from '../shared/group/memory.js';
import type { BatchPlan } from '../shared/sums/batch-plan.js';
import { RankStep, type RankContext } from './step.js';

/** Steps that are done again at most where a worker is lost; of a device they take a moment. */
const mostUncommitted = 100;

export class DeviceStep extends RankStep {
  readonly #replica: DeviceReplica;
  /** Whether all sums are on this rank's device. */
  readonly #alone: boolean;
  readonly #trees = new Map<BatchPlan, SumTree>();
  /** beta^t of the state in each set of the device. */
  readonly #powers = [new Float64Array(2), new Float64Array(2)] as const;
  /** Steps that the device was asked for, and those among them whose loss is known. */
  #done = 0;
  #told = 0;
  /** Of the last three steps, by step. */
  readonly #plans: BatchPlan[] = [];

  constructor(context: RankContext, replica: DeviceReplica) {
    super(context);
    this.#replica = replica;
    this.#alone = context.groupSize === 1 && context.mailbox === null;
  }

  protected prepareNetwork(averaged: boolean): void {
    const { committed } = this.context.control;
    this.#done = committed;
    this.#told = committed;
    this.enter('prepare');
    if (averaged) this.#replica.prepareAverage(stateSetOf(committed));
    else this.#load(committed);
    this.barrier();
  }

  /** Goes on from the state after so many steps in shared memory. */
  #load(step: number): void {
    const set = stateSetOf(step);
    this.#powers[set].set(this.betaPowers[set]);
    this.#replica.load(set);
  }

  run(step: number): Promise<boolean> {
    const { control } = this.context;
    this.#take(step);
    this.#done = step + 1;
    if (this.#done - control.committed >= mostUncommitted) this.settle();
    return Promise.resolve(control.notFinite === null);
  }

  #takeAll(from: number, to: number): void {
    for (let step = from; step < to; step++) this.#take(step);
  }

  #take(step: number): void {
    const { control, rank, layout } = this.context;
    const start = performance.now();
    const { plan, shard, exchange } = this.begin(step);
    const { from, to } = shard;

    this.enter('forward and backward');
    const begun = performance.now();
    const waited = this.times.waiting;
    this.#replica.forwardBackward(shard, exchange);
    this.#replica.keepLosses(step);
    if (!this.#alone) {
      this.#replica.shareSums();
      this.losses.set(this.#replica.losses(step), rank * layout.shape.subtrees);
    }
    this.times.data += begun - start;
    this.times.compute += performance.now() - begun - (this.times.waiting - waited);

    this.barrier();
    if (this.job !== null) this.sumOverJob(this.job, plan, this.#replica);
    if (rank === 0 && !this.#alone) this.keepLoss(step, plan);
    this.enter('optimiser');
    const summed = performance.now();
    const adam = this.adamOf(step, this.#powers[from]);
    this.#powers[to][0] = adam.beta1Power;
    this.#powers[to][1] = adam.beta2Power;
    this.#replica.update(this.#treeOf(plan), { step, from, to, globalRows: plan.rows, adam });
    this.#plans[step % 3] = plan;
    // The device is at most two steps behind.
    if (this.#alone) this.#tellLosses(step - 1);
    this.times.optimiser += performance.now() - summed;
    if (rank === 0) control.decideStop(step, this.job?.stopRequested);
    this.barrier();
  }

  settle(): void {
    const { control } = this.context;
    const committed = control.committed;
    if (this.#done === committed) return;
    const start = performance.now();
    const bad = this.#replica.notFinite();
    if (this.#alone) this.#tellLosses(this.#done);
    this.times.compute += performance.now() - start;
    const last = bad?.step ?? this.#done;
    // The set that is committed is never written, so of an even number of steps the last but one goes first.
    const first = last > committed && (last - committed) % 2 === 0 ? last - 1 : last;
    // Of steps before one that was not finite the device has but the last state, and the powers here are further: all are taken again.
    if (bad !== null) {
      this.#load(committed);
      this.#takeAll(committed, first);
    }
    if (first > committed) this.#store(first);
    if (bad !== null) this.#takeAll(first, last);
    if (last > first) this.#store(last);
    if (bad !== null) control.flagNotFinite(bad.unit);
    this.#done = last;
  }

  /** Brings the state after so many steps into shared memory, and commits it. */
  #store(step: number): void {
    const { control, rank } = this.context;
    const set = stateSetOf(step);
    this.enter('commit');
    this.#replica.store(set, rank === 0);
    if (rank === 0) this.betaPowers[set].set(this.#powers[set]);
    this.barrier();
    if (rank === 0) control.commit(step);
    this.barrier();
  }

  /** Of a rank that is alone: keeps the losses of steps before `end`, which its device has done. */
  #tellLosses(end: number): void {
    for (; this.#told < end; this.#told++) {
      this.losses.set(this.#replica.losses(this.#told));
      this.keepLoss(this.#told, at(this.#plans, this.#told % 3));
    }
  }

  #treeOf(plan: BatchPlan): SumTree {
    const known = this.#trees.get(plan);
    if (known !== undefined) return known;
    const { layout, rank } = this.context;
    const { subtrees, merges } = plan;
    const made =
      this.job === null
        ? {
            nodes: subtrees.map((subtree, i) => (subtree.rank === rank ? null : accumulatorOf(layout, plan, i))),
            merges,
          }
        : { nodes: [sumBase(layout, plan)], merges: [] };
    this.#trees.set(plan, made);
    return made;
  }
}

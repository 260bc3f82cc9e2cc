/**
 * One rank's part of one step (the phases are in docs/architecture.md):
 *
 *   forward and backward over the shard -> barrier -> reduce, finish and update the rank's own units -> barrier -> commit
 *
 * Where the group is one of several processes, the reduction goes on over all of them (job-collectives.ts) before `finish`.
 *
 * The step reads one state set and writes the other. Rank 0 commits with a single store after the last barrier, so a step
 * that did not reach it leaves nothing behind.
 */
import { ownedUnits, planBatch, type BatchPlan } from '../shared/sums/batch-plan.js';
import { accumulatorOf, GroupExchange, LocalExchange, mergedLosses, reduceUnit } from '../shared/group/collectives.js';
import type { TrainConfig } from '../shared/model/config.js';
import type { Control, Phase } from '../shared/group/control.js';
import type { AdamScalars, Engine, Replica } from '../shared/engine.js';
import { stateSetOf, type MemoryLayout } from '../shared/group/memory.js';
import type { StepTimes } from '../shared/group/protocol.js';
import { JobRank, sumBase } from '../shared/group/job-collectives.js';
import type { Mailbox } from '../shared/group/mailbox.js';
import { adamDefaults, learningRateAt, positionOf } from '../shared/model/schedule.js';
import { leafCount, rowsOf } from '../shared/sums/tree.js';

export interface RankContext {
  readonly rank: number;
  readonly groupSize: number;
  readonly engine: Engine;
  readonly config: TrainConfig;
  readonly layout: MemoryLayout;
  readonly buffer: ArrayBufferLike;
  readonly control: Control;
  /** Where exchanges with other processes are asked for; null where there are none. */
  readonly mailbox: Mailbox | null;
}

type Mutable<T> = { -readonly [key in keyof T]: T[key] };

export class RankStep {
  readonly #context: RankContext;
  readonly #replica: Replica;
  readonly #units: readonly number[];
  readonly #group: GroupExchange;
  readonly #job: JobRank | null;
  readonly #local = new LocalExchange();
  readonly #plans = new Map<number, BatchPlan>();
  readonly #betaPowers: readonly [Float64Array, Float64Array];
  /** All ranks': `MemoryLayout.losses`. */
  readonly #losses: Float64Array;
  #step = 0;
  readonly times: Mutable<StepTimes> = { data: 0, compute: 0, allReduce: 0, optimiser: 0, waiting: 0 };
  /** Of rank 0: sum of the loss over the global batch of the last step; null of others, and before it. */
  lossSum: number | null = null;

  constructor(context: RankContext, replica: Replica) {
    const { buffer, layout, control, rank, groupSize, engine, mailbox } = context;
    this.#context = context;
    this.#replica = replica;
    this.#units = ownedUnits(engine.units, rank, groupSize);
    const enter = this.#enter.bind(this);
    this.#job = mailbox === null ? null : new JobRank(buffer, layout, control, rank, mailbox, enter);
    this.#group = new GroupExchange(buffer, layout, control, rank, this.#job);
    this.#losses = new Float64Array(buffer, layout.losses, groupSize * layout.shape.subtrees);
    const [even, odd] = layout.sets;
    this.#betaPowers = [new Float64Array(buffer, even.betaPowers, 2), new Float64Array(buffer, odd.betaPowers, 2)];
    let since = 0;
    this.#group.onWait = (waiting) => {
      this.#enter(waiting ? 'exchange' : 'forward and backward');
      if (waiting) since = performance.now();
      else this.times.waiting += performance.now() - since;
    };
  }

  /** Derives the engine's form of this rank's units from the parameters that are committed. */
  prepare(): void {
    const set = stateSetOf(this.#context.control.committed);
    this.#enter('prepare');
    for (const unit of this.#units) this.#replica.prepare(unit, set);
    this.#barrier();
  }

  /** Runs step `step`. Returns false where a value ceased to be finite: nothing was committed then. */
  async run(step: number): Promise<boolean> {
    const { control, rank, config, layout } = this.#context;
    const [from, to] = [stateSetOf(step), stateSetOf(step + 1)];

    this.#step = step;
    this.#enter('data');
    const start = performance.now();
    const position = positionOf(config, layout.shape.trainCount, step);
    const plan = this.#planOf(position.rows);
    const rows = rowsOf(plan.shard, plan.rows, config.microBatch);
    const shard = {
      from,
      to,
      rowNumbers: layout.permutation + (position.start + rows.start) * 4,
      rows: rows.end - rows.start,
      leaves: plan.shard,
    } as const;
    if (this.#job !== null) this.#job.step = step;
    const sync = config.batchNorm === 'sync';
    if (sync) this.#group.start(plan);
    else this.#local.start(plan, shard.rows);

    this.#enter('forward and backward');
    const begun = performance.now();
    const waited = this.times.waiting;
    const report = await this.#replica.forwardBackward(shard, sync ? this.#group : this.#local);
    this.#losses.set(report.losses, rank * layout.shape.subtrees);
    const computed = performance.now();
    this.times.data += begun - start;
    this.times.compute += computed - begun - (this.times.waiting - waited);

    this.#barrier();
    if (this.#job !== null) this.#sumOverJob(this.#job, plan);
    if (rank === 0) {
      this.lossSum = this.#job?.lossSum(plan) ?? mergedLosses(this.#losses, layout, plan)[0] ?? NaN;
    }
    this.#updateUnits(plan, step, from, to);
    if (rank === 0) control.decideStop(step, this.#job?.stopRequested);
    this.#barrier();
    if (control.notFinite !== null) return false;
    this.#enter('commit');
    if (rank === 0) control.commit(step + 1);
    return true;
  }

  #sumOverJob(job: JobRank, plan: BatchPlan): void {
    const { layout, engine } = this.#context;
    const start = performance.now();
    this.#enter('reduce');
    for (const index of this.#units) {
      const unit = engine.units[index];
      if (unit !== undefined) reduceUnit(layout, plan, this.#replica, unit);
    }
    job.sumGradients(plan, this.#replica);
    this.times.allReduce += performance.now() - start;
  }

  #updateUnits(plan: BatchPlan, step: number, from: 0 | 1, to: 0 | 1): void {
    const { control, rank, config, layout, engine } = this.#context;
    const adam = this.#adam(config, step, from);
    if (rank === 0) {
      this.#betaPowers[to][0] = adam.beta1Power;
      this.#betaPowers[to][1] = adam.beta2Power;
    }
    const accumulator = this.#job === null ? accumulatorOf(layout, plan, 0) : sumBase(layout, plan);
    for (const index of this.#units) {
      const unit = engine.units[index];
      if (unit === undefined) continue;
      const start = performance.now();
      if (this.#job === null) {
        this.#enter('reduce');
        reduceUnit(layout, plan, this.#replica, unit);
      }
      const reduced = performance.now();
      this.#enter('optimiser');
      const finite = this.#replica.finish(index, accumulator, plan.rows) && this.#replica.update(index, from, to, adam);
      if (!finite) control.flagNotFinite(index);
      this.times.allReduce += reduced - start;
      this.times.optimiser += performance.now() - reduced;
    }
  }

  #adam(config: TrainConfig, step: number, from: 0 | 1): AdamScalars {
    const powers = this.#betaPowers[from];
    return {
      ...adamDefaults,
      learningRate: learningRateAt(config, step),
      beta1Power: (powers[0] ?? 1) * adamDefaults.beta1,
      beta2Power: (powers[1] ?? 1) * adamDefaults.beta2,
    };
  }

  #enter(phase: Phase): void {
    const { control, rank } = this.#context;
    control.setPhase(rank, phase, phase === 'prepare' ? control.committed : this.#step + 1);
  }

  #barrier(): void {
    const start = performance.now();
    this.#context.control.barrier(this.#context.rank);
    this.times.waiting += performance.now() - start;
  }

  #planOf(rows: number): BatchPlan {
    const { rank, groupSize, config, layout } = this.#context;
    const known = this.#plans.get(rows);
    if (known !== undefined) return known;
    const plan = planBatch(rows, leafCount(rows, config.microBatch), rank, groupSize, layout.shape.job);
    this.#plans.set(rows, plan);
    return plan;
  }
}

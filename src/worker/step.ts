/**
 * One rank's part of one step, as far as it is the same for all engines: which rows it takes, with whom it exchanges statistics,
 * and what the optimiser's scalars are. The rest is in unit-step.ts, for state in shared memory, and in device-step.ts, for state
 * on devices.
 */
import { at } from '../shared/errors.js';
import { planBatch, type BatchPlan } from '../shared/sums/batch-plan.js';
import { GroupExchange, LocalExchange, mergeLosses, reduceUnit } from '../shared/group/collectives.js';
import type { TrainConfig } from '../shared/model/config.js';
import type { Control, Phase } from '../shared/group/control.js';
import type { AdamScalars, Engine, Replica, Shard, StatisticsExchange } from '../shared/engine.js';
import { lossSlots, stateSetOf, type MemoryLayout } from '../shared/group/memory.js';
import type { StepTimes } from '../shared/group/protocol.js';
import { JobRank } from '../shared/group/job-collectives.js';
import type { Mailbox } from '../shared/group/mailbox.js';
import { ownedUnits } from '../shared/sums/batch-plan.js';
import { drawTransform, transformLength } from '../shared/model/augmentation.js';
import { adamDefaults, averageDecayAt, learningRateAt, positionOf, stepsPerEpoch } from '../shared/model/schedule.js';
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

/** What a rank takes of one batch. */
export interface StepShare {
  readonly plan: BatchPlan;
  readonly shard: Shard;
  readonly exchange: StatisticsExchange;
}

export abstract class RankStep {
  protected readonly context: RankContext;
  /** Units that this rank sums and, in shared memory, updates. */
  protected readonly units: readonly number[];
  protected readonly job: JobRank | null;
  /** beta^t of the state in each set, in shared memory. */
  protected readonly betaPowers: readonly [Float64Array, Float64Array];
  /** All ranks': `MemoryLayout.losses`. */
  protected readonly losses: Float64Array;
  readonly #group: GroupExchange;
  readonly #local = new LocalExchange();
  readonly #plans = new Map<number, BatchPlan>();
  /** Of rank 0: sums of the loss, by subtree. */
  readonly #sums: Float64Array;
  readonly #stepLosses: Float64Array;
  /** This rank's, for the rows at hand; null where they are not augmented. */
  readonly #transforms: Float32Array | null;
  #averaged = false;
  #step = 0;
  readonly times: Mutable<StepTimes> = { data: 0, compute: 0, allReduce: 0, optimiser: 0, waiting: 0 };

  constructor(context: RankContext) {
    const { buffer, layout, control, rank, groupSize, engine, mailbox } = context;
    this.context = context;
    this.units = ownedUnits(engine.units, rank, groupSize);
    const enter = this.enter.bind(this);
    this.job = mailbox === null ? null : new JobRank(buffer, layout, control, rank, mailbox, enter);
    this.#group = new GroupExchange(buffer, layout, control, rank, this.job);
    this.losses = new Float64Array(buffer, layout.losses, groupSize * layout.shape.subtrees);
    this.#sums = new Float64Array(this.losses.length);
    this.#stepLosses = new Float64Array(buffer, layout.stepLosses, lossSlots);
    const transforms = layout.transforms?.[rank];
    const floats = layout.shape.shardRows * transformLength;
    this.#transforms = transforms === undefined ? null : new Float32Array(buffer, transforms, floats);
    const [even, odd] = layout.sets;
    this.betaPowers = [new Float64Array(buffer, even.betaPowers, 2), new Float64Array(buffer, odd.betaPowers, 2)];
    let since = 0;
    this.#group.onWait = (waiting) => {
      this.enter(waiting ? 'exchange' : 'forward and backward');
      if (waiting) since = performance.now();
      else this.times.waiting += performance.now() - since;
    };
  }

  /** Derives what the engine needs of the state that is committed. */
  prepare(): void {
    this.#averaged = false;
    this.prepareNetwork(false);
  }

  /** Derives what evaluation needs of the average of the weights that are committed. */
  prepareAverage(): void {
    this.#averaged = true;
    this.prepareNetwork(true);
  }

  /** Whether what was prepared last is the average. */
  get averaged(): boolean {
    return this.#averaged;
  }

  protected abstract prepareNetwork(averaged: boolean): void;

  /** Runs step `step`. Returns false where a value ceased to be finite: nothing of it was committed then. */
  abstract run(step: number): Promise<boolean>;

  /** Ends a stretch of steps: whatever of them is not committed is now. */
  abstract settle(): void;

  /** Enters a step: what this rank takes of its batch. */
  protected begin(step: number): StepShare {
    const { config, layout } = this.context;
    this.#step = step;
    this.enter('data');
    const position = positionOf(config, layout.shape.trainCount, step);
    const plan = this.#planOf(position.rows);
    const rows = rowsOf(plan.shard, plan.rows, config.microBatch);
    const shard: Shard = {
      from: stateSetOf(step),
      to: stateSetOf(step + 1),
      rowNumbers: layout.permutation + (position.start + rows.start) * 4,
      rows: rows.end - rows.start,
      transforms: this.#transforms?.byteOffset ?? null,
      leaves: plan.shard,
    };
    this.#drawTransforms(position.epoch, shard);
    if (this.job !== null) this.job.step = step;
    const sync = config.batchNorm === 'sync';
    if (sync) this.#group.start(plan);
    else this.#local.start(plan, shard.rows);
    return { plan, shard, exchange: sync ? this.#group : this.#local };
  }

  /** For rank 0, whose group has put its losses where all find them: keeps the mean loss of a step's global batch. */
  protected keepLoss(step: number, plan: BatchPlan): void {
    let sum: number | undefined;
    if (this.job !== null) sum = this.job.lossSum(plan);
    else {
      mergeLosses(this.losses, this.context.layout, plan, this.#sums);
      sum = this.#sums[0];
    }
    this.#stepLosses[step % lossSlots] = (sum ?? NaN) / plan.rows;
  }

  /** Sums the accumulators of all processes of a job, each rank its own units and its own part of the process's chunk. */
  protected sumOverJob(job: JobRank, plan: BatchPlan, replica: Pick<Replica, 'add'>): void {
    const { layout, engine } = this.context;
    const start = performance.now();
    this.enter('reduce');
    for (const index of this.units) {
      const unit = engine.units[index];
      if (unit !== undefined) reduceUnit(layout, plan, replica, unit);
    }
    job.sumGradients(plan, replica);
    this.times.allReduce += performance.now() - start;
  }

  /** @param powers beta1^t and beta2^t before the step */
  protected adamOf(step: number, powers: Float64Array): AdamScalars {
    const { config, layout } = this.context;
    return {
      ...adamDefaults,
      learningRate: learningRateAt(config, stepsPerEpoch(config, layout.shape.trainCount), step),
      beta1Power: (powers[0] ?? 1) * adamDefaults.beta1,
      beta2Power: (powers[1] ?? 1) * adamDefaults.beta2,
      averageDecay: config.averageDecay > 0 ? averageDecayAt(config, step + 1) : null,
    };
  }

  protected enter(phase: Phase): void {
    const { control, rank } = this.context;
    control.setPhase(rank, phase, phase === 'prepare' ? control.committed : this.#step + 1);
  }

  protected barrier(): void {
    const start = performance.now();
    this.context.control.barrier(this.context.rank);
    this.times.waiting += performance.now() - start;
  }

  #drawTransforms(epoch: number, { rowNumbers, rows }: Shard): void {
    const transforms = this.#transforms;
    if (transforms === null) return;
    const { config, buffer } = this.context;
    const numbers = new Uint32Array(buffer, rowNumbers, rows);
    for (let i = 0; i < rows; i++) drawTransform(config, epoch, at(numbers, i), transforms, i * transformLength);
  }

  #planOf(rows: number): BatchPlan {
    const { rank, groupSize, config, layout } = this.context;
    const known = this.#plans.get(rows);
    if (known !== undefined) return known;
    const plan = planBatch(rows, leafCount(rows, config.microBatch), rank, groupSize, layout.shape.job);
    this.#plans.set(rows, plan);
    return plan;
  }
}

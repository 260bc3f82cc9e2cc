/**
 * A rank's step on the state in shared memory (the phases are in docs/architecture.md):
 *
 *   forward and backward over the shard -> barrier -> reduce, finish and update the rank's own units -> barrier -> commit
 *
 * Where the group is one of several processes, the reduction goes on over all of them (job-collectives.ts) before `finish`.
 *
 * The step reads one state set and writes the other. Rank 0 commits with a single store after the last barrier, so a step
 * that did not reach it leaves nothing behind.
 */
import type { UnitReplica } from '../shared/engine.js';
import { accumulatorOf, reduceUnit } from '../shared/group/collectives.js';
import { sumBase } from '../shared/group/job-collectives.js';
import { stateSetOf } from '../shared/group/memory.js';
import type { BatchPlan } from '../shared/sums/batch-plan.js';
import { RankStep, type RankContext } from './step.js';

export class UnitStep extends RankStep {
  readonly #replica: UnitReplica;

  constructor(context: RankContext, replica: UnitReplica) {
    super(context);
    this.#replica = replica;
  }

  prepare(): void {
    const set = stateSetOf(this.context.control.committed);
    this.enter('prepare');
    for (const unit of this.units) this.#replica.prepare(unit, set);
    this.barrier();
  }

  async run(step: number): Promise<boolean> {
    const { control, rank, layout } = this.context;
    const start = performance.now();
    const { plan, shard, exchange } = this.begin(step);

    this.enter('forward and backward');
    const begun = performance.now();
    const waited = this.times.waiting;
    const report = await this.#replica.forwardBackward(shard, exchange);
    this.losses.set(report.losses, rank * layout.shape.subtrees);
    const computed = performance.now();
    this.times.data += begun - start;
    this.times.compute += computed - begun - (this.times.waiting - waited);

    this.barrier();
    if (this.job !== null) this.sumOverJob(this.job, plan, this.#replica);
    if (rank === 0) this.keepLoss(step, plan);
    this.#updateUnits(plan, step);
    if (rank === 0) control.decideStop(step, this.job?.stopRequested);
    this.barrier();
    if (control.notFinite !== null) return false;
    this.enter('commit');
    if (rank === 0) control.commit(step + 1);
    return true;
  }

  /** Each step committed itself. */
  settle(): void {
    return;
  }

  #updateUnits(plan: BatchPlan, step: number): void {
    const { control, rank, layout, engine } = this.context;
    const [from, to] = [stateSetOf(step), stateSetOf(step + 1)];
    const adam = this.adamOf(step, this.betaPowers[from]);
    if (rank === 0) {
      this.betaPowers[to][0] = adam.beta1Power;
      this.betaPowers[to][1] = adam.beta2Power;
    }
    const accumulator = this.job === null ? accumulatorOf(layout, plan, 0) : sumBase(layout, plan);
    for (const index of this.units) {
      const unit = engine.units[index];
      if (unit === undefined) continue;
      const start = performance.now();
      if (this.job === null) {
        this.enter('reduce');
        reduceUnit(layout, plan, this.#replica, unit);
      }
      const reduced = performance.now();
      this.enter('optimiser');
      const finite = this.#replica.finish(index, accumulator, plan.rows) && this.#replica.update(index, from, to, adam);
      if (!finite) control.flagNotFinite(index);
      this.times.allReduce += reduced - start;
      this.times.optimiser += performance.now() - reduced;
    }
  }
}

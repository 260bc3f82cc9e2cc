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
import { at } from '../shared/errors.js';
import { accumulatorOf, reduceUnit } from '../shared/group/collectives.js';
import { sumBase } from '../shared/group/job-collectives.js';
import { stateSetOf } from '../shared/group/memory.js';
import { batchNormChannels } from '../shared/model/network.js';
import type { BatchPlan } from '../shared/sums/batch-plan.js';
import { RankStep, type RankContext } from './step.js';

export class UnitStep extends RankStep {
  readonly #replica: UnitReplica;
  /** This rank's running statistics, by set, and their averages where they are taken. */
  readonly #statistics: readonly [Float32Array, Float32Array];
  readonly #averages: readonly [Float32Array, Float32Array] | null;

  constructor(context: RankContext, replica: UnitReplica) {
    super(context);
    this.#replica = replica;
    const { buffer, layout, rank } = context;
    const views = (places: readonly (readonly number[])[]): readonly [Float32Array, Float32Array] => {
      const view = (set: 0 | 1): Float32Array =>
        new Float32Array(buffer, at(at(places, set), rank), 2 * batchNormChannels);
      return [view(0), view(1)];
    };
    this.#statistics = views(layout.sets.map((set) => set.runningStatistics));
    const averages = layout.sets.flatMap(({ average }) => (average === null ? [] : [average.runningStatistics]));
    this.#averages = averages.length === 0 ? null : views(averages);
  }

  protected prepareNetwork(averaged: boolean): void {
    const set = stateSetOf(this.context.control.committed);
    this.enter('prepare');
    for (const unit of this.units) this.#replica.prepare(unit, set, averaged);
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

  /** Of this rank's running statistics: as the kernel `averageOf` does it, to the bit. */
  #averageStatistics(from: 0 | 1, to: 0 | 1, decay: number | null): void {
    const [averages, values] = [this.#averages, this.#statistics];
    if (decay === null || averages === null) return;
    const [old, next, added] = [averages[from], averages[to], values[to]];
    const [kept, rest] = [Math.fround(decay), Math.fround(1 - decay)];
    for (let i = 0; i < next.length; i++) next[i] = Math.fround(kept * at(old, i)) + Math.fround(rest * at(added, i));
  }

  #updateUnits(plan: BatchPlan, step: number): void {
    const { control, rank, layout, engine } = this.context;
    const [from, to] = [stateSetOf(step), stateSetOf(step + 1)];
    const adam = this.adamOf(step, this.betaPowers[from]);
    if (rank === 0) {
      this.betaPowers[to][0] = adam.beta1Power;
      this.betaPowers[to][1] = adam.beta2Power;
    }
    this.#averageStatistics(from, to, adam.averageDecay);
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

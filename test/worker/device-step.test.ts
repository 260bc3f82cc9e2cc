/** Steps on the state of a device, with a device that only counts them: what is committed, when, and that it is whole. */
import { describe, expect, it } from 'vitest';
import type { DeviceReplica, DeviceStep as Step, NotFinite } from '../../src/shared/engine.js';
import { Control } from '../../src/shared/group/control.js';
import { allocateMemory, lossSlots, planMemory, stateSetOf } from '../../src/shared/group/memory.js';
import { defaultConfig } from '../../src/shared/model/config.js';
import { adamDefaults } from '../../src/shared/model/schedule.js';
import { DeviceStep } from '../../src/worker/device-step.js';
import { referenceEngine as engine } from '../../src/worker/engines/reference/reference-engine.js';

const config = { ...defaultConfig, batchSize: 2, microBatch: 1 };
const shape = { groupSize: 1, shardRows: 2, subtrees: 1, microBatch: 1, trainCount: 1000, testCount: 0 };

/** A group of one rank whose device counts the steps of each set, in the place of the first parameter. */
function lonelyRank(failing: number | null = null) {
  const layout = planMemory(engine, shape);
  const buffer = allocateMemory(layout).buffer;
  const control = new Control(buffer, layout.control, 1, 1000);
  const first = (set: 0 | 1): Float32Array => new Float32Array(buffer, layout.sets[set].parameters, 1);
  const steps = [NaN, NaN];
  const stored: number[] = [];
  const overwritten: number[] = [];
  const kept: number[] = [];
  let bad: NotFinite | null = null;
  const replica: DeviceReplica = {
    keepsState: true,
    add: () => undefined,
    evaluate: () => undefined,
    prepareAverage: () => undefined,
    load(set) {
      steps[set] = first(set)[0] ?? NaN;
      bad = null;
    },
    forwardBackward: () => undefined,
    shareSums: () => {
      throw new Error('nobody else is there');
    },
    update({ nodes }, { step, from, to }: Step) {
      expect(nodes).toEqual([null]);
      if (bad !== null) return;
      if (step === failing) bad = { unit: 5, step };
      steps[to] = step === failing ? NaN : (steps[from] ?? NaN) + 1;
    },
    keepLosses: (of) => (kept[of % 3] = of),
    losses: (of) => [kept[of % 3] === of ? of + 1 : NaN],
    store(set, all) {
      expect(all).toBe(true);
      if (set === stateSetOf(control.committed)) overwritten.push(control.committed);
      first(set)[0] = steps[set] ?? NaN;
      stored.push(steps[set] ?? NaN);
    },
    notFinite: () => bad,
  };
  const context = { rank: 0, groupSize: 1, engine, config, layout, buffer, control, mailbox: null };
  const step = new DeviceStep(context, replica);
  const train = async (from: number, to: number): Promise<void> => {
    for (let current = from; current < to; current++) if (!(await step.run(current))) break;
    step.settle();
  };
  const beta1Power = (): number =>
    new Float64Array(buffer, layout.sets[stateSetOf(control.committed)].betaPowers)[0] ?? NaN;
  const state = (): number => first(stateSetOf(control.committed))[0] ?? NaN;
  new Float64Array(buffer, layout.sets[0].betaPowers, 2).fill(1);
  step.prepare();
  const losses = new Float64Array(buffer, layout.stepLosses, lossSlots);
  return { control, losses, train, stored, overwritten, state, beta1Power };
}

function powerOf(step: number): number {
  let power = 1;
  for (let i = 0; i < step; i++) power *= adamDefaults.beta1;
  return power;
}

describe('state on a device', () => {
  it.each([
    [1, [1]],
    [2, [1, 2]],
    [3, [3]],
    [99, [99]],
    [100, [99, 100]],
    [101, [99, 100, 101]],
    [250, [99, 100, 199, 200, 249, 250]],
  ])('after %d steps is in shared memory and committed there, never over what is committed', async (count, stores) => {
    const { control, train, stored, overwritten, state, beta1Power, losses } = lonelyRank();
    await train(0, count);
    expect([control.committed, state()]).toEqual([count, count]);
    expect(stored).toEqual(stores);
    expect(overwritten).toEqual([]);
    expect(beta1Power()).toBe(powerOf(count));
    // Means over the two rows of a batch.
    expect([...losses.subarray(0, count)]).toEqual(Array.from({ length: count }, (_, t) => (t + 1) / 2));
  });

  it('goes on stretch after stretch', async () => {
    const { control, train, overwritten, state } = lonelyRank();
    const ends = [0, 3, 4, 4, 8];
    for (const [i, end] of ends.slice(1).entries()) await train(ends[i] ?? NaN, end);
    expect([control.committed, state(), overwritten]).toEqual([8, 8, []]);
  });

  it.each([
    [0, []],
    [1, [1]],
    [2, [1, 2]],
    [6, [5, 6]],
    [103, [99, 100, 103]],
    [104, [99, 100, 103, 104]],
  ])(
    'before a step that is not finite, step %d, is committed, never over what is committed, and its unit flagged',
    async (failing, stores) => {
      const { control, train, stored, overwritten, state, beta1Power, losses } = lonelyRank(failing);
      await train(0, 120);
      expect([control.committed, state(), control.notFinite]).toEqual([failing, failing, 5]);
      expect([stored, overwritten]).toEqual([stores, []]);
      expect(beta1Power()).toBe(powerOf(failing));
      expect([...losses.subarray(0, failing)]).toEqual(Array.from({ length: failing }, (_, t) => (t + 1) / 2));
    },
  );
});

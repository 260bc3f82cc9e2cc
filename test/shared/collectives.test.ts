/** The group's sums without its threads: every leaf and every unit is taken once, and a sum has the serial tree's bits. */
import { describe, expect, it } from 'vitest';
import { ownedUnits, planBatch } from '../../src/shared/sums/batch-plan.js';
import { accumulatorOf, GroupExchange, LocalExchange, reduceUnit } from '../../src/shared/group/collectives.js';
import { defaultConfig } from '../../src/shared/model/config.js';
import { Control } from '../../src/shared/group/control.js';
import type { Replica } from '../../src/shared/engine.js';
import { allocateMemory, planMemory, type MemoryLayout } from '../../src/shared/group/memory.js';
import { leafCount, mergesOfLeaves, rowsOf, shardOf, subtreesOf } from '../../src/shared/sums/tree.js';
import { referenceEngine } from '../../src/worker/engines/reference/reference-engine.js';
import { wasmEngine } from '../../src/worker/engines/wasm/wasm-engine.js';
import { serialSum, wildValues } from '../support/compute/sums.js';

const counts = Array.from({ length: 16 }, (_, i) => i + 1);
const ranksOf = (groupSize: number): number[] => Array.from({ length: groupSize }, (_, rank) => rank);

describe('the plan of a batch', () => {
  it('takes every leaf once, ranks in order, and places each subtree where its rank sums it', () => {
    for (const groupSize of counts) {
      for (const leaves of counts) {
        const plans = ranksOf(groupSize).map((rank) => planBatch(leaves * 8, leaves, rank, groupSize));
        const [plan] = plans;
        const covered = plan?.subtrees.flatMap(({ start, size }) => Array.from({ length: size }, (_, i) => start + i));
        expect(covered).toEqual(Array.from({ length: leaves }, (_, leaf) => leaf));
        plans.forEach(({ subtrees, merges, firstOwn, shard }, rank) => {
          expect(subtrees).toEqual(plan?.subtrees);
          expect(merges).toEqual(plan?.merges);
          const own = subtrees.filter((subtree) => subtree.rank === rank);
          expect(own.map(({ start, size }) => ({ start, size }))).toEqual(subtreesOf(shard));
          expect(own.map(({ position }) => position)).toEqual(own.map((_, i) => i));
          expect(subtrees.slice(firstOwn, firstOwn + own.length)).toEqual(own);
        });
      }
    }
  });

  it('finishes the tree with one addition less than there are subtrees, each subtree added once', () => {
    for (const groupSize of counts) {
      const { merges, subtrees } = planBatch(96, 12, 0, groupSize);
      expect(merges).toHaveLength(subtrees.length - 1);
      expect(merges.map(({ source }) => source).sort((a, b) => a - b)).toEqual(ranksOf(subtrees.length).slice(1));
    }
  });

  it('shares the 96 rows of the last batch unevenly over 5 ranks, every row once', () => {
    const rows = ranksOf(5).map((rank) => {
      const { shard } = planBatch(96, leafCount(96, 8), rank, 5);
      return rowsOf(shard, 96, 8);
    });
    expect(rows.map(({ start, end }) => end - start)).toEqual([16, 16, 24, 16, 24]);
    expect(rows.map(({ start }) => start)).toEqual([0, 16, 32, 56, 72]);
  });

  it('leaves surplus ranks of a short batch without leaves', () => {
    const plans = ranksOf(16).map((rank) => planBatch(10, 5, rank, 16));
    expect(plans.filter(({ shard }) => shard.end === shard.start)).toHaveLength(11);
    expect(plans[0]?.subtrees).toHaveLength(5);
  });
});

describe.each([wasmEngine, referenceEngine])('the units of engine $name', ({ units, accumulatorLength }) => {
  it('have one owner each, for any number of ranks', () => {
    for (const groupSize of counts) {
      const owned = ranksOf(groupSize).flatMap((rank) => ownedUnits(units, rank, groupSize));
      expect(owned).toEqual(units.map((_, index) => index));
    }
  });

  it('give no rank more than a unit above its share of what is read and written', () => {
    const work = units.map(({ accumulator, parameters }) =>
      parameters.reduce((sum, { length }) => sum + length, accumulator.length),
    );
    const sumOf = (indices: readonly number[]): number => indices.reduce((sum, index) => sum + (work[index] ?? 0), 0);
    const total = sumOf(units.map((_, index) => index));
    for (const groupSize of counts) {
      const shares = ranksOf(groupSize).map((rank) => sumOf(ownedUnits(units, rank, groupSize)));
      expect(Math.max(...shares)).toBeLessThanOrEqual(total / groupSize + Math.max(...work));
    }
  });

  it('belong to rank 0 where it is alone', () => {
    expect(ownedUnits(units, 0, 1)).toHaveLength(units.length);
    expect(units.reduce((sum, unit) => sum + unit.accumulator.length, 0)).toBe(accumulatorLength);
  });
});

describe('reduce-scatter', () => {
  const length = 24;
  const engine = { ...wasmEngine, accumulatorLength: length, preparedBytes: 0, workspaceBytes: () => 0 };

  /** Puts the leaves' values where the ranks would have summed them, and returns layout and memory. */
  function fill(
    leaves: number,
    groupSize: number,
    values: readonly number[][],
  ): { layout: MemoryLayout; all: Float32Array } {
    const subtrees = Math.max(...ranksOf(groupSize).map((rank) => subtreesOf(shardOf(leaves, rank, groupSize)).length));
    const shape = { groupSize, shardRows: 8, subtrees, microBatch: 8, trainCount: 1, testCount: 1 };
    const layout = planMemory(engine, shape);
    const all = new Float32Array(allocateMemory(layout).buffer);
    for (const rank of ranksOf(groupSize)) {
      subtreesOf(shardOf(leaves, rank, groupSize)).forEach(({ start, size }, position) => {
        const offset = (layout.accumulators[rank]?.[position] ?? NaN) / 4;
        for (let i = 0; i < length; i++) {
          const column = values.slice(start, start + size).map((leaf) => leaf[i] ?? NaN);
          all[offset + i] = serialSum(column, Math.fround);
        }
      });
    }
    return { layout, all };
  }

  it("gives the serial tree's bits for 1 to 16 ranks and 1 to 16 leaves", () => {
    for (const leaves of counts) {
      const values = Array.from({ length: leaves }, (_, leaf) => wildValues(length, leaf));
      const expected = Array.from({ length }, (_, i) =>
        serialSum(
          values.map((leaf) => leaf[i] ?? NaN),
          Math.fround,
        ),
      );
      for (const groupSize of counts) {
        const { layout, all } = fill(leaves, groupSize, values);
        const replica: Pick<Replica, 'add'> = {
          add(target, source, count) {
            for (let i = 0; i < count; i++)
              all[target / 4 + i] = (all[target / 4 + i] ?? NaN) + (all[source / 4 + i] ?? NaN);
          },
        };
        // Two units that share the accumulator: each is reduced by itself, on whatever rank.
        const sums = [0, 10].flatMap((offset) => {
          const unit = { name: 'unit', accumulator: { offset, length: offset === 0 ? 10 : 14 }, parameters: [] };
          const plan = planBatch(leaves * 8, leaves, offset === 0 ? 0 : groupSize - 1, groupSize);
          reduceUnit(layout, plan, replica, unit);
          const from = accumulatorOf(layout, plan, 0) / 4 + offset;
          return [...all.subarray(from, from + unit.accumulator.length)];
        });
        expect(sums, `${String(leaves)} leaves over ${String(groupSize)} ranks`).toEqual(expected);
      }
    }
  });
});

describe('statistics exchanges', () => {
  const length = 6;
  const leafValues = (leaves: number): number[][] =>
    Array.from({ length: leaves }, (_, leaf) => wildValues(length, leaf));
  const column = (values: readonly number[][], j: number): number[] => values.map((leaf) => leaf[j] ?? NaN);
  const expectedOf = (values: readonly number[][]): number[] =>
    Array.from({ length }, (_, j) => serialSum(column(values, j), (value) => value));

  it("finish the serial tree's bits over a rank's own shard, and count its rows", () => {
    for (let start = 0; start < 12; start++) {
      for (let end = start + 1; end <= 12; end++) {
        // Aligned runs are subtrees of the whole tree; any run has the tree of its subtrees.
        const values = leafValues(12).slice(start, end);
        const local = new LocalExchange();
        const plan = { ...planBatch(96, 12, 0, 1), shard: { start, end } };
        local.start(plan, 8 * (end - start));
        const total = new Float64Array(length);
        local.reduce(Float64Array.from(values.flat()), length, total);
        expect(local.rows).toBe(8 * (end - start));
        if (start === 0) expect([...total]).toEqual(expectedOf(values));
        const plain = values.reduce((sum, leaf) => sum + (leaf[0] ?? NaN), 0);
        expect(Math.abs((total[0] ?? NaN) - plain)).toBeLessThan(1e-6);
      }
    }
  });

  it('give a lone rank of a group the whole tree, and start over with each of two slots', () => {
    const layout = planMemory(wasmEngine, {
      groupSize: 1,
      shardRows: 8,
      subtrees: 4,
      microBatch: defaultConfig.microBatch,
      trainCount: 1,
      testCount: 1,
    });
    const { buffer } = allocateMemory(layout);
    const group = new GroupExchange(buffer, layout, new Control(buffer, layout.control, 1, 1000), 0);
    for (const leaves of [16, 12, 13, 1]) {
      const plan = planBatch(leaves * 8, leaves, 0, 1);
      group.start(plan);
      expect(group.rows).toBe(leaves * 8);
      for (let call = 0; call < 3; call++) {
        const values = leafValues(leaves);
        const total = new Float64Array(length);
        group.reduce(Float64Array.from(values.flat()), length, total);
        expect([...total]).toEqual(expectedOf(values));
      }
    }
  });

  it('add up leaves in place, so that the first leaf of a subtree holds its sum', () => {
    expect(mergesOfLeaves({ start: 0, end: 4 })).toEqual([
      { target: 0, source: 1 },
      { target: 2, source: 3 },
      { target: 0, source: 2 },
    ]);
  });
});

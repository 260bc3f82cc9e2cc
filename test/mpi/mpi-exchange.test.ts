/**
 * What processes exchange, without MPI: every byte that one sends another expects, and the sums that all processes come to
 * have the bits of the tree of one.
 */
import { describe, expect, it } from 'vitest';
import { planBatch, type BatchPlan } from '../../src/shared/sums/batch-plan.js';
import { reduceUnit } from '../../src/shared/group/collectives.js';
import { sumTree } from '../../src/shared/sums/rows.js';
import { placeStatistics, reduceChunk, sumBase } from '../../src/shared/group/job-collectives.js';
import type { ExchangeRequest } from '../../src/shared/group/mailbox.js';
import { allocateMemory, planMemory, statisticsLength, type MemoryLayout } from '../../src/shared/group/memory.js';
import { shardWithin, sharesOf, subtreesOf } from '../../src/shared/sums/tree.js';
import { scheduleOf } from '../../src/mpi/exchange.js';
import { wasmEngine } from '../../src/worker/engines/wasm/wasm-engine.js';
import { serialSum, wildValues } from '../support/compute/sums.js';

/** Floats of an accumulator: for 8 processes some chunks are empty, and the last one is no whole vector. */
const length = 107;
const columns = 3;
const engine = { ...wasmEngine, accumulatorLength: length, preparedBytes: 0, workspaceBytes: () => 0 };
const leafCounts = [1, 2, 3, 5, 8, 12, 13, 16];
const processCounts = [2, 3, 4, 5, 6, 7, 8];
const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
const columnOf = (values: readonly number[][], start: number, size: number, i: number): number[] =>
  values.slice(start, start + size).map((leaf) => leaf[i] ?? NaN);

interface FakeProcess {
  readonly layout: MemoryLayout;
  readonly plan: BatchPlan;
  readonly buffer: ArrayBufferLike;
  readonly floats: Float32Array;
  readonly groupSize: number;
}

/** Processes whose ranks have summed their subtrees' accumulators. Each has another number of threads. */
function startProcesses(leaves: number, processes: number, values: readonly number[][]): FakeProcess[] {
  const shares = sharesOf(leaves, processes);
  const counts = shares.map((share) => subtreesOf(share).length);
  const [nodes, roots] = [counts.reduce((sum, count) => sum + count), Math.max(...counts)];
  return upTo(processes).map((process) => {
    const groupSize = 1 + (process % 3);
    const plan = planBatch(leaves * 8, leaves, 0, groupSize, { process, processes });
    const subtrees = Math.max(
      1,
      ...upTo(groupSize).map(
        (r) => subtreesOf(shardWithin(shares[process] ?? { start: 0, end: 0 }, r, groupSize)).length,
      ),
    );
    const job = { process, processes, nodes, roots };
    const shape = { groupSize, shardRows: 8, subtrees, microBatch: 8, trainCount: 1, testCount: 1, job };
    const layout = planMemory(engine, shape);
    const { buffer } = allocateMemory(layout);
    const floats = new Float32Array(buffer);
    for (const { rank, position, start, size } of plan.subtrees) {
      const offset = (layout.accumulators[rank]?.[position] ?? NaN) / 4;
      for (let i = 0; i < length; i++) floats[offset + i] = serialSum(columnOf(values, start, size, i), Math.fround);
    }
    return { layout, plan, buffer, floats, groupSize };
  });
}

/** Carries every message from memory to memory. Returns the bytes that each process sent. */
function deliver(processes: readonly FakeProcess[], request: ExchangeRequest): number[] {
  const schedules = processes.map(({ layout, plan }) => scheduleOf(request, layout, plan));
  const inbox = new Map<string, { bytes: Uint8Array }[]>();
  schedules.forEach(({ sends }, from) => {
    for (const { peer, offset, bytes } of sends) {
      const way = `${String(from)} to ${String(peer)}`;
      // A copy: what a process receives must not reach others by what it has not sent yet.
      const message = { bytes: new Uint8Array(processes[from]?.buffer ?? new ArrayBuffer(0), offset, bytes).slice() };
      inbox.set(way, [...(inbox.get(way) ?? []), message]);
    }
  });
  schedules.forEach(({ receives }, to) => {
    for (const { peer, offset, bytes } of receives) {
      const message = inbox.get(`${String(peer)} to ${String(to)}`)?.shift();
      expect(message?.bytes.length, `what ${String(to)} expects of ${String(peer)}`).toBe(bytes);
      new Uint8Array(processes[to]?.buffer ?? new ArrayBuffer(0), offset, bytes).set(message?.bytes ?? []);
    }
  });
  expect([...inbox.values()].flat(), 'messages that nobody expects').toEqual([]);
  return schedules.map(({ sends }) => sends.reduce((sum, { bytes }) => sum + bytes, 0));
}

const request = (kind: ExchangeRequest['kind']): ExchangeRequest => ({ kind, step: 0, rows: 0, length: columns });
const unit = { name: 'all', accumulator: { offset: 0, length }, parameters: [] };
const adding = (floats: Float32Array): { add(target: number, source: number, count: number): void } => ({
  add(target, source, count) {
    for (let i = 0; i < count; i++) {
      floats[target / 4 + i] = (floats[target / 4 + i] ?? NaN) + (floats[source / 4 + i] ?? NaN);
    }
  },
});

describe.each(processCounts)('%d processes', (count) => {
  it.each(leafCounts)("come to the serial tree's sum of gradients, of %d leaves", (leaves) => {
    const values = upTo(leaves).map((leaf) => wildValues(length, leaf));
    const processes = startProcesses(leaves, count, values);
    for (const { layout, plan, floats } of processes) reduceUnit(layout, plan, adding(floats), unit);
    const scattered = deliver(processes, request('reduce-scatter'));
    for (const { layout, plan, floats, groupSize } of processes) {
      for (const rank of upTo(groupSize)) reduceChunk(layout, plan, adding(floats), rank);
    }
    const gathered = deliver(processes, request('all-gather'));
    const expected = upTo(length).map((i) => serialSum(columnOf(values, 0, leaves, i), Math.fround));
    for (const { layout, plan, floats } of processes) {
      const sum = sumBase(layout, plan) / 4;
      expect([...floats.subarray(sum, sum + length)]).toEqual(expected);
    }
    processes.forEach(({ plan, layout }, process) => {
      const header = 8 * (1 + (layout.shape.job?.roots ?? NaN)) * (count - 1);
      const sent = (scattered[process] ?? NaN) - header + (gathered[process] ?? NaN);
      const formula = (((plan.job?.roots.length ?? NaN) + 1) * 4 * length * (count - 1)) / count;
      // A chunk is a whole number of vectors of 16 floats.
      expect(Math.abs(sent - formula)).toBeLessThanOrEqual(64 * leaves * count);
    });
  });

  it.each(leafCounts)("come to the serial tree's statistics, of %d leaves", (leaves) => {
    const values = upTo(leaves).map((leaf) => wildValues(columns, leaf));
    const processes = startProcesses(leaves, count, values);
    const exchanged = processes.map(({ layout, plan, buffer, groupSize }) => {
      const slots = new Float64Array(buffer, layout.statistics, groupSize * layout.shape.subtrees * statisticsLength);
      plan.subtrees.forEach(({ start, size }, index) => {
        const sums = upTo(columns).map((j) => serialSum(columnOf(values, start, size, j), (value) => value));
        slots.set(sums, index * statisticsLength);
      });
      const rows = new Float64Array(buffer, layout.job?.statistics ?? NaN, leaves * columns);
      placeStatistics(slots, 0, columns, plan, rows);
      return rows;
    });
    deliver(processes, request('statistics'));
    const expected = upTo(columns).map((j) => serialSum(columnOf(values, 0, leaves, j), (value) => value));
    processes.forEach(({ plan }, process) => {
      const total = new Float64Array(columns);
      const { nodes, merges } = plan.job ?? { nodes: [], merges: [] };
      sumTree(exchanged[process] ?? total, 0, columns, columns, nodes.length, merges, total);
      expect([...total]).toEqual(expected);
    });
  });
});

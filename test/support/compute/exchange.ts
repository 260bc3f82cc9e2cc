/** Statistics exchanges of one thread, for tests of an engine without its group. */
import type { StatisticsExchange } from '../../../src/shared/engine.js';
import { mergesOfLeaves, mergesOfSubtrees, subtreesOf } from '../../../src/shared/sums/tree.js';

export interface ExchangeCall {
  readonly length: number;
  /** The leaves' sums as they were handed over, a copy. */
  readonly leaves: Float64Array;
  readonly total: Float64Array;
}

/** Covers the caller's own `rows` rows, in the tree's order, and records every call. */
export function recordingExchange(rows: number): StatisticsExchange & { readonly calls: ExchangeCall[] } {
  const calls: ExchangeCall[] = [];
  return {
    rows,
    withinShard: false,
    calls,
    reduce(leaves, length, total) {
      const handed = Float64Array.from(leaves);
      sumLeaves(leaves, length, total);
      calls.push({ length, leaves: handed, total: Float64Array.from(total) });
    },
  };
}

/**
 * A member of a group that is not there: gives the totals that an exchange over all `rows` rows recorded. A caller that
 * asks for other lengths, or too often, gets an error.
 */
export function replayingExchange(
  rows: number,
  recorded: readonly ExchangeCall[],
): StatisticsExchange & { readonly calls: ExchangeCall[] } {
  const calls: ExchangeCall[] = [];
  return {
    rows,
    withinShard: false,
    calls,
    reduce(leaves, length, total) {
      const next = recorded[calls.length];
      if (next?.length !== length) throw new Error(`exchange ${String(calls.length)} of length ${String(length)}`);
      total.set(next.total);
      calls.push({ length, leaves: Float64Array.from(leaves), total: next.total });
    },
  };
}

function sumLeaves(leaves: Float64Array, length: number, total: Float64Array): void {
  const range = { start: 0, end: leaves.length / length };
  const parts = Array.from({ length: range.end }, (_, l) => leaves.subarray(l * length, (l + 1) * length));
  const add = (target: Float64Array | undefined, source: Float64Array | undefined): void => {
    if (target === undefined || source === undefined) throw new Error('the tree names a leaf that is not there');
    source.forEach((value, i) => (target[i] = (target[i] ?? NaN) + value));
  };
  for (const { target, source } of mergesOfLeaves(range)) add(parts[target], parts[source]);
  const subtrees = subtreesOf(range);
  const nodes = subtrees.map(({ start }) => parts[start]);
  for (const { target, source } of mergesOfSubtrees(subtrees)) add(nodes[target], nodes[source]);
  total.fill(0);
  if (nodes[0] !== undefined) total.set(nodes[0]);
}

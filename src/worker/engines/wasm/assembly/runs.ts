// Sums over tiles follow a list of runs, written by gradient-runs.ts: tiles of one leaf that lie together. A run is eight
// int32: where it begins in A and in D (bytes from the start of their planes) and its bytes in either; how many nodes of the
// inner stack its leaf joins; whether the leaf goes on in the next run. Runs make groups, complete subtrees of few enough
// tiles for the first-level cache. A group's first run has the group's bytes in this list, how many nodes of the outer
// stack the group joins, and where the result goes: the address of an accumulator, or 0 for the outer stack.
export const runBytes: usize = 32;

// @ts-ignore: decorator
@inline
export function word(run: usize, position: usize): usize {
  return <usize>load<i32>(run + position * 4);
}

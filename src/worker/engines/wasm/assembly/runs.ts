// Sums over tiles follow a list of runs, written by gradient-runs.ts: tiles of one leaf that lie together. A run is five
// int32: where it begins in A and in D (bytes from the start of their planes) and its bytes in either; how many nodes of the
// inner stack its leaf joins; whether the leaf goes on in the next run.
export const runBytes: usize = 20;

// @ts-ignore: decorator
@inline
export function word(run: usize, position: usize): usize {
  return <usize>load<i32>(run + position * 4);
}

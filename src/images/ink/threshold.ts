/** Where dark ends and light begins. Portable: nothing of Node here. */

/**
 * The threshold among values in low..high that leaves the two sides most distinct: it maximises the variance between them.
 * Source: N. Otsu, A threshold selection method from gray-level histograms, 1979.
 */
export function otsuThreshold(values: Float32Array, low: number, high: number): number {
  const bins = 256;
  const counts = new Array<number>(bins).fill(0);
  for (const value of values) {
    if (value < low) continue;
    const bin = Math.min(bins - 1, Math.floor((bins * (value - low)) / (high - low)));
    counts[bin] = counts[bin]! + 1;
  }
  const total = counts.reduce((sum, count) => sum + count, 0);
  const totalSum = counts.reduce((sum, count, bin) => sum + bin * count, 0);
  let [below, sumBelow, best, threshold] = [0, 0, 0, 0];
  counts.forEach((count, bin) => {
    below += count;
    sumBelow += bin * count;
    const above = total - below;
    if (below === 0 || above === 0) return;
    const distance = sumBelow / below - (totalSum - sumBelow) / above;
    const between = below * above * distance * distance;
    if (between > best) [best, threshold] = [between, bin + 1];
  });
  return low + (threshold / bins) * (high - low);
}

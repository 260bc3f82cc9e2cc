/**
 * Sine and cosine with the same bits everywhere: of float64 additions and multiplications alone, where those of Math differ between
 * machines. Angles are in half-turns, so that what is taken off them is taken off exactly.
 */

/** cos(pi t), to an error of some 2^-52; |t| up to 2^20. */
export function cosineOf(halfTurns: number): number {
  const quarters = Math.round(2 * halfTurns);
  const x = (halfTurns - quarters / 2) * pi;
  const quadrant = ((quarters % 4) + 4) % 4;
  if (quadrant === 0) return cosineSeries(x);
  if (quadrant === 1) return -sineSeries(x);
  return quadrant === 2 ? -cosineSeries(x) : sineSeries(x);
}

/** sin(pi t), likewise. */
export function sineOf(halfTurns: number): number {
  return cosineOf(halfTurns - 0.5);
}

const pi = 3.141592653589793;

/** Taylor's series for |x| <= pi / 4. */
function sineSeries(x: number): number {
  const square = x * x;
  let sum = 1;
  for (let k = 16; k >= 2; k -= 2) sum = 1 - (sum * square) / (k * (k + 1));
  return x * sum;
}

function cosineSeries(x: number): number {
  const square = x * x;
  let sum = 1;
  for (let k = 17; k >= 1; k -= 2) sum = 1 - (sum * square) / (k * (k + 1));
  return sum;
}

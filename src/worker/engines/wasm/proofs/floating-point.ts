/**
 * Proof, before training, that this machine computes as IEEE 754 says: the promise of equal bits rests on it. A processor
 * that flushes subnormals, rounds elsewhere or fuses a multiplication with an addition fails here.
 */
import { OperationalError } from '../../../../shared/errors.js';
import type { Kernels } from '../kernels.js';

export type Probes = Pick<Kernels, 'probeMultiply' | 'probeAdd' | 'probeMultiplyAdd' | 'probeRoot' | 'probeExp'>;

const tiny = 1.1754943508222875e-38;

/** Throws ENGINE_UNAVAILABLE naming the first answer that is wrong. */
export function proveFloatingPoint(probes: Probes): void {
  const answers: readonly [what: string, got: number, expected: number][] = [
    ['a product below the normal range', probes.probeMultiply(tiny, 0.5), tiny / 2],
    ['a sum of subnormals', probes.probeAdd(tiny / 4, tiny / 8), (3 * tiny) / 8],
    ['a tie that rounds to even, down', probes.probeAdd(1, 5.960464477539063e-8), 1],
    [
      'a tie that rounds to even, up',
      probes.probeAdd(1 + 1.1920928955078125e-7, 5.960464477539063e-8),
      1 + 2.384185791015625e-7,
    ],
    [
      'a product and a sum in two roundings',
      probes.probeMultiplyAdd(1 + 0.000244140625, 1 + 0.000244140625, -1),
      0.00048828125,
    ],
    ['a square root', probes.probeRoot(2), Math.fround(1.4142135381698608)],
    ['an exponential in float64', probes.probeExp(-1), 0.36787944117144233],
  ];
  for (const [what, got, expected] of answers) {
    if (Object.is(got, expected)) continue;
    throw new OperationalError(
      'ENGINE_UNAVAILABLE',
      `this machine's floating point is not exact: ${what} gives ${String(got)} instead of ${String(expected)}; ` +
        'training here would not give the bits of other machines',
    );
  }
}

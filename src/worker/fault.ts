/**
 * Faults on purpose, for the tests of survival: MNIST_DDP_FAULT names how a rank fails, in which phase of which step, and in
 * how many starts of the group (default 1), as in `throw:reduce:1:5` or `exit:exchange:0:2:3`.
 */
import { phases, type Phase } from '../shared/control.js';
import { OperationalError } from '../shared/errors.js';
import type { RankConfig } from '../shared/protocol.js';

const kinds = {
  throw: () => {
    throw new OperationalError('RANK_FAILED', 'a fault on purpose');
  },
  /** In a worker this ends the thread alone. */
  exit: () => process.exit(70),
  stall: () => {
    for (;;);
  },
} as const;

/** What a rank calls when it enters a phase. */
export function plannedFault({ rank, attempt }: RankConfig): (phase: Phase, step: number) => void {
  const [kind = '', phase, faultyRank, step, attempts = '1'] = (process.env['MNIST_DDP_FAULT'] ?? '').split(':');
  if (!(kind in kinds) || Number(faultyRank) !== rank || attempt >= Number(attempts)) return () => undefined;
  if (!phases.some((known) => known === phase)) throw new Error(`MNIST_DDP_FAULT names no phase: ${String(phase)}`);
  return (entered, at) => {
    if (entered === phase && at === Number(step)) kinds[kind as keyof typeof kinds]();
  };
}

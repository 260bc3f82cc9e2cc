/**
 * Faults on purpose, for a process that was started with `--import` of this file: MNIST_DDP_FAULT names how a rank fails, in which
 * phase of which step (counted from 1; an evaluation's is the step that it comes after), and how often (default once), as in
 * `throw:reduce:1:5` or `exit:exchange:0:2:3`.
 */
import { getEnvironmentData, isMainThread, setEnvironmentData } from 'node:worker_threads';

/** Under which threads find how often the fault has happened, an int32 that they share; faults.ts sets it back. */
const counter = 'faults on purpose';

if (isMainThread) setEnvironmentData(counter, new SharedArrayBuffer(4));
else if (process.env['MNIST_DDP_FAULT']) await plan(process.env['MNIST_DDP_FAULT']);

async function plan(fault) {
  const { Control, phases } = await import('../../../dist/shared/group/control.js');
  const { OperationalError } = await import('../../../dist/shared/errors.js');
  const [kind, phase, faultyRank, step, times = '1'] = fault.split(':');
  if (!phases.includes(phase)) throw new Error(`MNIST_DDP_FAULT names no phase: ${String(phase)}`);
  const happened = new Int32Array(getEnvironmentData(counter));
  const act = {
    throw: () => {
      throw new OperationalError('RANK_FAILED', 'a fault on purpose');
    },
    // In a worker this ends the thread alone.
    exit: () => process.exit(70),
    stall: () => {
      for (;;);
    },
  }[kind];
  const { setPhase } = Control.prototype;
  Control.prototype.setPhase = function (rank, entered, at = this.committed) {
    setPhase.call(this, rank, entered, at);
    if (rank !== Number(faultyRank) || entered !== phase || at !== Number(step)) return;
    if (Atomics.add(happened, 0, 1) < Number(times)) act();
  };
}

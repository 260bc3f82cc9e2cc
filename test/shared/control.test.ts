/** The shared control words: barriers release together, and a wait ends by abort or timeout, naming who is missing. */
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { Control, controlWords, startMs } from '../../src/shared/group/control.js';
import { operationalError } from '../support/compute/errors.js';

function controlOf(groupSize: number, timeoutMs = 50): Control {
  return new Control(new SharedArrayBuffer(4 * controlWords(groupSize)), 0, groupSize, timeoutMs);
}

describe('control words', () => {
  it('let a lone rank pass every barrier', () => {
    const control = controlOf(1);
    for (let i = 0; i < 3; i++) control.barrier(0);
    expect(control.committed).toBe(0);
  });

  it('end a wait for a rank that does not come, naming it, its phase and the step', async () => {
    const control = controlOf(3);
    control.setPhase(0, 'exchange', 42);
    control.setPhase(1, 'forward and backward', 42);
    control.setPhase(2, 'optimiser', 42);
    const error = await operationalError(() => {
      control.barrier(0);
    });
    expect(error.code).toBe('RANK_STALLED');
    expect(error.message).toContain('rank 1 (in forward and backward of step 42), rank 2 (in optimiser of step 42)');
    expect(error.message).not.toContain('rank 0');
  });

  it('leave a rank the time to start, in which drivers compile, before it counts as stalled', async () => {
    const words = new SharedArrayBuffer(4 * controlWords(2));
    const control = new Control(words, 0, 2, 50);
    control.setPhase(0, 'idle');
    expect([control.patienceMs, control.placeOf(1)]).toEqual([startMs, 'start of step 0']);
    const abort = new Worker(
      'const { workerData } = require("node:worker_threads"); setTimeout(() => Atomics.store(new Int32Array(workerData), 5, 1), 450)',
      {
        ...{ eval: true, workerData: words },
      },
    );
    const { code } = await operationalError(() => {
      control.barrier(0);
    });
    expect(code).toBe('ABORTED');
    await abort.terminate();
    control.setPhase(1, 'idle');
    expect(control.patienceMs).toBe(50);
    control.reset();
    expect(control.patienceMs).toBe(startMs);
  });

  it('end every wait once the group is told to leave', async () => {
    const control = controlOf(2, 60_000);
    control.abort();
    const barrier = await operationalError(() => {
      control.barrier(0);
    });
    const command = await operationalError(() => control.nextCommand(0));
    expect([barrier.code, command.code]).toEqual(['ABORTED', 'ABORTED']);
  });

  it('carry commands in order of their generation', () => {
    const control = controlOf(2);
    control.post({ name: 'train', first: 3, end: 7 });
    expect(control.nextCommand(0)).toEqual({ generation: 1, command: { name: 'train', first: 3, end: 7 } });
    control.post({ name: 'exit', first: 0, end: 0 });
    expect(control.nextCommand(1)).toMatchObject({ generation: 2, command: { name: 'exit' } });
  });

  it('stop all ranks after the step in which the stop was decided', () => {
    const control = controlOf(2);
    control.decideStop(4);
    expect(control.stoppedAt(5)).toBe(false);
    control.requestStop();
    expect(control.stoppedAt(5)).toBe(false);
    control.decideStop(5);
    expect([5, 6, 7].map((step) => control.stoppedAt(step))).toEqual([false, true, true]);
  });

  it('keep the first unit that ceased to be finite', () => {
    const control = controlOf(2);
    expect(control.notFinite).toBe(null);
    control.flagNotFinite(3);
    control.flagNotFinite(1);
    expect(control.notFinite).toBe(3);
  });
});

/** The loop of one rank: waits for a command, carries it out with the group, reports, until it is told to exit. */
import { Control, type Command } from '../shared/group/control.js';
import { Mailbox } from '../shared/group/mailbox.js';
import { bindReplica, stateSetOf } from '../shared/group/memory.js';
import type { RankConfig, RankMessage, RankReport, RankTask } from '../shared/group/protocol.js';
import { leafCount, rowsOf, shardOf } from '../shared/sums/tree.js';
import type { Engine, Replica } from '../shared/engine.js';
import { isBugByKind, isWantOfMemory, messageOf, OperationalError, serialiseError } from '../shared/errors.js';
import { DeviceStep } from './device-step.js';
import type { RankContext, RankStep } from './step.js';
import { UnitStep } from './unit-step.js';

/** A task whose description of the rank is unpacked. */
export type UnpackedTask = Omit<RankTask, 'packed'> & { readonly rankConfig: RankConfig };

/**
 * Runs a rank until the coordinator says `exit`. A failure is sent as a message; the promise then resolves. What the machine may
 * be to blame for is RANK_FAILED, any other error without a code is a bug.
 */
export async function serveRank(
  task: UnpackedTask,
  engine: Engine,
  send: (message: RankMessage) => void,
): Promise<void> {
  const { rank, libraries } = task.rankConfig;
  try {
    await runRank(task, engine, send);
  } catch (error) {
    const lost = isLoss(error, libraries.length > 0);
    const reason = lost ? new OperationalError('RANK_FAILED', messageOf(error)) : error;
    send({ kind: 'failure', rank, error: serialiseError(reason, rank) });
  }
}

/** Of an error that is not operational: there was no memory for it, or a foreign library's device may have been lost. */
function isLoss(error: unknown, foreign: boolean): boolean {
  if (error instanceof OperationalError) return false;
  return isWantOfMemory(error) || (foreign && !isBugByKind(error));
}

/** Resolves when the coordinator says `exit`; rejects with ABORTED, RANK_STALLED or whatever the engine throws. */
async function runRank(
  { rankConfig, memory, module, mailbox: words, device }: UnpackedTask,
  engine: Engine,
  report: (report: RankReport) => void,
): Promise<void> {
  const { rank, groupSize, layout, config, libraries, timeoutMs } = rankConfig;
  const control = new Control(memory.buffer, layout.control, groupSize, timeoutMs);
  const mailbox = words === null ? null : new Mailbox(words);
  const replica = await engine.createReplica(bindReplica(layout, config, memory, module, libraries, rank, device));
  const context: RankContext = { ...rankConfig, engine, buffer: memory.buffer, control, mailbox };
  const step = replica.keepsState ? new DeviceStep(context, replica) : new UnitStep(context, replica);
  try {
    for (let seen = 0; ;) {
      control.setPhase(rank, 'idle');
      const { generation, command } = control.nextCommand(seen);
      seen = generation;
      if (command.name === 'exit') return;
      const stepMs = await carryOut(command, context, replica, step);
      const deviceTimes = device?.profiling === true ? { deviceTimes: replica.takeTimes?.() ?? [] } : {};
      const { times } = step;
      report({ kind: 'report', rank, generation, times: { ...times }, stepMs, ...deviceTimes });
      for (const part of ['data', 'compute', 'allReduce', 'optimiser', 'waiting'] as const) times[part] = 0;
    }
  } finally {
    replica.release?.();
  }
}

/** Rows evaluated between two signs of life: few at first, since devices differ by a factor of a thousand. */
const firstRows = 32;
/** Twice as many follow where they took less. */
const shortMs = 250;

/** Returns the milliseconds of each step it ran. */
async function carryOut(command: Command, context: RankContext, replica: Replica, step: RankStep): Promise<number[]> {
  const { control, rank, groupSize, config } = context;
  const stepMs: number[] = [];
  if (command.name === 'prepare') step.prepare();
  if (command.name === 'prepareAverage') step.prepareAverage();
  if (command.name === 'evaluate') {
    const count = command.end - command.first;
    const share = rowsOf(shardOf(leafCount(count, config.microBatch), rank, groupSize), count, config.microBatch);
    for (let start = share.start, rows = firstRows; start < share.end && !control.stopRequested;) {
      control.setPhase(rank, 'evaluation');
      const begun = performance.now();
      const end = Math.min(start + rows, share.end);
      await replica.evaluate(command.first + start, command.first + end, stateSetOf(control.committed), step.averaged);
      if (performance.now() - begun < shortMs) rows *= 2;
      start = end;
    }
  }
  if (command.name === 'train') {
    const begun = performance.now();
    for (let current = command.first; current < command.end && !control.stoppedAt(current); current++) {
      const start = performance.now();
      if (!(await step.run(current))) break;
      stepMs.push(performance.now() - start);
    }
    step.settle();
    // A device runs behind its rank, so each of its steps counts as their mean.
    if (replica.keepsState) stepMs.fill((performance.now() - begun) / stepMs.length);
  }
  return stepMs;
}

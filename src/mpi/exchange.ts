/**
 * Which bytes of a process's memory go to which other process in one exchange, and where theirs arrive: pure schedules,
 * from the plan that all processes compute alike. Between two processes messages arrive in the order in which they are listed.
 */
import type { BatchPlan, JobPlan } from '../shared/sums/batch-plan.js';
import { accumulatorOf } from '../shared/group/collectives.js';
import { jobOf, nodeBase, sumBase } from '../shared/group/job-collectives.js';
import type { ExchangeRequest } from '../shared/group/mailbox.js';
import type { MemoryLayout } from '../shared/group/memory.js';
import { chunkOf } from '../shared/sums/tree.js';

const floatBytes = 4;
const doubleBytes = 8;

/** A run of bytes that goes to, or comes from, another process. */
export interface Message {
  readonly peer: number;
  /** From the start of the memory. */
  readonly offset: number;
  readonly bytes: number;
}

export interface Schedule {
  readonly sends: readonly Message[];
  readonly receives: readonly Message[];
}

/** What one process has to do for an exchange in steps. */
export function scheduleOf(request: ExchangeRequest, layout: MemoryLayout, plan: BatchPlan): Schedule {
  const { sends, receives } = wanted(request, layout, plan);
  const something = ({ bytes }: Message): boolean => bytes > 0;
  return { sends: sends.filter(something), receives: receives.filter(something) };
}

function wanted({ kind, length }: ExchangeRequest, layout: MemoryLayout, plan: BatchPlan): Schedule {
  if (kind === 'statistics') return allToAll(layout, plan, (process) => statisticsOf(layout, plan, process, length));
  if (kind === 'reduce-scatter') return reduceScatter(layout, plan);
  return allToAll(layout, plan, (process) => chunkIn(layout, plan, process, sumBase(layout, plan)));
}

type Run = Omit<Message, 'peer'>;

/** Each process has a run of bytes for all others, at the same place everywhere. */
function allToAll(layout: MemoryLayout, plan: BatchPlan, runOf: (process: number) => Run): Schedule {
  const { plan: over } = jobOf(layout, plan);
  return {
    sends: peersOf(over).map((peer) => ({ peer, ...runOf(over.process) })),
    receives: peersOf(over).map((peer) => ({ peer, ...runOf(peer) })),
  };
}

/** Every process's part of the peer's chunk goes to the peer, subtree by subtree; the headers go to all. */
function reduceScatter(layout: MemoryLayout, plan: BatchPlan): Schedule {
  const { plan: over } = jobOf(layout, plan);
  const headers = allToAll(layout, plan, (process) => headerOf(layout, plan, process));
  const sends = peersOf(over).flatMap((peer) =>
    over.roots.map((root) => ({ peer, ...chunkIn(layout, plan, peer, accumulatorOf(layout, plan, root)) })),
  );
  const receives = over.nodes.flatMap(({ process }, index) =>
    process === over.process
      ? []
      : [{ peer: process, ...chunkIn(layout, plan, over.process, nodeBase(layout, plan, index)) }],
  );
  return { sends: [...headers.sends, ...sends], receives: [...headers.receives, ...receives] };
}

function chunkIn(layout: MemoryLayout, plan: BatchPlan, process: number, base: number): Run {
  const { processes } = jobOf(layout, plan).plan;
  const { start, end } = chunkOf(layout.accumulatorLength, { process, processes });
  return { offset: base + start * floatBytes, bytes: (end - start) * floatBytes };
}

function statisticsOf(layout: MemoryLayout, plan: BatchPlan, process: number, length: number): Run {
  const { job, plan: over } = jobOf(layout, plan);
  const first = over.nodes.findIndex((node) => node.process === process);
  const count = over.nodes.filter((node) => node.process === process).length;
  const row = length * doubleBytes;
  return { offset: job.statistics + Math.max(0, first) * row, bytes: count * row };
}

function headerOf(layout: MemoryLayout, plan: BatchPlan, process: number): Run {
  const { job, headerLength } = jobOf(layout, plan);
  const bytes = headerLength * doubleBytes;
  return { offset: job.headers + process * bytes, bytes };
}

/** The other processes, beginning with the next one, so that not all send to the same at once. */
function peersOf({ process, processes }: JobPlan): number[] {
  return Array.from({ length: processes - 1 }, (_, i) => (process + 1 + i) % processes);
}

/** Showing on this machine that the result of training depends on what was asked for alone. */
import type { SimdBits } from '../shared/engine.js';
import { processName, type Job } from '../shared/group/job.js';
import { counted } from '../shared/text.js';
import { gatherValues } from './session/agreement.js';
import { stateSha256 } from './checkpoint/checkpoint.js';
import { decodeCheckpoint, encodeCheckpoint } from './checkpoint/checkpoint-format.js';
import { goldenHashes, type Hashes } from './checkpoint/golden-hashes.js';
import type { Simd } from './session/host.js';
import { Session, type SessionOptions } from './session/session.js';

export interface VerificationRequest extends SessionOptions {
  readonly workers: readonly number[];
  readonly steps: number;
  /** The other processes that train with this one; null where there are none. */
  readonly job: Job | null;
}

export interface VerificationRow extends Hashes {
  /** Such as `2 workers`, or `2 workers, stopped after step 10, resumed with 1`. */
  readonly how: string;
}

export interface Verification {
  /** Of this process in its job; 0 without one. */
  readonly process: number;
  readonly dataset: string;
  /** Bits of the kernels' vectors, of this process. */
  readonly simdBits: SimdBits | null;
  readonly steps: number;
  readonly rows: readonly VerificationRow[];
  /** The hashes that every machine gives for this data set and configuration, where they are known. */
  readonly golden: Hashes | null;
  /** Whether all rows, and the golden hashes, are equal. */
  readonly equal: boolean;
}

/**
 * Trains the same steps with each number of workers, then once more stopped half-way, through the bytes of a checkpoint, and
 * resumed with another number. In a job, each process does so by itself with the first number, then all do it together.
 * Throws OperationalError.
 */
export async function runVerification(request: VerificationRequest): Promise<Verification> {
  const { workers, steps, config, job } = request;
  const rows: VerificationRow[] = [];
  let [dataset, simdBits]: [string, SimdBits | null] = ['', null];
  const each = job === null ? '' : `${String(job.processes)} processes of `;
  const addRows = async (how: string, bytes: Uint8Array): Promise<void> => {
    ({ dataset } = await decodeCheckpoint(bytes));
    rows.push(...(await rowsOver(job, how, await hashesOf(bytes))));
  };
  const train = async (...how: Parameters<typeof trainTo>): Promise<Uint8Array> => {
    const { bytes, simd } = await trainTo(...how);
    simdBits = simd?.bits ?? null;
    if (typeof simd?.advice === 'string' && (job?.process ?? 0) === 0) request.onNote(simd.advice);
    return bytes;
  };
  if (job !== null) {
    const alone = await train({ ...request, job: null }, workers[0] ?? 1, steps, null);
    await addRows(`${counted(workers[0] ?? 1, 'worker')}, each process alone`, alone);
  }
  for (const groupSize of workers) {
    await addRows(each + counted(groupSize, 'worker'), await train(request, groupSize, steps, null));
  }
  const [first, second] = [workers[workers.length - 1] ?? 1, workers[0] ?? 1];
  const middle = Math.floor(steps / 2);
  if (middle > 0) {
    const half = await train(request, first, middle, null);
    const whole = await train(request, second, steps, half);
    await addRows(
      `${each}${counted(first, 'worker')}, stopped after step ${String(middle)}, resumed with ${String(second)}`,
      whole,
    );
  }
  const golden = goldenHashes(dataset, config, steps);
  const expected = golden ?? rows[0];
  const equal = rows.every(
    (row) => row.parametersSha256 === expected?.parametersSha256 && row.stateSha256 === expected.stateSha256,
  );
  return { process: job?.process ?? 0, dataset, simdBits, steps, rows, golden, equal };
}

/** The row of hashes that every process came to, and further ones for those of processes that came to others. */
async function rowsOver(job: Job | null, how: string, own: Hashes): Promise<VerificationRow[]> {
  if (job === null) return [{ how, ...own }];
  const all = await gatherValues(job, own);
  const [first = own] = all;
  const others = all.flatMap((hashes, process) =>
    hashes.stateSha256 === first.stateSha256 ? [] : [{ how: `${how}, ${processName(job, process)}`, ...hashes }],
  );
  return [{ how, ...first }, ...others];
}

/** Trains up to `steps` from scratch or from a checkpoint, and returns the state as a checkpoint's bytes. */
async function trainTo(
  request: VerificationRequest,
  groupSize: number,
  steps: number,
  from: Uint8Array | null,
): Promise<{ bytes: Uint8Array; simd: Simd | null }> {
  const session = await Session.open({ ...request, groupSize, trains: true });
  try {
    await (from === null ? session.initialise(request.config.seed) : session.restore(await decodeCheckpoint(from)));
    await session.trainTo(steps);
    return { bytes: await encodeCheckpoint(await session.checkpoint()), simd: session.simd };
  } finally {
    await session.close();
  }
}

async function hashesOf(bytes: Uint8Array): Promise<Hashes> {
  const checkpoint = await decodeCheckpoint(bytes);
  return { parametersSha256: checkpoint.parametersSha256, stateSha256: await stateSha256(checkpoint) };
}

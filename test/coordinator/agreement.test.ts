/** Processes of a job come to one mind: what differs or fails in one of them ends all, by its name. Without MPI. */
import { describe, expect, it } from 'vitest';
import { CommonEnd, fromFirst, sumOver, together } from '../../src/coordinator/session/agreement.js';
import { OperationalError } from '../../src/shared/errors.js';
import type { Job } from '../../src/shared/group/job.js';
import { Mailbox } from '../../src/shared/group/mailbox.js';

const hosts = ['north', 'south', 'west'];

/** Jobs that hand each other's bytes on, as processes would. */
function makeJobs(): Job[] {
  const rounds: { bytes: Uint8Array[]; deliver: (() => void)[] }[] = [];
  return hosts.map((_, process) => {
    let calls = 0;
    return {
      ...{ process, processes: hosts.length, hosts, mailbox: new Mailbox(), onFailure: () => undefined },
      gather: async (bytes) => {
        const round = (rounds[calls++] ??= { bytes: [], deliver: [] });
        round.bytes[process] = Uint8Array.from(bytes);
        await new Promise<void>((resolve) => {
          round.deliver.push(resolve);
          if (round.deliver.length === hosts.length) for (const deliver of round.deliver) deliver();
        });
        return round.bytes;
      },
      attach: () => Promise.resolve(),
      fail: () => undefined,
      missing: () => null,
      traffic: () => Promise.reject(new Error('not asked for')),
    };
  });
}

/** What each process throws or returns. */
const outcomes = <T>(act: (job: Job) => Promise<T>): Promise<unknown[]> =>
  Promise.all(makeJobs().map((job) => act(job).catch((error: unknown) => error)));

const refused = (code: string, message: string): unknown =>
  expect.objectContaining({ reason: expect.objectContaining({ code, message }) as unknown }) as unknown;

describe('together', () => {
  it('gives each process its own result where all fare well and have the same', async () => {
    const facts = () => ({ version: '1' });
    expect(await outcomes((job) => together(job, () => Promise.resolve(job.process), facts))).toEqual([0, 1, 2]);
  });

  it('ends all with the name of what differs, and of the process that has it', async () => {
    const ended = await outcomes((job) =>
      together(
        job,
        () => Promise.resolve(),
        () => ({ 'version of mnist-ddp': job.process === 2 ? '2.0.0' : '1.0.0' }),
      ),
    );
    const message =
      'process 2 on host west has another version of mnist-ddp than process 0 on host north: 2.0.0, not 1.0.0; all need the same';
    expect(ended).toEqual([0, 1, 2].map(() => refused('PROCESSES_DIFFER', message)));
    for (const end of ended) expect(end).toBeInstanceOf(CommonEnd);
  });

  it('ends all with what one failed with, by its name, and with what all failed with, once', async () => {
    const fail = (who: (process: number) => boolean) =>
      outcomes((job) =>
        together(job, () =>
          who(job.process) ? Promise.reject(new OperationalError('USAGE', 'no such file')) : Promise.resolve(),
        ),
      );
    const one = refused('USAGE', 'process 1 on host south: no such file');
    expect(await fail((process) => process === 1)).toEqual([one, one, one]);
    const all = refused('USAGE', 'no such file');
    expect(await fail(() => true)).toEqual([all, all, all]);
  });
});

describe('what process 0 reads', () => {
  it('comes to the others to the bit, typed arrays included', async () => {
    const values = Float32Array.of(1 / 3, -0, 1e-42, NaN);
    const state = { step: 7, init: null, values, powers: Float64Array.of(0.1 + 0.2), text: 'ä' };
    const read = await outcomes((job) => fromFirst(job, () => Promise.resolve(job.process === 0 ? state : null)));
    expect(read).toEqual([state, state, state]);
    for (const other of read as (typeof state)[]) {
      expect(other.values).toBeInstanceOf(Float32Array);
      expect(Object.is(other.values[1], -0)).toBe(true);
    }
  });

  it("fails in all with process 0's error, and sums are over all", async () => {
    const failed = await outcomes((job) =>
      fromFirst(job, () => Promise.reject(new OperationalError('CHECKPOINT_INVALID', 'damaged'))),
    );
    expect(failed.map((error) => (error as OperationalError).message)).toEqual(['damaged', 'damaged', 'damaged']);
    expect(await outcomes((job) => sumOver(job, job.process + 1))).toEqual([6, 6, 6]);
  });
});

/** Several processes over real MPI: the hash of one process, one that dies or differs is named, and nothing is lost. */
import { hostname } from 'node:os';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { loadCheckpoint, type Summary } from '../../../src/index.js';
import { launchedAs } from '../../../src/mpi/environment.js';
import { cli } from '../../support/processes/cli.js';
import { faultImport } from '../../support/processes/faults.js';
import { writeIdxSet } from '../../support/inputs/idx-files.js';
import { mpiMissing, mpirun, pidOf } from '../../support/processes/mpi.js';
import { metricsOf, temporaryRuns, trainRun } from '../../support/processes/runs.js';

// Batches of 16 micro-batches, and of 12 at the end of an epoch: a whole tree, and one that is not.
const { directory, data, out } = await temporaryRuns(32 + 24, 37);

const title = `several processes${mpiMissing === null ? '' : `, NOT TESTED: ${mpiMissing}`}`;

const config = { batchSize: 32, microBatch: 2, seed: 9 };
const flags = '--batch-size 32 --micro-batch 2 --seed 9'.split(' ');
const summaryIn = async (folder: string): Promise<Summary> =>
  JSON.parse(await readFile(join(folder, 'summary.json'), 'utf8')) as Summary;
/** What is the same for any number of processes and workers. */
const resultOf = ({ parametersSha256, stateSha256, trainLoss, correct, step }: Summary): object => ({
  parametersSha256,
  stateSha256,
  trainLoss,
  correct,
  step,
});
const trainArgs = (folder: string, workers: number, ...more: string[]): string[] => {
  return ['train', '--data', data, '--out', folder, '--workers', String(workers), ...flags, ...more];
};

describe.skipIf(mpiMissing !== null)(title, () => {
  let whole: Summary;
  let wholeOut: string;
  let wholeStdout: string;

  beforeAll(async () => {
    wholeOut = out();
    const alone = await cli(trainArgs(wholeOut, 1, '--epochs', '1'));
    wholeStdout = alone.stdout;
    whole = await summaryIn(wholeOut);
  });

  // `npm run verify:mpi` has the whole grid.
  const grid = [
    [1, 1],
    [2, 2],
    [3, 1],
  ] as const;
  it.each(grid)('train to the hash of one: %d of %d workers', async (processes, workers) => {
    const folder = out();
    const { code, stdout, stderr } = await mpirun([
      { count: processes, args: trainArgs(folder, workers, '--epochs', '1') },
    ]);
    expect(code, stderr).toBe(0);
    expect(stdout).toBe(wholeStdout);
    const summary = await summaryIn(folder);
    expect(resultOf(summary)).toEqual(resultOf(whole));
    expect(summary).toMatchObject({ processes, workers: processes * workers });
    expect(await metricsOf(folder)).toEqual([
      ...(await metricsOf(wholeOut)).slice(0, -1),
      expect.objectContaining({ kind: 'evaluation', correct: whole.correct }),
    ]);
    if (processes === 1) expect(summary.traffic).toBeNull();
    else expect(summary.traffic?.statistics.exchanges).toBe(6 * whole.steps);
  });

  it('share held-out rows, and choose as one process does', async () => {
    const more = ['--epochs', '2', '--validation', '19', '--keep-best', '--log-every', '1'];
    const [folder, wholeFolder] = [out(), out()];
    await cli(trainArgs(wholeFolder, 2, ...more));
    const { code, stderr } = await mpirun([{ count: 3, args: trainArgs(folder, 1, ...more) }]);
    expect(code, stderr).toBe(0);
    const [summary, alone] = [await summaryIn(folder), await summaryIn(wholeFolder)];
    expect(resultOf(summary)).toEqual(resultOf(alone));
    expect([summary.validation, summary.best]).toEqual([alone.validation, alone.best]);
    expect(await metricsOf(folder)).toEqual(await metricsOf(wholeFolder));
    const best = await Promise.all([folder, wholeFolder].map((run) => loadCheckpoint(join(run, 'best.msgpack'))));
    expect(best[0]?.parametersSha256).toBe(best[1]?.parametersSha256);
  });

  it('train together with vectors of different widths, to the same hash', async () => {
    const folder = out();
    const args = trainArgs(folder, 1, '--epochs', '1');
    const { code, stderr } = await mpirun([
      { count: 1, args, env: { MNIST_DDP_SIMD: '128' } },
      { count: 1, args },
    ]);
    expect(code, stderr).toBe(0);
    expect(resultOf(await summaryIn(folder))).toEqual(resultOf(whole));
  });

  it('end by name when one is killed, and the run goes on as one process, to the same hash', async () => {
    const folder = out();
    let [killed, killedAt] = [false, 0];
    const args = trainArgs(folder, 1, '--epochs', '300', '--checkpoint-every', '1');
    const kill = (): void => {
      if (killed) return;
      killed = true;
      setTimeout(() => {
        killedAt = performance.now();
        process.kill(pidOf(1, folder), 'SIGKILL');
      }, 1000);
    };
    const { code, stderr } = await mpirun([{ count: 2, args }], kill);
    expect(performance.now() - killedAt).toBeLessThan(10_000);
    expect(code).not.toBe(0);
    const lost =
      /^mnist-ddp: process 1 on host \S+ is missing (?:in the .+ of|after) step \d+, .+; step (\d+) is saved/m.exec(
        stderr,
      );
    expect(lost, stderr).not.toBeNull();
    const { step } = await loadCheckpoint(folder);
    expect(step).toBe(Number(lost?.[1]));
    const epochs = Math.ceil((step + 1) / 2);
    const [{ summary: resumed }, { summary: undisturbed }] = [
      await trainRun({ resume: folder, data, workers: 2, epochs }),
      await trainRun({ ...config, epochs, data, workers: 1, out: out() }),
    ];
    expect(resultOf(resumed)).toEqual(resultOf(undisturbed));
  });

  it('end after a step that all agree on when one is told to, and go on from there with three', async () => {
    const folder = out();
    let told = false;
    const tell = (): void => {
      if (!told) setTimeout(() => process.kill(pidOf(1, folder), 'SIGTERM'), 500);
      told = true;
    };
    const { code, stderr } = await mpirun([{ count: 2, args: trainArgs(folder, 1, '--epochs', '300') }], tell);
    expect(code).toBe(1);
    const ended = /^mnist-ddp: another process was told to end, after step (\d+)/m.exec(stderr);
    const { step } = await loadCheckpoint(folder);
    expect(step, stderr).toBe(Number(ended?.[1]));
    const epochs = String(Math.ceil((step + 1) / 2));
    const more = ['train', '--data', data, '--resume', folder, '--workers', '1', '--epochs', epochs];
    const resumed = await mpirun([{ count: 3, args: more }]);
    expect(resumed.code, resumed.stderr).toBe(0);
    const { summary } = await trainRun({ ...config, epochs: Number(epochs), data, workers: 1, out: out() });
    expect(resultOf(await summaryIn(folder))).toEqual(resultOf(summary));
  });

  it('name the process, its host, rank, phase and step where a worker stalls', async () => {
    const args = trainArgs(out(), 2, '--epochs', '300', '--timeout', '1');
    const stalled = { count: 1, args, env: { MNIST_DDP_FAULT: 'stall:optimiser:1:3', NODE_OPTIONS: faultImport } };
    const { code, stderr } = await mpirun([{ count: 1, args }, stalled]);
    expect(code).toBe(1);
    const named = `mnist-ddp: process 1 on host ${hostname()}: rank 1 (in optimiser of step 3) kept the others waiting for 1 s`;
    expect(stderr).toContain(`${named}\n`);
  });

  it('refuse data that differ, by the name of the process, once', async () => {
    const other = join(directory, 'other');
    await writeIdxSet(other, 32 + 25, 37);
    const folder = out();
    const differing = trainArgs(folder, 1).map((word) => (word === data ? other : word));
    const { code, stdout, stderr } = await mpirun([
      { count: 1, args: trainArgs(folder, 1) },
      { count: 1, args: differing },
    ]);
    expect([code, stdout]).toEqual([1, '']);
    const lines = stderr.split('\n').filter((line) => line.startsWith('mnist-ddp:'));
    const [here, there] = [0, 1].map((process) => `process ${String(process)} on host ${hostname()}`);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(
      new RegExp(`^mnist-ddp: ${String(there)} has another data set than ${String(here)}: [0-9a-f]+, not [0-9a-f]+;`),
    );
  });

  it('refuse a launcher that does not fit the library', async () => {
    const env = { PMI_SIZE: '2', PMI_RANK: '0' };
    const { code, stdout, stderr } = await cli(trainArgs(out(), 1), { env });
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(/^mnist-ddp: PMI_SIZE says 2 processes, but Open MPI, which was found, says 1: .+\n$/);
  });
});

describe('a process that a launcher may have started', () => {
  it('says in one line that there is no library, once for a host', async () => {
    const env = { OMPI_COMM_WORLD_SIZE: '2', MNIST_DDP_MPI: '/nonexistent/libmpi.so' };
    const first = await cli(trainArgs(out(), 1), { env: { ...env, OMPI_COMM_WORLD_LOCAL_RANK: '0' } });
    expect([first.code, first.stdout]).toEqual([1, '']);
    expect(first.stderr).toMatch(/^mnist-ddp: (\/nonexistent\/libmpi\.so \(from MNIST_DDP_MPI\)|koffi) .+\n$/);
    const second = await cli(trainArgs(out(), 1), { env: { ...env, OMPI_COMM_WORLD_LOCAL_RANK: '1' } });
    expect([second.stdout, second.stderr]).toEqual(['', '']);
  });

  it('is known by the environment, and is alone where there is one', () => {
    expect(launchedAs({})).toBeNull();
    expect(launchedAs({ OMPI_COMM_WORLD_SIZE: '1', OMPI_COMM_WORLD_RANK: '0' })).toBeNull();
    // A batch script of Slurm: there are tasks, but this is none of them.
    expect(launchedAs({ SLURM_NTASKS: '4', SLURM_PROCID: '0' })).toBeNull();
    expect(launchedAs({ SLURM_STEP_NUM_TASKS: '4', SLURM_PROCID: '3', SLURM_LOCALID: '1' })).toMatchObject({
      processes: 4,
      process: 3,
      localProcess: 1,
      library: 'Open MPI',
    });
    expect(launchedAs({ PMI_SIZE: '2', PMI_RANK: '1', MPI_LOCALRANKID: '0' })).toMatchObject({
      processes: 2,
      process: 1,
      localProcess: 0,
      library: 'MPICH',
    });
  });
});

/** Real jobs of several processes, where this machine has Open MPI. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { loadMpi } from '../../../src/mpi/library.js';
import { cliPath, type CliResult } from './cli.js';

/** Why there can be no jobs here, or null: a test that is left out says it in its title. */
export const mpiMissing: string | null = whyMissing();

function whyMissing(): string | null {
  try {
    if (process.platform !== 'linux') throw new Error('the tests find processes by /proc, on Linux');
    execFileSync('mpirun', ['--version'], { stdio: 'ignore' });
    loadMpi('Open MPI');
    return null;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    console.warn(`TESTS LEFT OUT: several processes: ${why} (Debian: apt-get install openmpi-bin)`);
    return why;
  }
}

/** Processes of a job that are started alike. */
export interface Processes {
  readonly count: number;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/**
 * Runs `mnist-ddp` as a job of these processes, in that order.
 * @param onLine called with each line of process 0's stdout
 */
export async function mpirun(
  groups: readonly Processes[],
  onLine: (line: string, index: number) => void = () => undefined,
): Promise<CliResult> {
  const contexts = groups.map(({ count, args, env = {} }) => {
    const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
    return ['-n', String(count), 'env', ...variables, process.execPath, cliPath, ...args];
  });
  const all = contexts.flatMap((context, i) => (i === 0 ? context : [':', ...context]));
  const child = spawn('mpirun', ['--oversubscribe', '--bind-to', 'none', ...all], {
    // Open MPI refuses root without these, and a container has no other user.
    env: { ...process.env, OMPI_ALLOW_RUN_AS_ROOT: '1', OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 60_000,
  });
  let [stdout, stderr, lines] = ['', '', 0];
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
    for (const line of stdout.split('\n').slice(lines, -1)) onLine(line, lines++);
  });
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  await once(child, 'close');
  return { code: child.exitCode, stdout, stderr };
}

/** The operating system's number of a process of the job that has `word` on its command line. */
export function pidOf(process: number, word: string): number {
  for (const name of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    try {
      const words = readFileSync(`/proc/${name}/cmdline`, 'utf8').split('\0');
      const variables = readFileSync(`/proc/${name}/environ`, 'utf8').split('\0');
      if (words.includes(word) && variables.includes(`OMPI_COMM_WORLD_RANK=${String(process)}`)) return Number(name);
    } catch {
      // It ended meanwhile.
    }
  }
  throw new Error(`no process ${String(process)} with ${word}`);
}

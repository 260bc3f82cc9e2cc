/** The command line as a process of its own. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

export const cliPath = fileURLToPath(new URL('../../../dist/cli.js', import.meta.url));

export interface CliOptions {
  readonly cwd?: string;
  /** Of another copy than the one that was built. */
  readonly path?: string;
  /** Arguments of node itself. */
  readonly node?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Called once with the process. */
  readonly onStart?: (child: ChildProcess) => void;
}

export interface CliResult {
  /** Exit code, or null where a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const batchPath = fileURLToPath(new URL('./cli-batch.mjs', import.meta.url));

/** The results of command lines that end before anything is begun, all by one process: it takes a fraction of the time. */
export async function cliBatch(all: readonly (readonly string[])[], cwd: string): Promise<CliResult[]> {
  const child = spawn(process.execPath, [batchPath], {
    cwd,
    stdio: ['pipe', 'ignore', 'inherit', 'pipe'],
    timeout: 60_000,
  });
  const results = text(child.stdio[3] as Readable);
  child.stdin?.end(JSON.stringify(all));
  return JSON.parse(await results) as CliResult[];
}

/** Runs `mnist-ddp` with these arguments to its end. */
export async function cli(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  const { cwd, path = cliPath, node = [], env = {}, onStart = () => undefined } = options;
  const child = spawn(process.execPath, [...node, path, ...args], {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 60_000,
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  onStart(child);
  await once(child, 'close');
  return { code: child.exitCode, stdout, stderr };
}

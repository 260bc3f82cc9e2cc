/** Trying native code in a process of its own, which it may end or hang, so that nothing it does can harm this one. */
import { execFile, type ExecFileException } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/**
 * Runs a script beside this file, which prints its answer as the last line of its output, in JSON.
 * @param request its only argument, in JSON
 * @returns the answer, or an object whose `error` says why there is none
 */
export function probe(script: string, request: unknown, timeoutMs: number): Promise<unknown> {
  const path = fileURLToPath(new URL(script, import.meta.url));
  const options = {
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
    windowsHide: true,
    env: { TF_CPP_MIN_LOG_LEVEL: '2', ...process.env },
  } as const;
  return new Promise((resolve) => {
    execFile(process.execPath, [path, JSON.stringify(request)], options, (error, stdout, stderr) => {
      resolve(answerOf(stdout) ?? { error: failureOf(error, stderr, timeoutMs) });
    });
  });
}

/** The last line: native libraries print what they like. */
function answerOf(stdout: string): unknown {
  try {
    return JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '');
  } catch {
    return null;
  }
}

function failureOf(error: ExecFileException | null, stderr: string, timeoutMs: number): string {
  if (error?.killed === true) return `loading it took more than ${String(timeoutMs / 1000)} s`;
  const how = error?.signal ?? `exit code ${String(error?.code ?? 0)}`;
  const said = stderr.trim().split('\n').at(-1)?.trim() ?? '';
  return `loading it ended the process with ${how}${said === '' ? '' : ` (${said})`}`;
}

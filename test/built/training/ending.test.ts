/** How commands end: their exit codes, signals before there is anything to save, and advice that can be followed as printed. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { loadCheckpoint } from '../../../src/index.js';
import { allocateMemory, type MemoryLayout } from '../../../src/shared/group/memory.js';
import { cli, cliPath } from '../../support/processes/cli.js';
import { operationalError } from '../../support/compute/errors.js';
import { temporaryDataset } from '../../support/inputs/idx-files.js';
import { temporaryRuns } from '../../support/processes/runs.js';

const { directory, data } = await temporaryRuns(408, 20);

describe('the exit code', () => {
  it.each([
    [0, ['-v']],
    [0, ['eval', '-h']],
    // What no file and no machine would change.
    [2, []],
    [2, ['trian']],
    [2, ['-x']],
    [2, ['eval', 'a', '--checkpoint', 'b']],
    [2, ['devices', 'a']],
    [2, ['predict']],
    [2, ['export', 'a']],
    [2, ['export', 'a', 'b', '--format', 'c']],
    [2, ['report', '--bogus']],
    [2, ['report', '--out']],
    [2, ['demo', '--port', '70000']],
    [2, ['verify', '--steps', '0']],
    [2, ['bench', '--steps', '1e-400']],
    [2, ['train', '--override', 'a']],
    [2, ['train', '--init', 'a', '--resume', 'b']],
    [1, ['eval', 'missing']],
    [1, ['predict', 'a.png', '--checkpoint', 'missing']],
    [1, ['export', 'missing', 'out', '--format', 'onnx']],
    [1, ['report', 'missing']],
    [1, ['demo', 'missing']],
    [1, ['verify', '--data', 'missing']],
    [1, ['bench', '--data', 'missing']],
    [1, ['train', '--data', 'missing']],
    [1, ['train', '--init', 'missing']],
    [1, ['train', '--resume', 'missing']],
  ])('is %i: %j', async (expected, args) => {
    const { code, stdout, stderr } = await cli(args, { cwd: directory });
    expect(code).toBe(expected);
    if (code === 0) expect([stdout, stderr]).toEqual([expect.stringContaining('\n'), '']);
    else expect([stdout, stderr]).toEqual(['', expect.stringMatching(/^mnist-ddp: [^\n]+\n$/)]);
  });

  it.runIf(process.platform === 'linux')('is that of a hang-up where nobody reads stdout any more', async () => {
    const command = `{ "${process.execPath}" "${cliPath}" devices; echo "code $?" >&2; } | true`;
    const { stderr } = await promisify(execFile)('sh', ['-c', command], { timeout: 60_000 });
    expect(stderr).toBe('code 129\n');
  });
});

describe('a signal before training has begun', () => {
  /** Opening the training images takes for ever: to look at them before the folder is locked, or to load them afterwards. */
  const stuckWhere = async (out: string, locked: boolean): Promise<string> => {
    const preload = join(directory, `stuck-${String(locked)}.mjs`);
    await writeFile(
      preload,
      `import fs, { existsSync } from 'node:fs';
      import { syncBuiltinESMExports } from 'node:module';
      const { open } = fs.promises;
      fs.promises.open = (path, ...rest) => {
        const isLocked = existsSync(${JSON.stringify(join(out, 'run.lock'))});
        if (!String(path).endsWith('train-images-idx3-ubyte') || isLocked !== ${String(locked)}) return open(path, ...rest);
        console.error('stuck');
        return new Promise(() => setInterval(() => undefined, 1000));
      };
      syncBuiltinESMExports();`,
    );
    return preload;
  };

  it.each([
    { signal: 'SIGINT', code: 130, locked: false },
    { signal: 'SIGINT', code: 130, locked: true },
    { signal: 'SIGTERM', code: 143, locked: true },
    { signal: 'SIGHUP', code: 129, locked: true },
  ] as const)('ends it at once: $signal, exit code $code, lock taken: $locked', async ({ signal, code, locked }) => {
    const out = join(directory, `${signal} ${String(locked)}`);
    let [wasLocked, sent] = [false, NaN];
    const result = await cli(['train', '--data', data, '--out', out, '--workers', '1'], {
      node: ['--import', await stuckWhere(out, locked)],
      onStart: (child) => {
        child.stderr?.on('data', (text: Buffer) => {
          if (!text.toString().includes('stuck')) return;
          [wasLocked, sent] = [existsSync(join(out, 'run.lock')), performance.now()];
          child.kill(signal);
        });
      },
    });
    expect(performance.now() - sent).toBeLessThan(5000);
    expect(wasLocked).toBe(locked);
    expect(result).toEqual({ code, stdout: '', stderr: `stuck\nstopped by ${signal}; nothing was trained yet\n` });
    expect(await readdir(out).catch(() => [])).toEqual([]);
  });
});

describe('advice', () => {
  it.runIf(process.platform !== 'win32')(
    'to go on can be followed as printed, whatever the folder is called',
    async () => {
      const out = join(directory, "it's my run; $HOME");
      const flags = ['--batch-size', '4', '--micro-batch', '2', '--epochs', '5', '--workers', '1'];
      const stopped = await cli(['train', '--data', data, '--out', out, ...flags], {
        onStart: (child) => child.stdout?.once('data', () => child.kill('SIGINT')),
      });
      expect(stopped.code).toBe(130);
      const { step } = await loadCheckpoint(out);
      const advice = /go on with: mnist-ddp (.*)\n$/.exec(stopped.stderr)?.[1] ?? 'none';
      expect(advice).toContain('--data');
      const more = `--max-steps ${String(step + 1)}`;
      await promisify(execFile)('sh', ['-c', `"${process.execPath}" "${cliPath}" ${advice} ${more}`]);
      expect((await loadCheckpoint(out)).step).toBe(step + 1);
      const again = await cli(['train', '--data', data, '--out', out]);
      expect(again.stderr).toContain(
        `resume it with ${/--resume '.*?run; \$HOME'/.exec(advice)?.[0] ?? ''}, or choose another folder\n`,
      );
    },
  );

  it('names no option where memory is missing, which commands without a batch size meet too', async () => {
    const tooLarge = { bytes: 65_536 * 70_000 } as MemoryLayout;
    const { code, message } = await operationalError(() => allocateMemory(tooLarge));
    expect([code, message]).toEqual(['MEMORY_EXCEEDED', expect.not.stringContaining('--')]);
  });

  it('names no option that verify has not, where its batches do not suit the data', async () => {
    const { data: rows, remove: removeRows } = await temporaryDataset(129, 20);
    try {
      const { code, stderr } = await cli(['verify', '--data', rows, '--workers', '1,2', '--steps', '1']);
      expect([code, stderr]).toEqual([2, expect.stringContaining('(129 training rows in batches of 128)')]);
      expect(stderr).not.toContain('--');
    } finally {
      await removeRows();
    }
  });

  it('and headings count one in the singular', async () => {
    const { stdout } = await cli(['verify', '--data', data, '--workers', '1,2', '--steps', '1']);
    expect(stdout.split('\n').every((line) => line.length <= 80)).toBe(true);
    expect(stdout.trimEnd()).toMatch(/\nEqual: 2 ways of training, the same bits \(no golden/);
    expect(stdout).toMatch(/^1 step on [^\n]*\n1 worker /);
  });
});

/** Files that a user names to be read: what is no regular file is refused by name, and nothing waits for a pipe. */
import { execFile } from 'node:child_process';
import { cp, link, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';
import { evaluate, exportWeights, loadCheckpoint, predict, report } from '../../../src/index.js';
import { cli, cliPath } from '../../support/processes/cli.js';
import { operationalError } from '../../support/compute/errors.js';
import { idxNames } from '../../support/inputs/idx-files.js';
import { temporaryRuns, trainRun } from '../../support/processes/runs.js';
import { hasPipes, makePipe, makeSocket } from '../../support/inputs/special-files.js';

const { directory, data } = await temporaryRuns(32, 20);

let run: string;
let pipe: string;

beforeAll(async () => {
  run = join(directory, 'run');
  await trainRun({ batchSize: 16, microBatch: 4, workers: 1, data, maxSteps: 2, checkpointEvery: 1, out: run });
  if (hasPipes) pipe = makePipe(join(directory, 'pipe'));
});

describe.runIf(hasPipes)('a pipe that nobody writes to is refused in one line', () => {
  it.each([
    ['eval', (path: string) => ['eval', path]],
    ['eval --checkpoint', (path: string) => ['eval', '--checkpoint', path]],
    ['predict', (path: string) => ['predict', path, '--checkpoint', run]],
    ['predict --checkpoint', (path: string) => ['predict', 'x.png', '--checkpoint', path]],
    ['export', (path: string) => ['export', path, 'out', '--format', 'onnx']],
    ['report', (path: string) => ['report', path]],
    ['demo', (path: string) => ['demo', path]],
    ['train --init', (path: string) => ['train', '--init', path]],
    ['train --resume', (path: string) => ['train', '--resume', path]],
  ])('%s', async (_name, args) => {
    await symlink('pipe', join(directory, 'link')).catch(() => undefined);
    for (const path of [pipe, join(directory, 'link')]) {
      const { code, stdout, stderr } = await cli(args(path), { cwd: directory });
      expect(stderr).toBe(`mnist-ddp: ${path} is a pipe; save what it gives as a file, and name that\n`);
      expect([code, stdout]).toEqual([1, '']);
    }
  });

  it.each(idxNames)('in --data: %s, plain and compressed', async (name) => {
    for (const suffix of ['', '.gz']) {
      const folder = join(directory, `data with ${name}${suffix}`);
      await cp(data, folder, { recursive: true });
      await rm(join(folder, name));
      const path = makePipe(join(folder, `${name}${suffix}`));
      const { code, message } = await operationalError(() => evaluate({ checkpoint: run, data: folder }));
      expect([code, message]).toEqual(['DATA_INVALID', expect.stringContaining(`${path} is a pipe`)]);
    }
  });

  it('as the checkpoint of a run, where the one before it is offered', async () => {
    const broken = join(directory, 'broken run');
    await cp(run, broken, { recursive: true });
    await rm(join(broken, 'checkpoint.msgpack'));
    makePipe(join(broken, 'checkpoint.msgpack'));
    const { code, message } = await operationalError(() => loadCheckpoint(broken));
    const previous = join(broken, 'checkpoint.previous.msgpack');
    expect([code, message]).toEqual([
      'CHECKPOINT_INVALID',
      `${join(broken, 'checkpoint.msgpack')} is a pipe; the checkpoint before it is whole: use '${previous}'`,
    ]);
    await rm(previous);
    makePipe(previous);
    expect((await operationalError(() => loadCheckpoint(broken))).message).toContain('save what it gives as a file');
  });

  it('but as the metrics of a run it leaves the report without curves, which is said', async () => {
    const odd = join(directory, 'odd run');
    await cp(run, odd, { recursive: true });
    await rm(join(odd, 'metrics.jsonl'));
    makePipe(join(odd, 'metrics.jsonl'));
    const notes: string[] = [];
    const { out } = await report({ run: odd, data, onNote: (note) => notes.push(note) });
    expect(notes).toEqual([
      expect.stringContaining('metrics.jsonl cannot be read (it is a pipe): the report has no curves'),
    ]);
    expect(await readFile(out, 'utf8')).toMatch(/^<!doctype html>/i);
  });
});

describe.runIf(hasPipes)('what else is no regular file', () => {
  it('is refused by name: a folder, a socket, a device', async () => {
    await mkdir(join(directory, 'folder'));
    const socket = await makeSocket(join(directory, 'socket'));
    try {
      for (const [path, kind] of [
        [join(directory, 'folder'), 'a folder'],
        [join(directory, 'socket'), 'a socket'],
        ['/dev/null', 'a device'],
        ['/dev/zero', 'a device'],
      ] as const) {
        const [picture] = await predict({ files: [path], checkpoint: run });
        expect(picture?.error).toEqual({
          code: 'IMAGE_INVALID',
          message: expect.stringContaining(`${path} is ${kind}`) as string,
        });
        if (kind === 'a folder') continue;
        const { message } = await operationalError(() => evaluate({ checkpoint: path, data }));
        expect(message).toBe(`${path} is ${kind}; name a file`);
      }
    } finally {
      socket.close();
    }
  });

  it('is refused also where somebody writes to it, as in a substitution of bash; a file as stdin is read', async () => {
    const weights = join(directory, 'weights.pth');
    await exportWeights({ checkpoint: run, format: 'pytorch', out: weights });
    const command = `"${process.execPath}" "${cliPath}" eval --data "${data}"`;
    const sh = (script: string) => promisify(execFile)('bash', ['-c', script], { timeout: 60_000 });
    const refused = await sh(`${command} <(cat "${weights}"); echo "code $?"`);
    expect(refused.stderr).toMatch(
      /^mnist-ddp: \/dev\/fd\/\d+ is a pipe; save what it gives as a file, and name that\n$/,
    );
    expect(refused.stdout).toBe('code 1\n');
    expect((await sh(`${command} /dev/stdin < "${weights}"`)).stdout).toMatch(/^Accuracy on test set: /);
  });
});

it('links to files are followed, and names may be what they like', async () => {
  const folder = join(directory, 'linked data');
  await mkdir(folder);
  for (const name of idxNames) await symlink(join(data, name), join(folder, name));
  const odd = join(directory, '\x1b[2Jodd\nname');
  await link(join(run, 'checkpoint.msgpack'), odd);
  await symlink(odd, join(directory, 'linked'));
  const { accuracy } = await evaluate({ checkpoint: run, data });
  expect(await evaluate({ checkpoint: join(directory, 'linked'), data: folder })).toMatchObject({ accuracy });
  const { stdout, stderr } = await cli(['eval', odd, '--data', folder]);
  expect(stdout).toBe(`Accuracy on test set: ${accuracy.toFixed(2)} %\n`);
  expect(stderr).toMatch(/^[^\n]*\\u001b\[2Jodd\\nname, step 2: \d+ of 20 correct\n$/);
  await link(join(data, 't10k-images-idx3-ubyte'), `${odd}\x9b.idx`);
  const rows = ['predict', `${odd}\x9b.idx`, '--rows', '0-1', '--checkpoint', run];
  const table = await cli(rows);
  expect(table.stdout).toMatch(/^([^\n]*\\u001b\[2Jodd\\nname\\u009b\.idx#[01] {2}\d [^\n]*\n){2}$/);
  const json = (await cli([...rows, '--json'])).stdout;
  expect(json).toMatch(/^[\x20-\x7e]+\n$/);
  expect(JSON.parse(json)).toMatchObject([{ file: `${odd}\x9b.idx`, row: 0 }, { row: 1 }]);
  await writeFile(`${odd}.png`, 'none');
  const refused = await cli(['predict', `${odd}.png`, '--checkpoint', run]);
  expect(refused.stderr).toMatch(/^mnist-ddp: [\x20-\x7e]+\n$/);
  const missing = await cli(['eval', 'a\nmnist-ddp: all is well\x9b']);
  expect(missing.stderr).toMatch(
    /^mnist-ddp: there is no run or checkpoint at a\\nmnist-ddp: all is well\\u009b; [\x20-\x7e]+\n$/,
  );
});

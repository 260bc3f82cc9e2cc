/**
 * Files that a user names to be written: links are followed, and what is no regular file is written to or refused, never replaced.
 * No test writes to the machine's own devices, which a fault could replace.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  cp,
  lstat,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { removeStaleTemporaries, writeFileAtomically } from '../../../src/files/atomic-file.js';
import { exportWeights, loadCheckpoint, report, train } from '../../../src/index.js';
import { cliPath } from '../../support/processes/cli.js';
import { operationalError } from '../../support/compute/errors.js';
import { temporaryRuns, trainRun } from '../../support/processes/runs.js';
import { hasPipes, makeDevice, makePipe, makeSocket } from '../../support/inputs/special-files.js';

const { directory: root, data } = await temporaryRuns(64, 20);

let run: string;
/** Of this test alone. */
let directory: string;
let tests = 0;

const config = { batchSize: 16, microBatch: 4, workers: 1 };

beforeAll(async () => {
  run = join(root, 'run');
  await trainRun({ ...config, data, maxSteps: 2, out: run });
});
beforeEach(async () => {
  directory = join(root, `test ${String(tests++)}`);
  await mkdir(directory);
});
const at = (name: string): string => join(directory, name);

it('keeps the permissions that it had', async () => {
  await writeFile(at('private'), 'old', { mode: 0o600 });
  await writeFileAtomically(at('private'), 'new');
  expect((await stat(at('private'))).mode & 0o777).toBe(0o600);
});

it('may have the longest name that the system takes', async () => {
  for (const name of ['n'.repeat(255), '\u00e9'.repeat(127)]) {
    await writeFileAtomically(at(name), 'old');
    await writeFileAtomically(at(name), 'new', { keepPrevious: at(`${name.slice(0, 100)}.previous`) });
    expect(await readFile(at(name), 'utf8')).toBe('new');
    // What a killed process left beside it is known by its name all the same.
    const left = `.${Buffer.from(name).subarray(0, 200).toString()}.4194303-1.tmp`;
    await writeFile(at(left), 'x');
    await removeStaleTemporaries(at(name), true);
    expect(await readdir(directory)).not.toContain(left);
  }
});

it('is not named by bytes that are no UTF-8, which Node would make another name of', async () => {
  const { code, message } = await operationalError(() => writeFileAtomically(at('x\ufffd'), 'x'));
  expect([code, message]).toEqual(['OUT_NOT_WRITABLE', expect.stringContaining('not in UTF-8')]);
  expect((await operationalError(() => train({ data, out: at('y\ufffd') }).next())).message).toContain('not in UTF-8');
  expect(await readdir(directory)).toEqual([]);
});

it('takes what a killed process left of it away, and nothing of this one', async () => {
  const [dead, own] = ['4194303', String(process.pid)].map((pid) => `.weights.onnx.${pid}-ab12.tmp`);
  for (const name of [dead, own]) await writeFile(at(name ?? ''), 'x');
  await exportWeights({ checkpoint: run, format: 'onnx', out: at('weights.onnx') });
  expect((await readdir(directory)).sort()).toEqual([own, 'weights.onnx']);
});

it('is no folder that is not there', async () => {
  const { code, message } = await operationalError(() => writeFileAtomically(at('nofile/'), 'x'));
  expect([code, message]).toEqual([
    'OUT_NOT_WRITABLE',
    expect.stringContaining('it names a folder, which is not there'),
  ]);
  expect(await readdir(directory)).toEqual([]);
});

it('is never one that the command reads, nor a file of a run, under any name', async () => {
  for (const name of ['run', 'other']) await cp(run, at(name), { recursive: true });
  await cp(data, at('data'), { recursive: true });
  await symlink(at('run/checkpoint.msgpack'), at('link'));
  const before = await readFile(at('run/checkpoint.msgpack'));
  const writers = [
    ...['link', 'run/checkpoint.msgpack', 'run/metrics.csv', 'other/summary.json'].map(
      (out) => () => exportWeights({ checkpoint: at('run'), format: 'pytorch', out: at(out) }),
    ),
    () => report({ run: at('run'), committee: [at('other')], data: at('data'), out: at('other/checkpoint.msgpack') }),
    ...['link', 'run/metrics.jsonl', 'run/summary.json', 'data/t10k-labels-idx1-ubyte'].map(
      (out) => () => report({ run: at('run'), data: at('data'), out: at(out) }),
    ),
  ];
  for (const write of writers) {
    const { code, message } = await operationalError(write);
    expect([code, message]).toEqual(['USAGE', expect.stringMatching(/^writing .+ would replace .+, which is in use;/)]);
  }
  for (const name of ['run', 'other'])
    expect((await readFile(at(`${name}/checkpoint.msgpack`))).equals(before)).toBe(true);
});

describe('a link', () => {
  it('is followed: the file that it leads to is replaced beside itself, and the links stay', async () => {
    await mkdir(at('elsewhere'));
    await writeFile(at('elsewhere/file'), 'old');
    await symlink('elsewhere', at('folder'));
    await symlink('folder/../elsewhere/file', at('inner'));
    await symlink(at('inner'), at('outer'));
    await writeFileAtomically(at('outer'), 'new');
    expect(await readFile(at('elsewhere/file'), 'utf8')).toBe('new');
    expect([await readlink(at('outer')), await readlink(at('inner'))]).toEqual([
      at('inner'),
      'folder/../elsewhere/file',
    ]);
    expect((await lstat(at('elsewhere/file'))).isFile()).toBe(true);
    expect([await readdir(directory), await readdir(at('elsewhere'))]).toEqual([
      ['elsewhere', 'folder', 'inner', 'outer'],
      ['file'],
    ]);
  });

  it('that leads to nothing yet creates what it names', async () => {
    await mkdir(at('elsewhere'));
    await symlink('elsewhere/file', at('link'));
    await writeFileAtomically(at('link'), 'new');
    expect(await readFile(at('elsewhere/file'), 'utf8')).toBe('new');
    expect((await lstat(at('link'))).isSymbolicLink()).toBe(true);
  });

  it.runIf(process.platform === 'linux')('of a descriptor whose file was deleted is written to', async () => {
    const handle = await open(at('deleted'), 'w+');
    await handle.writeFile('what was there before');
    await rm(at('deleted'));
    await writeFileAtomically(`/proc/self/fd/${String(handle.fd)}`, 'new');
    expect((await handle.read(Buffer.alloc(8), 0, 8, 0)).buffer.toString('latin1')).toBe('new\0\0\0\0\0');
    await handle.close();
    expect(await readdir(directory)).toEqual([]);
  });

  it('that leads nowhere is refused', async () => {
    await symlink('loop', at('loop'));
    await symlink('none/file', at('missing'));
    const loop = await operationalError(() => writeFileAtomically(at('loop'), 'new'));
    expect([loop.code, loop.message]).toEqual(['OUT_NOT_WRITABLE', expect.stringContaining('in a circle (ELOOP)')]);
    const missing = await operationalError(() => writeFileAtomically(at('missing'), 'new'));
    expect(missing.message).toContain('does not exist or was deleted (ENOENT)');
    expect(await readdir(directory)).toEqual(['loop', 'missing']);
  });
});

describe.runIf(hasPipes)('what is no regular file', () => {
  it('is written to where it is a pipe that somebody reads, at the pace of the reader', async () => {
    const pipe = makePipe(at('pipe'));
    await symlink('pipe', at('link'));
    const bytes = Uint8Array.from({ length: 3_000_000 }, (_, i) => i % 251);
    for (const path of [pipe, at('link')]) {
      const reader = spawn('sh', ['-c', `exec < "$0"; sleep 0.2; cat`, pipe], { stdio: ['ignore', 'pipe', 'inherit'] });
      const chunks: Buffer[] = [];
      reader.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
      const closed = once(reader, 'close');
      await whenRead(() => writeFileAtomically(path, bytes));
      await closed;
      expect(Buffer.concat(chunks).equals(bytes)).toBe(true);
    }
    expect((await stat(pipe)).isFIFO()).toBe(true);
    expect((await readdir(directory)).sort()).toEqual(['link', 'pipe']);
  });

  it('is refused at once where nobody reads the pipe', async () => {
    const pipe = makePipe(at('pipe'));
    const { code, message } = await operationalError(() => writeFileAtomically(pipe, 'text'));
    expect([code, message]).toEqual([
      'OUT_NOT_WRITABLE',
      expect.stringContaining('nobody reads at its other end (ENXIO)'),
    ]);
    expect((await stat(pipe)).isFIFO()).toBe(true);
  });

  it('is refused by name where it takes no bytes: a folder, a socket', async () => {
    await mkdir(at('folder'));
    const socket = await makeSocket(at('socket'));
    try {
      for (const kind of ['folder', 'socket']) {
        const { code, message } = await operationalError(() => writeFileAtomically(at(kind), 'text'));
        expect(code).toBe('OUT_NOT_WRITABLE');
        expect(message).toBe(`cannot write ${at(kind)}: it is a ${kind}; remove it, or choose another place`);
      }
      expect((await stat(at('socket'))).isSocket()).toBe(true);
      expect(await readdir(directory)).toEqual(['folder', 'socket']);
    } finally {
      socket.close();
    }
  });

  it('is written to where it is a character device, and refused where it is a block device', async (context) => {
    // /dev/null and /dev/full by other names.
    const made =
      makeDevice(at('null'), 'c 1 3') && makeDevice(at('full'), 'c 1 7') && makeDevice(at('block'), 'b 7 99');
    if (!made) context.skip('devices cannot be made here');
    await symlink('null', at('link'));
    await exportWeights({ checkpoint: run, format: 'pytorch', out: at('null') });
    await exportWeights({ checkpoint: run, format: 'pytorch', out: at('link') });
    expect((await operationalError(() => writeFileAtomically(at('full'), 'text'))).message).toContain('ENOSPC');
    expect((await operationalError(() => writeFileAtomically(at('block'), 'text'))).message).toContain('is a device');
    for (const name of ['null', 'full']) expect((await lstat(at(name))).isCharacterDevice()).toBe(true);
    expect((await lstat(at('link'))).isSymbolicLink()).toBe(true);
    expect((await lstat(at('block'))).isBlockDevice()).toBe(true);
    expect((await readdir(directory)).sort()).toEqual(['block', 'full', 'link', 'null']);
  });
});

/** Writes to a pipe once it is read. */
async function whenRead(write: () => Promise<void>): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      await write();
      return;
    } catch (error) {
      if (attempt === 500 || !(error as Error).message.includes('ENXIO')) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

describe.runIf(hasPipes)('export and report on stdout', () => {
  const shell = promisify(execFile);
  const command = (words: string): string => `"${process.execPath}" "${cliPath}" ${words}`;
  /** As /dev/stdout is one. */
  const out = '"$OUT"';

  beforeEach(async () => {
    await symlink('/proc/self/fd/1', at('stdout'));
  });
  const sh = (script: string) =>
    shell('sh', ['-c', script], { cwd: directory, env: { ...process.env, OUT: at('stdout') }, timeout: 60_000 });

  it.each([
    ['a pipe', (write: string) => `${write} | cat > got`],
    ['a file', (write: string) => `${write} > got`],
    ['a file that is added to', (write: string) => `: > got; ${write} >> got`],
  ])('give the bytes alone: %s', async (_name, redirect) => {
    await exportWeights({ checkpoint: run, format: 'safetensors', out: at('expected') });
    const { stderr } = await sh(redirect(command(`export "${run}" ${out} --format safetensors`)));
    expect((await readFile(at('got'))).equals(await readFile(at('expected')))).toBe(true);
    // What was written is said elsewhere.
    expect(stderr.split('\n')[0]).toBe(at('stdout'));
    await sh(redirect(command(`report "${run}" --data "${data}" --out ${out}`)));
    expect(await readFile(at('got'), 'utf8')).toMatch(/^<!doctype html>[^]*<\/html>\s*$/i);
    expect(await readlink(at('stdout'))).toBe('/proc/self/fd/1');
  });

  it('leave what stands in the file before them', async () => {
    await exportWeights({ checkpoint: run, format: 'onnx', out: at('expected') });
    await sh(`{ printf head; ${command(`export "${run}" ${out} --format onnx`)}; printf tail; } > got`);
    const expected = Buffer.concat([Buffer.from('head'), await readFile(at('expected')), Buffer.from('tail')]);
    expect((await readFile(at('got'))).equals(expected)).toBe(true);
  });

  it('say on stdout what they wrote where that is elsewhere', async () => {
    const { stdout, stderr } = await sh(command(`export "${run}" out.onnx --format onnx`));
    expect([stdout, stderr]).toEqual(['out.onnx\n', expect.stringMatching(/^its network takes pixels.*\n$/)]);
  });
});

it.runIf(hasPipes)('advice of export names no option that it has not', async () => {
  const { message } = await operationalError(() =>
    exportWeights({ checkpoint: run, format: 'onnx', out: at('none/out.onnx') }),
  );
  expect(message).not.toContain('--');
});

describe('the files of a run', () => {
  const places = [tmpdir(), ...(hasPipes ? ['/dev/shm'] : [])];

  it.each(places)(
    'may be links to files elsewhere (%s), which are replaced there; the one before is kept',
    async (place) => {
      const [out, elsewhere] = [at('run'), await mkdtemp(join(place, 'mnist-ddp-test-'))];
      onTestFinished(() => rm(elsewhere, { recursive: true }));
      await mkdir(out);
      const names = ['checkpoint.msgpack', 'summary.json', 'metrics.jsonl', 'metrics.csv'];
      for (const name of names) await symlink(join(elsewhere, name), join(out, name));
      await trainRun({ ...config, data, maxSteps: 3, checkpointEvery: 1, out });
      await trainRun({ ...config, data, maxSteps: 5, resume: out });
      for (const name of names) expect((await lstat(join(out, name))).isSymbolicLink()).toBe(true);
      expect((await readdir(elsewhere)).sort()).toEqual([...names].sort());
      expect((await loadCheckpoint(join(elsewhere, 'checkpoint.msgpack'))).step).toBe(5);
      expect((await loadCheckpoint(join(out, 'checkpoint.previous.msgpack'))).step).toBeLessThan(5);
      expect((await readdir(out)).sort()).toEqual(['checkpoint.previous.msgpack', ...names].sort());
    },
  );

  it.runIf(hasPipes)('are refused before training where they are pipes, but for the metrics', async () => {
    for (const name of ['checkpoint.msgpack', 'checkpoint.previous.msgpack', 'summary.json', 'run.lock']) {
      const out = at(`run with ${name}`);
      await mkdir(out);
      makePipe(join(out, name));
      const { code, message } = await operationalError(() => trainRun({ ...config, data, maxSteps: 1, out }));
      expect([name, code]).toEqual([name, 'OUT_NOT_WRITABLE']);
      expect(message).toContain(`${join(out, name)}: it is a pipe`);
      expect(await readdir(out)).toEqual([name]);
    }
  });

  it.runIf(hasPipes)('take metrics in a pipe where somebody reads it, and train on where nobody does', async () => {
    const [out, notes]: [string, string[]] = [at('run'), []];
    await mkdir(out);
    const pipe = makePipe(join(out, 'metrics.jsonl'));
    const reader = spawn('cat', [pipe], { stdio: ['ignore', 'pipe', 'inherit'] });
    let read = '';
    reader.stdout.on('data', (chunk: Buffer) => (read += chunk.toString()));
    const closed = once(reader, 'close');
    const metrics = train({ ...config, data, maxSteps: 2, out, onNote: (note) => notes.push(note) });
    for await (const metric of metrics) if (metric.kind === 'start') await closed;
    // Whoever reads a pipe is told of its end whenever a writer closes it.
    expect(JSON.parse(read.split('\n')[0] ?? '')).toMatchObject({ kind: 'start' });
    expect(notes.filter((note) => note.includes('metrics'))).toEqual([expect.stringContaining('nobody reads')]);
    expect((await loadCheckpoint(out)).step).toBe(2);
    await trainRun({ ...config, data, maxSteps: 3, resume: out });
  });
});

it.runIf(process.platform === 'linux').each(['/proc/mnist-ddp', '/proc/mnist-ddp/run'])(
  '--out %s ends with an error, where no folder can be made',
  async (out) => {
    const { code, message } = await operationalError(() => trainRun({ ...config, data, maxSteps: 1, out }));
    expect([code, message]).toEqual([
      'OUT_NOT_WRITABLE',
      expect.stringMatching(/\/proc takes no folders; choose another/),
    ]);
  },
);

/** The tarball of `npm pack`, installed elsewhere without optional and development packages, works. */
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { temporaryDirectory, writeIdxSet } from './support/idx-files.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const run = promisify(execFile);
const npm = (args: readonly string[], cwd: string) =>
  run('npm', [...args], { cwd, shell: process.platform === 'win32' });

let directory: string;
let remove: () => Promise<void>;
let packed: { filename: string; files: { path: string }[] } | undefined;
let consumer: string;

beforeAll(async () => {
  ({ directory, remove } = await temporaryDirectory());
  consumer = join(directory, 'consumer');
  await writeIdxSet(join(consumer, 'idx'), 32, 20);
  const { stdout } = await npm(['pack', '--ignore-scripts', '--json', '--pack-destination', directory], root);
  [packed] = JSON.parse(stdout) as NonNullable<typeof packed>[];
  await writeFile(join(consumer, 'package.json'), '{ "private": true, "type": "module" }');
  const flags = ['--omit=dev', '--omit=optional', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund'];
  await npm(['install', join(directory, packed?.filename ?? ''), ...flags], consumer);
}, 180_000);
afterAll(async () => {
  await remove();
});

it('ships what was built, and neither sources nor tests', () => {
  const paths = packed?.files.map(({ path }) => path) ?? [];
  for (const path of ['package.json', 'LICENSE', 'README.md', 'dist/cli.js', 'dist/index.js', 'dist/index.d.ts']) {
    expect(paths).toContain(path);
  }
  for (const path of [
    'dist/kernels/wasm.wasm',
    'dist/kernels/wasm-wide.wasm',
    'dist/demo/index.html',
    'dist/demo/page.js',
  ])
    expect(paths).toContain(path);
  expect(paths.filter((path) => /^(src|test|bench|scripts|build|runs|node_modules)\//.test(path))).toEqual([]);
});

it('trains by its installed command, and is imported by its name', async () => {
  const bin = join(consumer, 'node_modules', 'mnist-ddp', 'dist', 'cli.js');
  const flags = ['--data', 'idx', '--batch-size', '16', '--workers', '2', '--max-steps', '2', '--out', 'x'];
  const { stdout } = await run(process.execPath, [bin, 'train', ...flags], { cwd: consumer, timeout: 60_000 });
  expect(stdout).toMatch(/^Using device: cpu\nTraining:\nAccuracy on test set: \d+\.\d\d %\n$/);
  const summary = JSON.parse(await readFile(join(consumer, 'x', 'summary.json'), 'utf8')) as {
    parametersSha256: string;
  };
  const script = `import { loadCheckpoint } from 'mnist-ddp'; console.log((await loadCheckpoint('x')).parametersSha256);`;
  await writeFile(join(consumer, 'load.js'), script);
  const loaded = await run(process.execPath, ['load.js'], { cwd: consumer, timeout: 60_000 });
  expect(loaded.stdout).toBe(`${summary.parametersSha256}\n`);
});

it('links its command as mnist-ddp', async () => {
  const { stdout } = await npm(['exec', '--offline', '--', 'mnist-ddp', '--version'], consumer);
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string };
  expect(stdout.trim()).toBe(version);
});

it('needs koffi as one of several processes, and says so in one line', async () => {
  const bin = join(consumer, 'node_modules', 'mnist-ddp', 'dist', 'cli.js');
  const env = { ...process.env, OMPI_COMM_WORLD_SIZE: '2', OMPI_COMM_WORLD_RANK: '0', OMPI_COMM_WORLD_LOCAL_RANK: '0' };
  const failed = run(process.execPath, [bin, 'train', '--data', 'idx'], { cwd: consumer, env, timeout: 60_000 });
  const { code, stderr } = await failed.then(
    () => ({ code: 0, stderr: '' }),
    (error: unknown) => error as { code: number; stderr: string },
  );
  expect([code, stderr]).toEqual([1, 'mnist-ddp: koffi is not installed, which calls MPI: npm install koffi\n']);
});

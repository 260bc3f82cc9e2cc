// A progress callback, and the metrics of a run as they come.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { train } from 'mnist-ddp';

const folder = await mkdtemp(join(tmpdir(), 'mnist-ddp-'));
try {
  const run = train({
    maxSteps: 30,
    out: join(folder, 'run'),
    onNote: (text) => console.error(text),
    // A few times a second; `imagesPerSecond` is of the last steps.
    onProgress: ({ phase, step, imagesPerSecond }) => {
      console.error(`${phase}: step ${step}, ${Math.round(imagesPerSecond)} images/s`);
    },
  });
  for await (const metric of run) {
    if (metric.kind === 'start') console.log(`${metric.workers} workers, engine ${metric.engine}`);
    if (metric.kind === 'evaluation') console.log(`accuracy ${metric.accuracy} % after step ${metric.step}`);
    if (metric.kind === 'summary') console.log(`hash ${metric.parametersSha256}`);
  }
} finally {
  await rm(folder, { recursive: true });
}

// Ending a run by an AbortSignal: the step at hand is finished, a checkpoint is written, and ABORTED is thrown.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadCheckpoint, OperationalError, train } from 'mnist-ddp';

const folder = await mkdtemp(join(tmpdir(), 'mnist-ddp-'));
const out = join(folder, 'run');
const controller = new AbortController();
try {
  const onProgress = ({ step }) => {
    if (step >= 3) controller.abort(new Error('enough'));
  };
  for await (const metric of train({ out, signal: controller.signal, onProgress })) void metric;
} catch (error) {
  if (!(error instanceof OperationalError) || error.code !== 'ABORTED') throw error;
  const { step } = await loadCheckpoint(out);
  console.log(`ended (${error.cause.message}); the checkpoint is that of step ${step}`);
} finally {
  await rm(folder, { recursive: true });
}

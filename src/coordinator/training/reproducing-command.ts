/** The command line that trains to the same parameters. */
import { defaultConfig, type TrainConfig } from '../../shared/model/config.js';
import { shellWord } from '../../shared/text.js';
import type { Checkpoint } from '../checkpoint/checkpoint-format.js';

const flags: Readonly<Record<keyof TrainConfig, string>> = {
  epochs: '--epochs',
  batchSize: '--batch-size',
  microBatch: '--micro-batch',
  learningRate: '--lr',
  lrStep: '--lr-step',
  lrGamma: '--lr-gamma',
  seed: '--seed',
  batchNorm: '--batch-norm',
};

/**
 * What trains to the parameters of a checkpoint from nothing, defaults left out.
 * @param perEpoch steps of one epoch
 * @param exact whether the checkpoint's engine is; another one comes to the same but for rounding
 */
export function reproducingCommand(checkpoint: Checkpoint, perEpoch: number, exact: boolean): string {
  const { config, engine, step, dataset, worldSize, init } = checkpoint;
  const parts = ['mnist-ddp train'];
  for (const key of Object.keys(flags) as (keyof TrainConfig)[]) {
    if (config[key] !== defaultConfig[key]) parts.push(`${flags[key]} ${String(config[key])}`);
  }
  // Engines on TensorFlow.js, and batch norm over shards, are what the number of workers changes the result of.
  if (!exact) parts.push(`--engine ${shellWord(engine)}`);
  if (!exact || config.batchNorm === 'local') parts.push(`--workers ${String(worldSize)}`);
  if (step !== config.epochs * perEpoch) parts.push(`--max-steps ${String(step)}`);
  if (dataset !== 'mnist') parts.push('--data DIR');
  if (init !== null) parts.push(`--init ${shellWord(init.file)}`);
  return parts.join(' ');
}

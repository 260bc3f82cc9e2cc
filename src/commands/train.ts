/** `mnist-ddp train`: prints the reference program's lines. */
import { getEventListeners } from 'node:events';
import { constants } from 'node:os';
import type { Argv, CommandModule } from 'yargs';
import {
  OperationalError,
  overridable,
  train,
  type Overridable,
  type TrainMetric,
  type TrainOptions,
} from '../index.js';
import { counted, shellWord } from '../shared/text.js';
import { dataOption, engineOption, note, numeric, once, workersOption } from './shell/options.js';
import { createProgressDisplay, type ProgressDisplay } from './shell/progress.js';

interface TrainArguments {
  workers?: string | undefined;
  devices?: string | undefined;
  epochs?: number | undefined;
  batchSize?: number | undefined;
  microBatch?: number | undefined;
  lr?: number | undefined;
  lrStep?: number | undefined;
  lrGamma?: number | undefined;
  seed?: number | undefined;
  engine?: string | undefined;
  batchNorm?: string | undefined;
  data?: string | undefined;
  out?: string | undefined;
  init?: string | undefined;
  resume?: string | undefined;
  override?: string | undefined;
  maxSteps?: number | undefined;
  checkpointEvery?: number | undefined;
  timeout?: number | undefined;
  maxRestarts?: number | undefined;
  quiet: boolean;
}

/** @param exit receives the exit code of a run that a signal ended */
export function trainCommand(exit: (code: number) => void): CommandModule<object, TrainArguments> {
  return {
    command: 'train',
    describe: 'train the network and write checkpoint, metrics and summary to a folder',
    builder,
    handler: async (argv) => {
      // Not all of `process`: its getters open streams.
      const { stdout, stderr, env } = process;
      const display = createProgressDisplay({ stdout, stderr, env, quiet: argv.quiet });
      let folder: string | null = null;
      const next = (): string =>
        folder === null ? 'nothing was trained yet' : `go on with: mnist-ddp train --resume ${shellWord(folder)}`;
      const signals = catchSignals(display.warn, next);
      try {
        for await (const metric of train(optionsOf(argv, signals.signal, display))) {
          if (metric.kind === 'start') folder = metric.out;
          show(metric, display);
        }
      } catch (error) {
        if (!signals.signal.aborted || error !== signals.signal.reason) throw error;
        display.close();
        note(`stopped by ${signals.name()}; ${next()}`);
        exit(128 + constants.signals[signals.name()]);
      } finally {
        display.close();
        signals.release();
      }
    },
  };
}

function show(metric: TrainMetric, display: ProgressDisplay): void {
  if (metric.kind === 'start') {
    const { engine, why, simd, dataset, out } = metric;
    const vectors = simd === null ? '' : `, ${String(simd.bits)}-bit vectors`;
    const workers = counted(metric.workers, 'worker');
    display.note(`${workers}, engine ${engine} (${why})${vectors}, data set ${dataset}; writing to ${out}`);
    if (typeof simd?.advice === 'string') display.note(simd.advice);
  }
  if (metric.kind === 'evaluation') display.evaluated(metric.accuracy);
  for (const line of linesOf(metric)) display.line(line);
}

/** The reference program's lines for a metric. */
export function linesOf(metric: TrainMetric): string[] {
  switch (metric.kind) {
    case 'start':
      return [`Using device: ${metric.device}`, 'Training:'];
    case 'step': {
      const { epoch, epochs, stepInEpoch, stepsPerEpoch, loss, learningRate } = metric;
      const place = `Epoch [${String(epoch)}/${String(epochs)}], Step [${String(stepInEpoch)}/${String(stepsPerEpoch)}]`;
      return [`${place}, Loss: ${loss.toFixed(4)}, Learning Rate: ${learningRate.toFixed(10)}`];
    }
    case 'evaluation':
      return [];
    case 'summary':
      return [`Accuracy on test set: ${metric.accuracy.toFixed(2)} %`];
  }
}

function builder(yargs: Argv): Argv<TrainArguments> {
  return yargs
    .option('workers', workersOption)
    .option('devices', {
      ...once,
      describe: 'device of each worker: cpu, or cpu:N to pin it to core N, such as cpu:0,cpu:1',
    })
    .option('epochs', numeric('epochs', 'passes over the training set [13]'))
    .option('batch-size', numeric('batch-size', 'rows of a step, over all workers [128]'))
    .option('micro-batch', numeric('micro-batch', 'rows that are summed before the tree [8]'))
    .option('lr', numeric('lr', 'learning rate [0.001]'))
    .option('lr-step', numeric('lr-step', 'steps between two decays of the learning rate [938]'))
    .option('lr-gamma', numeric('lr-gamma', 'factor of each decay [0.1]'))
    .option('seed', numeric('seed', 'seed of initialisation and shuffling [0]'))
    .option('engine', engineOption)
    .option('batch-norm', {
      ...once,
      describe: "statistics over the global batch (sync) or over each worker's shard (local) [sync]",
      choices: ['sync', 'local'],
    })
    .option('data', dataOption)
    .option('out', { ...once, describe: 'folder for checkpoint, metrics and summary [runs/START TIME]' })
    .option('init', {
      ...once,
      describe: 'run folder, checkpoint, PyTorch or safetensors file whose weights training begins with',
    })
    .option('resume', { ...once, describe: 'run folder or checkpoint to go on from' })
    .option('override', {
      ...once,
      describe: `what may differ from the run to resume: ${overridable.join(', ')} (comma-separated)`,
    })
    .option('max-steps', numeric('max-steps', 'end after so many steps since training began'))
    .option('checkpoint-every', numeric('checkpoint-every', 'steps between checkpoints within an epoch'))
    .option('timeout', numeric('timeout', 'seconds without a sign of life before a worker is stalled [60]'))
    .option('max-restarts', numeric('max-restarts', 'how often failed workers are started again [3]'))
    .option('quiet', { type: 'boolean', default: false, describe: 'no progress and no notes but warnings on stderr' });
}

function optionsOf(argv: TrainArguments, signal: AbortSignal, display: ProgressDisplay): TrainOptions {
  const { lr, lrStep, lrGamma, batchNorm, engine, workers, ...rest } = argv;
  return {
    epochs: rest.epochs,
    batchSize: rest.batchSize,
    microBatch: rest.microBatch,
    learningRate: lr,
    lrStep,
    lrGamma,
    seed: rest.seed,
    batchNorm: batchNorm as TrainOptions['batchNorm'],
    engine: engine as TrainOptions['engine'],
    workers: workers as TrainOptions['workers'],
    devices: rest.devices,
    data: rest.data,
    out: rest.out,
    init: rest.init,
    resume: rest.resume,
    override: rest.override === undefined ? undefined : overridesOf(rest.override),
    maxSteps: rest.maxSteps,
    checkpointEvery: rest.checkpointEvery,
    timeout: rest.timeout,
    maxRestarts: rest.maxRestarts,
    signal,
    onNote: display.warn,
    onProgress: display.update,
  };
}

function overridesOf(list: string): Overridable[] {
  return list.split(',').map((name) => {
    const known = overridable.find((candidate) => candidate === name.trim());
    if (known !== undefined) return known;
    throw new OperationalError('USAGE', `--override takes ${overridable.join(', ')}, not "${name}"`);
  });
}

type CaughtSignal = 'SIGINT' | 'SIGTERM' | 'SIGHUP';

/**
 * The first signal asks the run to end after its step; a second one ends the process at once, and so does the first where the run
 * does not listen: it is not there yet, or has written all that it will.
 * @param next what to say of going on
 */
function catchSignals(
  say: (text: string) => void,
  next: () => string,
): { signal: AbortSignal; name(): CaughtSignal; release(): void } {
  const controller = new AbortController();
  let caught: CaughtSignal = 'SIGINT';
  const names: readonly CaughtSignal[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  const onSignal = (name: CaughtSignal): void => {
    if (controller.signal.aborted) process.exit(128 + constants.signals[name]);
    if (getEventListeners(controller.signal, 'abort').length === 0) {
      say(`stopped by ${name}; ${next()}`);
      process.exit(128 + constants.signals[name]);
    }
    caught = name;
    say(`${name}: ending after this step; once more ends at once`);
    controller.abort(new OperationalError('ABORTED', `stopped by ${name}`));
  };
  const listeners = names.map(
    (name) =>
      [
        name,
        (): void => {
          onSignal(name);
        },
      ] as const,
  );
  for (const [name, listener] of listeners) process.on(name, listener);
  return {
    signal: controller.signal,
    name: () => caught,
    release: () => {
      for (const [name, listener] of listeners) process.off(name, listener);
    },
  };
}

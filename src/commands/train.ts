/** `mnist-ddp train`: prints the reference program's lines. */
import { getEventListeners } from 'node:events';
import { constants } from 'node:os';
import type { CommandModule } from 'yargs';
import { defaultConfig, OperationalError, train, type TrainMetric } from '../index.js';
import { counted } from '../shared/text.js';
import { command } from './shell/command.js';
import { trainCommandLine } from './shell/flags.js';
import { note } from './shell/output.js';
import { createProgressDisplay, type ProgressDisplay } from './shell/progress.js';

/** @param exit receives the exit code of a run that a signal ended */
export function trainCommand(exit: (code: number) => void): CommandModule {
  const describe = 'train the network and write checkpoint, metrics and summary to a folder';
  return command('train', describe, async ({ quiet, ...options }) => {
    // Not all of `process`: its getters open streams.
    const { stdout, stderr, env } = process;
    const display = createProgressDisplay({ stdout, stderr, env, quiet });
    let folder: string | null = null;
    const next = (): string =>
      folder === null
        ? 'nothing was trained yet'
        : `go on with: ${trainCommandLine({ resume: folder, ...kept(options) })}`;
    const signals = catchSignals(display.warn, next);
    const { signal } = signals;
    const requests = catchRequests(display.warn);
    const { wanted: wantsCheckpoint } = requests;
    try {
      const watched = { signal, wantsCheckpoint, onNote: display.warn, onProgress: display.update };
      for await (const metric of train({ ...options, ...watched })) {
        if (metric.kind === 'start') folder = metric.out;
        show(metric, display);
      }
    } catch (error) {
      if (!signal.aborted || error !== signal.reason) throw error;
      display.close();
      note(`stopped by ${signals.name()}; ${next()}`);
      exit(128 + constants.signals[signals.name()]);
    } finally {
      display.close();
      signals.release();
      requests.release();
    }
  });
}

/** What a run that goes on has from its checkpoint, or has done. */
const remembered = new Set([
  ...Object.keys(defaultConfig),
  'recipe',
  'engine',
  'logEvery',
  'keepBest',
  'tensorboard',
  'init',
  'resume',
  'resumeOrStart',
  'takeOver',
  'name',
  'override',
  'out',
]);

/** What was given and is to be given again to go on. */
function kept(given: object): Record<string, string | number> {
  return Object.fromEntries(
    Object.entries(given).filter((entry): entry is [string, string | number] => {
      return entry[1] !== undefined && !remembered.has(entry[0]);
    }),
  );
}

function show(metric: TrainMetric, display: ProgressDisplay): void {
  if (metric.kind === 'start') {
    const { engine, why, simd, dataset, out } = metric;
    const vectors = simd === null ? '' : `, ${String(simd.bits)}-bit vectors`;
    const workers = counted(metric.workers, 'worker');
    const from = metric.step === 0 ? '' : `, going on after step ${String(metric.step)}`;
    display.note(`${workers}, engine ${engine} (${why})${vectors}, data set ${dataset}; writing to ${out}${from}`);
    if (typeof simd?.advice === 'string') display.note(simd.advice);
  }
  if (metric.kind === 'evaluation') display.evaluated(metric);
  if (metric.kind === 'summary' && metric.best !== null) {
    const { accuracy, epoch } = metric.best;
    display.note(`held-out rows did best after epoch ${String(epoch)}: ${accuracy.toFixed(2)} %`);
  }
  for (const line of linesOf(metric)) display.line(line);
}

/** The reference program's lines for a metric. */
export function linesOf(metric: TrainMetric): string[] {
  switch (metric.kind) {
    case 'start':
      return [`Using device: ${metric.device}`, 'Training:'];
    case 'batch': {
      const { epoch, epochs, stepInEpoch, stepsPerEpoch, loss, learningRate } = metric;
      const place = `Epoch [${String(epoch)}/${String(epochs)}], Step [${String(stepInEpoch)}/${String(stepsPerEpoch)}]`;
      return [`${place}, Loss: ${loss.toFixed(4)}, Learning Rate: ${learningRate.toFixed(10)}`];
    }
    case 'step':
    case 'evaluation':
      return [];
    case 'summary':
      return [`Accuracy on test set: ${metric.accuracy.toFixed(2)} %`];
  }
}

/** SIGUSR1 and SIGUSR2, such as a cluster sends before it ends a job, ask for a checkpoint, and training goes on. */
function catchRequests(say: (text: string) => void): { wanted: () => boolean; release: () => void } {
  let asked = false;
  const onSignal = (name: NodeJS.Signals): void => {
    say(`${name}: writing a checkpoint after this step`);
    asked = true;
  };
  const names = process.platform === 'win32' ? [] : (['SIGUSR1', 'SIGUSR2'] as const);
  for (const name of names) process.on(name, onSignal);
  return {
    wanted: () => {
      const wanted = asked;
      asked = false;
      return wanted;
    },
    release: () => {
      for (const name of names) process.off(name, onSignal);
    },
  };
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

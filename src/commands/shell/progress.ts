/**
 * What `mnist-ddp train` shows on its way: a live line on a terminal, a plain line an epoch in a pipe.
 *
 * Everything goes to stderr; stdout carries the reference program's lines, whole, whatever happens here. The functions
 * that make text are pure; the display at the top decides when they are shown.
 */
import picocolors from 'picocolors';
import type { EvaluationMetric, Progress } from '../../index.js';
import { shown } from './output.js';

export interface ProgressOptions {
  readonly stderr: NodeJS.WriteStream;
  readonly stdout: NodeJS.WriteStream;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Shows warnings alone. */
  readonly quiet: boolean;
  /** Milliseconds from any origin; default the process's own clock. */
  readonly now?: () => number;
}

/** Methods may be handed on as functions. */
export interface ProgressDisplay {
  readonly update: (progress: Progress) => void;
  /** The network of the epoch at hand was evaluated: its line is written for good. */
  readonly evaluated: (metric: Pick<EvaluationMetric, 'split' | 'step' | 'accuracy'>) => void;
  /** Writes a line to stdout, above the live line. */
  readonly line: (text: string) => void;
  /** Writes a line to stderr, above the live line. */
  readonly note: (text: string) => void;
  /** The same, also where the display is quiet. */
  readonly warn: (text: string) => void;
  /** Leaves the live line as it is, and ends; once more does nothing. */
  readonly close: () => void;
}

export function createProgressDisplay(options: ProgressOptions): ProgressDisplay {
  const { stderr, stdout, env, quiet, now = () => performance.now() } = options;
  const onTerminal = isTerminal(stderr, env);
  const live = onTerminal && !quiet ? new LiveLine(stderr) : null;
  const stopwatch = new Stopwatch();
  let latest: Progress | null = null;
  let evaluatedStep = -1;
  // The width is asked for each time: windows are resized.
  const style = (): Style => ({
    width: onTerminal ? stderr.columns - 1 : Infinity,
    unicode: usesUnicode(env),
    colours: picocolors.createColors(onTerminal && !env['NO_COLOR']),
  });

  const draw = (): void => {
    if (latest !== null) live?.show(liveLine(latest, stopwatch.secondsLeft(latest), style()));
  };
  const writeAbove = (stream: NodeJS.WriteStream, text: string): void => {
    live?.clear();
    stream.write(`${shown(text)}\n`);
    draw();
  };
  const warn = (text: string): void => {
    writeAbove(stderr, text);
  };
  return {
    update: (progress) => {
      stopwatch.observe(progress, now());
      latest = progress;
      draw();
    },
    evaluated: ({ split, step, accuracy }) => {
      if (latest === null) return;
      const text = epochLine({ ...latest, ...stopwatch.epoch(), split, accuracy }, style());
      stopwatch.startEpoch(now());
      live?.clear();
      latest = null;
      // The test set at the end of a run is told on stdout.
      if (!quiet && step !== evaluatedStep) stderr.write(`${text}\n`);
      evaluatedStep = step;
    },
    line: (text) => {
      writeAbove(stdout, text);
    },
    note: (text) => {
      if (!quiet) warn(text);
    },
    warn,
    close: () => {
      // A window that has become narrower may have broken the line into several.
      draw();
      live?.leave();
      latest = null;
    },
  };
}

/**
 * One line of a terminal, shorter than its window is wide. The cursor waits in front of it, and it goes with all that is from
 * there on. So nothing of it stays where the window becomes narrower, be it that the terminal breaks the line into several or
 * cuts it; who erases as many lines as were written leaves some of them, or takes those above.
 */
class LiveLine {
  readonly #stream: NodeJS.WriteStream;
  #shown = false;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
  }

  show(text: string): void {
    this.#stream.write(`${eraseFromHere}${text}\r`);
    this.#shown = true;
  }

  clear(): void {
    if (this.#shown) this.#stream.write(eraseFromHere);
    this.#shown = false;
  }

  /** Lets it stand; the cursor goes below. */
  leave(): void {
    if (this.#shown) this.#stream.write('\n');
    this.#shown = false;
  }
}

const eraseFromHere = '\r\x1b[J';

/** Whether a line can be rewritten there. Some pseudo-terminals have no size; nothing fits into those. */
function isTerminal(stream: NodeJS.WriteStream, env: ProgressOptions['env']): boolean {
  // A pipe has no such field, whatever the stream's type says, and undefined would let colours be guessed.
  return 'isTTY' in stream && stream.isTTY && env['TERM'] !== 'dumb' && stream.columns > 0 && stream.rows > 0;
}

/** Not where the locale names another encoding, nor on the Linux console, whose font has no such characters. */
export function usesUnicode(env: ProgressOptions['env']): boolean {
  const locale = env['LC_ALL'] || env['LC_CTYPE'] || env['LANG'];
  return env['TERM'] !== 'linux' && (!locale || /utf-?8/i.test(locale));
}

interface Mark {
  readonly step: number;
  readonly ms: number;
}

/** Speeds over the run and over its epoch, from reports of progress and the times they came at. */
export class Stopwatch {
  #first: Mark | null = null;
  #last: Mark | null = null;
  #epochStartMs: number | null = null;
  /** Of this epoch: steps, and those steps divided by the images per second of each. */
  #steps = 0;
  #stepsPerSpeed = 0;

  observe({ step, imagesPerSecond }: Progress, ms: number): void {
    this.#first ??= { step, ms };
    this.#epochStartMs ??= ms;
    const steps = step - (this.#last?.step ?? step);
    if (steps > 0 && imagesPerSecond > 0) {
      this.#steps += steps;
      this.#stepsPerSpeed += steps / imagesPerSecond;
    }
    this.#last = { step, ms };
  }

  startEpoch(ms: number): void {
    this.#epochStartMs = ms;
    this.#steps = 0;
    this.#stepsPerSpeed = 0;
  }

  /** Mean images per second of the epoch's training steps, and the seconds from its start to the last report. */
  epoch(): { imagesPerSecond: number; seconds: number } {
    const ms = (this.#last?.ms ?? 0) - (this.#epochStartMs ?? 0);
    return { imagesPerSecond: this.#steps / this.#stepsPerSpeed, seconds: ms / 1000 };
  }

  /** At the speed of this process so far, evaluations included; NaN before there is one. */
  secondsLeft({ step, lastStep }: Progress): number {
    if (this.#first === null || this.#last === null) return NaN;
    const msPerStep = (this.#last.ms - this.#first.ms) / (this.#last.step - this.#first.step);
    return ((lastStep - step) * msPerStep) / 1000;
  }
}

type Colours = ReturnType<typeof picocolors.createColors>;

export interface Style {
  /** Columns that a line may take. */
  readonly width: number;
  readonly unicode: boolean;
  readonly colours: Colours;
}

const [narrowestBar, widestBar] = [8, 32];

/**
 * `Epoch 3/13 ━━━━━━━╸────── 212/469  938 images/s  loss 1.4702  lr 1e-3  ETA 11:32`, cut to the width: fields go from the
 * right, then the bar, then characters. What is not known yet has no field. Steps are counted to where the run leaves the epoch.
 */
export function liveLine(progress: Progress, secondsLeft: number, { width, unicode, colours }: Style): string {
  const { phase, loss, learningRate, imagesPerSecond, stepInEpoch, stepsPerEpoch, step, lastStep } = progress;
  const head = `Epoch ${String(progress.epoch)}/${String(progress.epochs)}`;
  const lastInEpoch = stepInEpoch + Math.max(0, Math.min(stepsPerEpoch - stepInEpoch, lastStep - step));
  const total = String(lastInEpoch);
  const count = `${String(stepInEpoch).padStart(total.length)}/${total}`;
  const fields = [
    ...speed(imagesPerSecond),
    ...(loss === null ? [] : [`loss ${loss.toFixed(4)}`]),
    `lr ${formatLearningRate(learningRate)}`,
    ...(phase === 'evaluation' ? ['evaluating'] : eta(secondsLeft)),
  ];
  const tail = (): string => [count, ...fields].join('  ');
  const room = (): number => width - head.length - tail().length - 2;
  while (fields.length > 0 && room() < narrowestBar) fields.pop();
  if (room() < narrowestBar) return `${head} ${count}`.slice(0, Math.max(0, width));
  const drawn = bar(stepInEpoch / lastInEpoch, Math.min(room(), widestBar), { unicode, colours });
  return `${colours.bold(head)} ${drawn} ${tail()}`;
}

export interface EpochFigures extends Progress, Pick<EvaluationMetric, 'split' | 'accuracy'> {
  readonly seconds: number;
}

/** `Epoch 3/13: test accuracy 99.31 %, loss 1.4702, 938 images/s, 51 s`, cut to the width as the live line is. */
export function epochLine(figures: EpochFigures, { width, colours }: Style): string {
  const { epoch, epochs, stepInEpoch, stepsPerEpoch, loss, imagesPerSecond, seconds } = figures;
  const part = stepInEpoch < stepsPerEpoch ? `, step ${String(stepInEpoch)}/${String(stepsPerEpoch)}` : '';
  const head = `Epoch ${String(epoch)}/${String(epochs)}${part}: `;
  const fields = [
    `${figures.split} accuracy ${figures.accuracy.toFixed(2)} %`,
    ...(loss === null ? [] : [`loss ${loss.toFixed(4)}`]),
    ...speed(imagesPerSecond),
    ...(seconds > 0 ? [seconds < 100 ? `${seconds.toFixed(0)} s` : formatDuration(seconds)] : []),
  ];
  const length = (): number => head.length + fields.join(', ').length;
  while (fields.length > 1 && length() > width) fields.pop();
  if (length() > width) return `${head}${fields.join('')}`.slice(0, Math.max(0, width));
  const [accuracyField = '', ...others] = fields;
  return `${colours.bold(head)}${[colours.green(accuracyField), ...others].join(', ')}`;
}

/** A bar of exactly `width` columns that is full at 1. */
export function bar(share: number, width: number, { unicode, colours }: Omit<Style, 'width'>): string {
  const inside = unicode ? width : width - 2;
  const halves = Math.round(2 * inside * Math.min(1, Math.max(0, share)));
  const full = Math.floor(halves / 2);
  if (!unicode) return `[${'#'.repeat(full)}${'-'.repeat(inside - full)}]`;
  const half = halves % 2;
  return colours.cyan('━'.repeat(full) + '╸'.repeat(half)) + colours.dim('─'.repeat(inside - full - half));
}

/** `51:07`, `1:02:03`. */
export function formatDuration(seconds: number): string {
  const total = Math.round(seconds);
  const [h, m, s] = [Math.floor(total / 3600), Math.floor(total / 60) % 60, total % 60];
  const two = (value: number): string => String(value).padStart(2, '0');
  return h === 0 ? `${String(m)}:${two(s)}` : `${String(h)}:${two(m)}:${two(s)}`;
}

/** `1e-3`, `2.5e-4`. */
export function formatLearningRate(rate: number): string {
  return Number(rate.toPrecision(3)).toExponential();
}

function speed(imagesPerSecond: number): string[] {
  return imagesPerSecond > 0 ? [`${imagesPerSecond.toFixed(0)} images/s`] : [];
}

function eta(secondsLeft: number): string[] {
  return Number.isFinite(secondsLeft) ? [`ETA ${formatDuration(secondsLeft)}`] : [];
}

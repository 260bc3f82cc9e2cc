/**
 * The metrics of a run as files of its folder: `metrics.jsonl`, which a run that goes on reads; `metrics.csv`, its curves as a
 * table; and where TensorBoard is asked for, event files.
 */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { appendToFile } from '../../files/append-file.js';
import { errorCode, notWritable, writeFileAtomically } from '../../files/atomic-file.js';
import { FileTooLargeError, IrregularFileError, readRegularFile } from '../../files/regular-file.js';
import { OperationalError } from '../../shared/errors.js';
import type { Metric } from '../training/run-recorder.js';
import { eventFileHead, scalarEvent } from './event-file.js';
import { figureNames, figuresOf } from './metric-figures.js';

export const metricsName = 'metrics.jsonl';
export const csvName = 'metrics.csv';
const eventsPrefix = 'events.out.tfevents.';

const csvHead = `${['step', 'epoch', ...figureNames].join(',')}\n`;

/** The names of the event files in a folder. */
export async function eventFiles(directory: string): Promise<string[]> {
  return (await readdir(directory).catch(() => [])).filter((name) => name.startsWith(eventsPrefix));
}

/** What the first line of a run's metrics.jsonl begins with, see `StartMetric`; a kill may have left less of it. */
const firstWords = '{"kind":"start"';

/** The names of what a run's metrics would replace, where its metrics.jsonl is none of a run; what takes lines alone may be there. */
export async function foreignMetrics(directory: string): Promise<string[]> {
  const path = join(directory, metricsName);
  const stats = await stat(path).catch(() => null);
  if (stats?.isFile() === false) return [];
  const text = stats === null ? null : await readRegularFile(path).then(String, () => null);
  const isOfRun = text !== null && (text.startsWith(firstWords) || firstWords.startsWith(text));
  return isOfRun ? [] : [metricsName, csvName];
}

export class MetricsFiles {
  readonly jsonPath: string;
  readonly #csvPath: string;
  readonly #directory: string;
  readonly #tensorboard: boolean;
  /** Of this start; found at the first metric. */
  #eventsPath: string | null = null;
  /** What this start's event file begins with. */
  #eventsHead = eventFileHead(0, now());
  /** The evaluation that the event file has last. */
  #evaluation: Metric | null = null;

  /** @param tensorboard whether event files are written too */
  constructor(directory: string, { tensorboard }: { readonly tensorboard: boolean }) {
    this.#directory = directory;
    this.#tensorboard = tensorboard;
    this.jsonPath = join(directory, metricsName);
    this.#csvPath = join(directory, csvName);
  }

  /** Appends a metric to each. Await it before the next. Throws OUT_NOT_WRITABLE, after the others were tried. */
  async append(metric: Metric): Promise<void> {
    const row = csvRow(metric);
    const written = await Promise.allSettled([
      appendToFile(this.jsonPath, `${JSON.stringify(metric)}\n`),
      row === '' ? null : appendToFile(this.#csvPath, row, csvHead),
      this.#tensorboard ? this.#appendEvent(metric) : null,
    ]);
    for (const one of written) if (one.status === 'rejected') throw one.reason;
  }

  /**
   * Cuts all of them back to a checkpoint: drops what is of later steps, which the resumed run will write again, and what a killed
   * process left half-written. Throws OUT_NOT_WRITABLE.
   * @param step the checkpoint's; metrics of that very step stay
   * @param droppedKinds but not those of these kinds
   * @returns whether there are metrics, and no evaluation of that step among them any more
   */
  async cut(step: number, droppedKinds: readonly string[]): Promise<boolean> {
    const text = await this.#read();
    const kept = (text ?? '')
      .split('\n')
      .slice(0, -1)
      .flatMap((line) => {
        const metric = parseMetric(line);
        const stays = metric !== null && (metric.step < step || isOf(metric, step, droppedKinds));
        return stays ? [{ line, metric }] : [];
      });
    this.#startEvents(
      step,
      kept.map(({ metric }) => metric),
    );
    if (text === null) return false;
    const cut = kept.map(({ line }) => `${line}\n`).join('');
    if (cut !== text) await writeFileAtomically(this.jsonPath, cut);
    await this.#writeTable(kept.map(({ metric }) => metric));
    return !kept.some(({ metric }) => metric.step === step && metric['kind'] === 'evaluation');
  }

  /** Null where there is no such file, or one that takes lines and gives none. */
  async #read(): Promise<string | null> {
    try {
      return (await readRegularFile(this.jsonPath)).toString();
    } catch (cause) {
      if (errorCode(cause) === 'ENOENT' || cause instanceof IrregularFileError) return null;
      if (cause instanceof FileTooLargeError) throw new OperationalError('RUN_INVALID', cause.message, { cause });
      throw notWritable(this.jsonPath, cause);
    }
  }

  /** Makes the table anew, where it is not that of these metrics already. */
  async #writeTable(metrics: readonly Metric[]): Promise<void> {
    const rows = metrics.map(csvRow).join('');
    const stats = await stat(this.#csvPath).catch(() => null);
    // A pipe or a device takes rows alone, and a table without any is none.
    if (stats === null ? rows === '' : !stats.isFile()) return;
    const table = `${csvHead}${rows}`;
    const old = await readRegularFile(this.#csvPath).then(String, () => '');
    if (old !== table) await writeFileAtomically(this.#csvPath, table);
  }

  async #appendEvent(metric: Metric): Promise<void> {
    this.#eventsPath ??= join(this.#directory, await this.#newEventsName());
    await appendToFile(this.#eventsPath, this.#event(metric), this.#eventsHead);
  }

  /** A start at that step, which has TensorBoard forget all of it and later ones, and what stays of that step. */
  #startEvents(step: number, kept: readonly Metric[]): void {
    this.#evaluation = null;
    const again = kept.filter((metric) => metric.step === step).map((metric) => this.#event(metric));
    this.#eventsHead = Buffer.concat([eventFileHead(Math.max(0, step), now()), ...again]);
  }

  #event(metric: Metric): Uint8Array {
    const event = scalarEvent(metric, this.#evaluation, now());
    if (metric['kind'] === 'evaluation') this.#evaluation = metric;
    return event;
  }

  /** TensorBoard reads the files of a folder in the order of their names: by seconds, and of equal ones by the last number. */
  async #newEventsName(): Promise<string> {
    const names = await eventFiles(this.#directory);
    const last = Math.max(0, ...names.map((name) => Number.parseInt(name.slice(eventsPrefix.length), 10) || 0));
    const seconds = String(Math.max(Math.floor(now()), last)).padStart(10, '0');
    return `${eventsPrefix}${seconds}.mnist-ddp.${String(names.length).padStart(6, '0')}`;
  }
}

function isOf(metric: Metric, step: number, droppedKinds: readonly string[]): boolean {
  return metric.step === step && !droppedKinds.some((kind) => kind === metric['kind']);
}

function now(): number {
  return Date.now() / 1000;
}

/** Empty of what has no figures. */
function csvRow(metric: Metric): string {
  const figures = figuresOf(metric);
  if (figures.size === 0) return '';
  const cells = [metric.step, metric['epoch'], ...figureNames.map((name) => figures.get(name) ?? '')];
  return `${cells.map((cell) => (typeof cell === 'number' ? String(cell) : '')).join(',')}\n`;
}

function parseMetric(line: string): Metric | null {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value !== 'object' || value === null || !('step' in value)) return null;
    const { step } = value;
    return typeof step === 'number' ? { ...value, step } : null;
  } catch {
    return null;
  }
}

/** Whole training runs, on real worker threads. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { train, type Summary, type TrainMetric, type TrainOptions } from '../../../src/index.js';
import { temporaryDataset } from '../inputs/idx-files.js';

/** A folder for the tests of a file, with the first rows of MNIST in `data`, and `out()`, a new run's in it; gone when they end. */
export async function temporaryRuns(
  rows: number,
  testRows: number,
): Promise<{ directory: string; data: string; out: () => string }> {
  const { directory, data, remove } = await temporaryDataset(rows, testRows);
  afterAll(remove);
  let folders = 0;
  return { directory, data, out: () => join(directory, `run-${String(folders++)}`) };
}

/** A run's metrics and its summary; `onMetric` sees each metric as it comes. */
export async function trainRun(
  options: TrainOptions,
  onMetric: (metric: TrainMetric) => void = () => undefined,
): Promise<{ metrics: TrainMetric[]; summary: Summary }> {
  const metrics: TrainMetric[] = [];
  for await (const metric of train(options)) {
    metrics.push(metric);
    onMetric(metric);
  }
  const summary = metrics.at(-1);
  if (summary?.kind !== 'summary') throw new Error('a run ends with its summary');
  return { metrics, summary };
}

/** The lines of a run's metrics.jsonl without its starts and what depends on the clock. */
export async function metricsOf(out: string): Promise<Record<string, unknown>[]> {
  const text = await readFile(join(out, 'metrics.jsonl'), 'utf8');
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => ({ ...(JSON.parse(line) as Record<string, unknown>), imagesPerSecond: null }))
    .filter((metric) => !('kind' in metric && metric.kind === 'start'));
}

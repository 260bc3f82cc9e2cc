/** Whole training runs, on real worker threads. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { train, type Summary, type TrainMetric, type TrainOptions } from '../../../src/index.js';

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

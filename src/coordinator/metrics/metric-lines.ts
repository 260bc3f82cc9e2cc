/** What `report` takes from a run's `metrics.jsonl`, whatever else the file says. */
import type { Split } from '../session/evaluation.js';
import type { EvaluationMetric, StartMetric, StepMetric } from './metrics.js';

/** Up to mnist-ddp 0.3.0 a step's line had the loss of one batch, and an evaluation's no loss. */
export type ReportedMetric =
  StartMetric | (Omit<StepMetric, 'steps'> & { readonly steps?: number | null }) | ReportedEvaluation;

export interface ReportedEvaluation extends Pick<EvaluationMetric, 'kind' | 'step' | 'epoch' | 'accuracy'> {
  readonly split?: Split;
  readonly loss?: number | null;
  readonly trainLoss?: number | null;
}

/** Lines of each kind, the last ones: a run of 13 epochs has some 65 of steps, and a curve no room for more points. */
const maxLines = 4096;
/** Characters; what is shorter is no line of these, and not worth the price of an error. */
const shortestLine = 30;
/** Pairs of a machine's description, and characters of each part. */
const maxPairs = 64;
const maxPairLength = 1024;

const numbersOf = {
  start: ['step'],
  step: ['step', 'loss', 'learningRate', 'imagesPerSecond'],
  evaluation: ['step', 'epoch', 'accuracy'],
} as const;

/**
 * The lines, as far as they are whole and finite; a line that a kill cut short is passed over.
 * @param lastStep what was logged of later steps belongs to another run
 */
export function parseMetrics(text: string, lastStep: number): ReportedMetric[] {
  const kept = { start: 0, step: 0, evaluation: 0 };
  const metrics: ReportedMetric[] = [];
  for (const line of text.split('\n').reverse()) {
    const metric = parseLine(line);
    if (metric === null || metric.step > lastStep || kept[metric.kind] === maxLines) continue;
    kept[metric.kind]++;
    metrics.push(metric);
  }
  return metrics.reverse();
}

function parseLine(line: string): ReportedMetric | null {
  if (line.length < shortestLine) return null;
  try {
    const value = JSON.parse(line) as unknown;
    return isMetric(value) ? value : null;
  } catch {
    return null;
  }
}

function isMetric(value: unknown): value is ReportedMetric {
  if (typeof value !== 'object' || value === null) return false;
  const metric = value as Readonly<Record<string, unknown>>;
  const numbers = Object.entries(numbersOf).find(([kind]) => kind === metric['kind'])?.[1];
  if (numbers?.every((name) => Number.isFinite(metric[name])) !== true) return false;
  if (!['steps', 'trainLoss', 'loss'].every((name) => Number.isFinite(metric[name] ?? 0))) return false;
  if (!['test', 'validation'].includes((metric['split'] ?? 'test') as string)) return false;
  if (!Number.isSafeInteger(metric['step']) || (metric['step'] as number) < 0) return false;
  return metric['kind'] !== 'start' || isPairs(metric['machine']);
}

function isPairs(value: unknown): boolean {
  const isText = (part: unknown): boolean => typeof part === 'string' && part.length <= maxPairLength;
  const isPair = (item: unknown): boolean => Array.isArray(item) && item.length === 2 && item.every(isText);
  return Array.isArray(value) && value.length <= maxPairs && value.every(isPair);
}

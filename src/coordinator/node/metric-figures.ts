/** The figures of a metric by name, as loggers that know no kinds of metrics want them. */
import type { Metric } from '../training/run-recorder.js';

/** In the order of a table's columns; each is a number. */
export const figureNames = [
  'loss',
  'steps',
  'learningRate',
  'imagesPerSecond',
  'validationAccuracy',
  'validationLoss',
  'testAccuracy',
  'testLoss',
  'trainLoss',
] as const;
export type FigureName = (typeof figureNames)[number];
export type Figures = ReadonlyMap<FigureName, number>;

/** None of a metric that is neither of steps nor an evaluation, and of what is no finite number. */
export function figuresOf(metric: Metric): Figures {
  const figures = new Map<FigureName, number>();
  for (const [name, field] of fieldsOf(metric)) {
    const value = metric[field];
    if (typeof value === 'number' && Number.isFinite(value)) figures.set(name, value);
  }
  return figures;
}

function fieldsOf({ kind, split }: Metric): (readonly [FigureName, string])[] {
  if (kind === 'step') {
    return (['loss', 'steps', 'learningRate', 'imagesPerSecond'] as const).map((name) => [name, name]);
  }
  if (kind !== 'evaluation') return [];
  const trainLoss = ['trainLoss', 'trainLoss'] as const;
  return split === 'validation'
    ? [['validationAccuracy', 'accuracy'], ['validationLoss', 'loss'], trainLoss]
    : [['testAccuracy', 'accuracy'], ['testLoss', 'loss'], trainLoss];
}

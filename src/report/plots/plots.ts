/** The curves of a run, drawn as SVG whose colours are the page's: one drawing serves light and dark. */
import { classes } from '../../shared/model/network.js';
import { openCanvas, type Canvas } from './canvas.js';
import { count, percent, short } from '../format.js';
import type { Markup } from '../html.js';
import type { EvaluationPoint, ReportData, StepPoint } from '../report-data.js';

export interface Figure {
  readonly title: string;
  /** What to see in it; the reason where there is no drawing. */
  readonly caption: string;
  readonly drawing: Markup | null;
}

/** Points from which a curve is smoothed as well; fewer are dots. */
const smoothedFrom = 10;
/** Means over so many steps are not smoothed once more. */
const smoothSteps = 20;
const accent = 'var(--accent)';
const quiet = 'var(--quiet)';
const plain = { labelArrow: 'none', nice: true, ticks: 5 } as const;
const dashed = { stroke: 'var(--ink)', strokeDasharray: '5 4' };
/** Of a batch whose every label has probability 1: the loss is the cross-entropy of the softmax of the probabilities. */
const leastLoss = Math.log(Math.E + classes - 1) - 1;
const noSteps = 'The run logged no step.';

/** Loss, accuracy, learning rate and throughput over the course of training. */
export async function drawFigures(data: ReportData): Promise<Figure[]> {
  const canvas = await openCanvas(data);
  const steps = data.steps.filter(({ loss, learningRate, imagesPerSecond }) =>
    [loss, learningRate, imagesPerSecond].every(Number.isFinite),
  );
  const evaluations = curveOfEvaluations(data.evaluations);
  return [
    lossFigure(canvas, steps, evaluations),
    accuracyFigure(canvas, evaluations),
    learningRateFigure(canvas, steps),
    throughputFigure(canvas, steps),
  ];
}

/** Those of the held-out rows, where there are any: then the test set was scored at the end alone. */
export function curveOfEvaluations(evaluations: readonly EvaluationPoint[]): EvaluationPoint[] {
  const validations = evaluations.filter(({ split }) => split === 'validation');
  return validations.length > 0 ? validations : [...evaluations];
}

/** What was scored, in words. */
export function nameOfSplit(split: EvaluationPoint['split'] | undefined): string {
  return split === 'validation' ? 'held-out rows' : 'test set';
}

function lossFigure(
  { plot, draw, x, axis }: Canvas,
  points: readonly StepPoint[],
  evaluations: readonly EvaluationPoint[],
): Figure {
  const title = 'Loss';
  const [first, last] = [points[0], points.at(-1)];
  if (first === undefined || last === undefined) return { title, caption: noSteps, drawing: null };
  // Means of many steps are smooth as they are.
  const most = Math.max(...points.map(({ steps }) => steps));
  const smoothed = points.length >= smoothedFrom && most < smoothSteps;
  const window = 2 * Math.max(2, Math.round(points.length / 40)) + 1;
  const from = first === last ? 'One mean:' : `From ${first.loss.toFixed(4)} to`;
  const summary = `${from} ${last.loss.toFixed(4)}.`;
  const curve = smoothed
    ? [
        plot.lineY(points, { x, y: 'loss', stroke: quiet, strokeWidth: 1 }),
        plot.lineY(points, plot.windowY({ k: window }, { x, y: 'loss', stroke: accent, strokeWidth: 2.5 })),
      ]
    : curveOf(plot, points, x, 'loss');
  const scored = evaluations.flatMap((point) => (point.loss === null ? [] : [{ step: point.step, loss: point.loss }]));
  const open = { x, y: 'loss', stroke: 'var(--ink)', fill: 'var(--ground)', r: 3.5 };
  const marks = [plot.ruleY([leastLoss], dashed), ...curve, plot.dot(scored, open)];
  const losses = [...points, ...scored].map(({ loss }) => loss);
  const y = { ...plain, label: null, domain: spread([leastLoss, ...losses]) };
  const each = most === 1 ? 'a batch' : `the mean of up to ${count(most)} steps`;
  const lines = smoothed ? ` Thick: mean of ${String(window)}.` : '';
  const rings = scored.length === 0 ? '' : ` Rings: the ${nameOfSplit(evaluations[0]?.split)}.`;
  const caption = `${summary} Each point: ${each}.${lines}${rings} Dashed: the least possible, ${leastLoss.toFixed(4)}.`;
  return { title, caption, drawing: draw(title, summary, { x: axis, y, marks }) };
}

function accuracyFigure({ plot, draw, x, axis }: Canvas, points: readonly EvaluationPoint[]): Figure {
  const last = points.at(-1);
  const title = `Accuracy on the ${nameOfSplit(last?.split)}`;
  if (last === undefined) return { title, caption: 'The run logged no evaluation.', drawing: null };
  const best = points.reduce((a, b) => (b.accuracy > a.accuracy ? b : a));
  const ends = `${percent(last.accuracy)} at the end`;
  const evaluated =
    points.length === 1 ? 'the only evaluation' : `the best ${percent(best.accuracy)} in epoch ${count(best.epoch)}`;
  const summary = `${ends}; ${evaluated}.`;
  const marks = [
    ...dotted(plot, points, x, 'accuracy'),
    plot.text([last], {
      ...{ x, y: 'accuracy', text: () => last.accuracy.toFixed(2) },
      ...{ dy: -12, textAnchor: 'end', fill: 'var(--ink)', fontWeight: 600 },
    }),
  ];
  const y = { ...plain, label: '%', domain: spread(points.map(({ accuracy }) => accuracy)), insetTop: 12 };
  return { title, caption: summary, drawing: draw(title, summary, { x: axis, y, marks }) };
}

function learningRateFigure({ plot, draw, x, axis }: Canvas, steps: readonly StepPoint[]): Figure {
  const title = 'Learning rate';
  // A logarithmic axis has no place for zero, nor for what is about to underflow to it.
  const points = steps.filter(({ learningRate }) => learningRate > 1e-300);
  const [first, last] = [points[0], points.at(-1)];
  if (first === undefined || last === undefined) {
    return { title, caption: steps.length === 0 ? noSteps : 'The rate was zero throughout.', drawing: null };
  }
  const { domain, ticks } = decades(points.map(({ learningRate }) => learningRate));
  const y = { label: null, type: 'log', domain, ticks, tickFormat: powerOfTen } as const;
  const constant = points.every(({ learningRate }) => learningRate === first.learningRate);
  const ends = `From ${short(first.learningRate)} to ${short(last.learningRate)}`;
  const summary = `${constant ? `${short(first.learningRate)} throughout` : ends}, on a logarithmic axis.`;
  const marks = [
    plot.lineY(points, { x, y: 'learningRate', stroke: accent, strokeWidth: 2.5, curve: 'step' }),
    ...(points.length < smoothedFrom ? [plot.dot(points, { x, y: 'learningRate', fill: accent, r: 3.5 })] : []),
  ];
  return { title, caption: summary, drawing: draw(title, summary, { x: axis, y, marks }) };
}

function throughputFigure({ plot, draw, x, axis }: Canvas, points: readonly StepPoint[]): Figure {
  const title = 'Throughput';
  const middle = median(points.map(({ imagesPerSecond }) => imagesPerSecond));
  if (middle === null) return { title, caption: noSteps, drawing: null };
  const summary = `Dashed: the median, ${count(middle)} images/s.`;
  const fastest = Math.max(...points.map(({ imagesPerSecond }) => imagesPerSecond));
  const y = { ...plain, label: 'images/s', domain: [0, Math.max(1, fastest)] };
  const marks = [plot.ruleY([middle], dashed), ...curveOf(plot, points, x, 'imagesPerSecond')];
  return { title, caption: summary, drawing: draw(title, summary, { x: axis, y, marks }) };
}

/** The middle value, or the mean of the two; null of none. */
export function median(values: readonly number[]): number | null {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const [low, high] = [sorted[Math.ceil(middle) - 1], sorted[Math.floor(middle)]];
  return low === undefined || high === undefined ? null : (low + high) / 2;
}

/** A line, with dots where the points are few. */
function curveOf<T extends { readonly step: number }>(
  plot: Canvas['plot'],
  points: readonly T[],
  x: Canvas['x'],
  y: keyof T & string,
) {
  if (points.length < smoothedFrom) return dotted(plot, points, x, y);
  return [plot.lineY(points, { x, y, stroke: accent, strokeWidth: 2 })];
}

function dotted<T extends { readonly step: number }>(
  plot: Canvas['plot'],
  points: readonly T[],
  x: Canvas['x'],
  y: keyof T & string,
) {
  return [
    plot.lineY(points, { x, y, stroke: accent, strokeWidth: 2 }),
    plot.dot(points, { x, y, fill: accent, r: 3.5 }),
  ];
}

/** From the least to the greatest value; around a single one. */
function spread(values: readonly number[]): [low: number, high: number] {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return low === high ? [low - 1, high + 1] : [low, high];
}

/** The powers of ten around positive values, and as many of them as there is room for. */
function decades(values: readonly number[]): { domain: [number, number]; ticks: number[] } {
  const exponents = values.map((value) => value.toPrecision(5)).map((text) => Number(text).toExponential().split('e'));
  let low = Math.min(...exponents.map(([, exponent]) => Number(exponent)));
  let high = Math.max(...exponents.map(([digits, exponent]) => Number(exponent) + (digits === '1' ? 0 : 1)));
  if (low === high) [low, high] = [low - 1, high + 1];
  const stride = Math.ceil((high - low) / 7);
  const ticks = Array.from({ length: Math.floor((high - low) / stride) + 1 }, (_, i) =>
    Number(`1e${String(low + i * stride)}`),
  );
  return { domain: [Number(`1e${String(low)}`), Number(`1e${String(high)}`)], ticks };
}

/** Such as 10⁻³. */
function powerOfTen(value: number): string {
  const exponent = String(Math.round(Math.log10(value)));
  return `10${exponent.replace('-', '⁻').replace(/\d/g, (digit) => '⁰¹²³⁴⁵⁶⁷⁸⁹'.charAt(Number(digit)))}`;
}

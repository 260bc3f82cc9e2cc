/** The loss of a training, drawn as SVG whose colours are the page's, as wide as there is room: as it was told, and in means. */
import { counted } from '../../shared/text.js';
import { count, element, setText } from '../elements.js';

const height = 220;
const margin = { top: 12, right: 12, bottom: 28, left: 36 };
const mostMeans = 60;
const intervals = [5, 10, 20, 50, 100, 200];
const mostGridLines = 6;
const gridSteps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100];

interface Point {
  /** Steps since training began; of a mean, those at its end. */
  readonly step: number;
  readonly loss: number;
}

/** Steps that a mean of so long a run is over: round, and so few means that they make a curve. */
export function intervalFor(steps: number): number {
  return intervals.find((interval) => steps / interval <= mostMeans) ?? 500;
}

export class LossCurve {
  readonly #svg = svgElement('svg', { role: 'img' });
  readonly #figure = element('curve', HTMLElement);
  #points: Point[] = [];
  #means: Point[] = [];
  #lastStep = 1;

  constructor() {
    this.#figure.prepend(this.#svg);
    new ResizeObserver(() => {
      this.#draw();
    }).observe(this.#figure);
  }

  /** Begins a new curve, whose axis reaches to `lastStep`. */
  clear(lastStep: number): void {
    this.#points = [];
    this.#means = [];
    this.#lastStep = lastStep;
    this.#figure.hidden = true;
    setText('interval', counted(intervalFor(lastStep), 'step'));
  }

  /** Adds the loss of the last few steps, of steps that go up. */
  add(point: Point): void {
    if (this.#points.at(-1)?.step === point.step) return;
    this.#points.push(point);
    this.#figure.hidden = false;
    this.#draw();
  }

  /** Adds the mean over an interval that has ended, of `steps` steps. */
  addMean({ step, steps, loss }: Point & { readonly steps: number }): void {
    this.#means.push({ step: step - steps / 2, loss });
    this.#draw();
  }

  #draw(): void {
    const last = this.#points.at(-1);
    if (last === undefined) return;
    const width = Math.max(200, this.#svg.clientWidth);
    const losses = this.#points.map(({ loss }) => loss);
    const { gridStep, low, high } = gridOf(Math.min(...losses), Math.max(...losses));
    const [right, bottom] = [width - margin.right, height - margin.bottom];
    const x = (step: number): number => margin.left + (step / this.#lastStep) * (right - margin.left);
    const y = (loss: number): number => bottom - ((loss / gridStep - low) / (high - low)) * (bottom - margin.top);
    const grid = Array.from({ length: high - low + 1 }, (_, i) => (low + i) * gridStep).flatMap((loss) => [
      svgElement('line', { x1: margin.left, x2: right, y1: y(loss), y2: y(loss), class: 'grid' }),
      label(loss.toFixed(gridStep < 1 ? 1 : 0), { x: margin.left - 6, y: y(loss) + 4, 'text-anchor': 'end' }),
    ]);
    const line = (points: readonly Point[], name: string): SVGElement => {
      const places = points.map(({ step, loss }) => `${x(step).toFixed(1)},${y(loss).toFixed(1)}`);
      return svgElement('polyline', { points: places.join(' '), class: name });
    };
    const mean = this.#means.at(-1);
    this.#svg.setAttribute('viewBox', `0 0 ${String(width)} ${String(height)}`);
    this.#svg.setAttribute('aria-label', `Loss ${(mean ?? last).loss.toFixed(4)} after step ${count(last.step)}`);
    this.#svg.replaceChildren(
      ...grid,
      label('step 0', { x: margin.left, y: height - 8, 'text-anchor': 'start' }),
      label(count(this.#lastStep), { x: right, y: height - 8, 'text-anchor': 'end' }),
      line(this.#points, 'steps'),
      line(this.#means, 'means'),
      ...(mean === undefined
        ? []
        : [svgElement('circle', { cx: x(mean.step), cy: y(mean.loss), r: 3.5, class: 'end' })]),
    );
  }
}

/** Round lines that hold all losses between them: each `gridStep` apart, from `low` to `high` of these. */
function gridOf(least: number, most: number): { gridStep: number; low: number; high: number } {
  const gridStep = gridSteps.find((step) => (most - least) / step < mostGridLines - 1) ?? most - least;
  const low = Math.floor(least / gridStep);
  return { gridStep, low, high: Math.max(low + 1, Math.ceil(most / gridStep)) };
}

type Attributes = Readonly<Record<string, string | number>>;

function label(text: string, attributes: Attributes): SVGElement {
  const made = svgElement('text', attributes);
  made.textContent = text;
  return made;
}

function svgElement(name: string, attributes: Attributes): SVGElement {
  const made = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  return made;
}

/** The loss of a training, drawn as SVG whose colours are the page's, as wide as there is room. */
import { count, element } from '../elements.js';

const height = 220;
const margin = { top: 12, right: 12, bottom: 28, left: 36 };
/** Between two lines of the grid: the loss lies between 1.46 and 2.46. */
const gridStep = 0.2;

interface Point {
  readonly step: number;
  readonly loss: number;
}

export class LossCurve {
  readonly #svg = svgElement('svg', { role: 'img' });
  readonly #figure = element('curve', HTMLElement);
  #points: Point[] = [];
  #lastStep = 1;

  constructor() {
    this.#figure.prepend(this.#svg);
    new ResizeObserver(() => {
      this.#draw();
    }).observe(this.#figure);
  }

  /** Begins a new curve. */
  clear(): void {
    this.#points = [];
    this.#figure.hidden = true;
  }

  /** Adds a step's loss, of steps that go up; the axis reaches to `lastStep`. */
  add(point: Point, lastStep: number): void {
    if (this.#points.at(-1)?.step === point.step) return;
    this.#points.push(point);
    this.#lastStep = lastStep;
    this.#figure.hidden = false;
    this.#draw();
  }

  #draw(): void {
    const last = this.#points.at(-1);
    if (last === undefined) return;
    const width = Math.max(200, this.#svg.clientWidth);
    const losses = this.#points.map(({ loss }) => loss);
    const low = Math.floor(Math.min(...losses) / gridStep);
    const high = Math.max(low + 1, Math.ceil(Math.max(...losses) / gridStep));
    const [right, bottom] = [width - margin.right, height - margin.bottom];
    const x = (step: number): number => margin.left + (step / this.#lastStep) * (right - margin.left);
    const y = (loss: number): number => bottom - ((loss / gridStep - low) / (high - low)) * (bottom - margin.top);
    const grid = Array.from({ length: high - low + 1 }, (_, i) => (low + i) * gridStep).flatMap((loss) => [
      svgElement('line', { x1: margin.left, x2: right, y1: y(loss), y2: y(loss), class: 'grid' }),
      label(loss.toFixed(1), { x: margin.left - 6, y: y(loss) + 4, 'text-anchor': 'end' }),
    ]);
    const line = this.#points.map(({ step, loss }) => `${x(step).toFixed(1)},${y(loss).toFixed(1)}`).join(' ');
    this.#svg.setAttribute('viewBox', `0 0 ${String(width)} ${String(height)}`);
    this.#svg.setAttribute('aria-label', `Loss ${last.loss.toFixed(4)} after step ${count(last.step)}`);
    this.#svg.replaceChildren(
      ...grid,
      label('step 0', { x: margin.left, y: height - 8, 'text-anchor': 'start' }),
      label(count(this.#lastStep), { x: right, y: height - 8, 'text-anchor': 'end' }),
      svgElement('polyline', { points: line, class: 'curve' }),
      svgElement('circle', { cx: x(last.step), cy: y(last.loss), r: 3.5, class: 'end' }),
    );
  }
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

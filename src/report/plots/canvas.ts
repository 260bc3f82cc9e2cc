/** Where the curves are drawn: Observable Plot on a document without a browser, loaded only once there is a report to make. */
import type * as Plot from '@observablehq/plot';
import type { PlotOptions } from '@observablehq/plot';
import { Markup } from '../html.js';
import type { ReportData } from '../report-data.js';

/** What the figures of a run share. */
export interface Canvas {
  readonly plot: typeof Plot;
  /** SVG of its own size that scales with the page; `title` and `summary` are what a screen reader says of it. */
  readonly draw: (title: string, summary: string, options: PlotOptions) => Markup;
  /** Where a step lies on the x axis. */
  readonly x: (point: { readonly step: number }) => number;
  readonly axis: NonNullable<PlotOptions['x']>;
}

/** As much of the DOM as is used here: its types belong to browsers, and this is none. */
interface DomElement {
  readonly attributes: Iterable<{ readonly name: string; readonly value: string }>;
  readonly outerHTML: string;
  querySelector(selector: string): { remove(): void } | null;
  querySelectorAll(selector: string): Iterable<DomElement>;
  setAttribute(name: string, value: string): void;
}

/** One size for all; the letters are legible where the page is as wide as a telephone. */
const frame = {
  ...{ width: 400, height: 236, marginTop: 24, marginRight: 16, marginBottom: 38, marginLeft: 46 },
  className: 'plot',
  style: { fontSize: '12px' },
  grid: true,
} satisfies PlotOptions;

export async function openCanvas({ step, stepsPerEpoch, steps, evaluations }: ReportData): Promise<Canvas> {
  const [plot, { parseHTML }] = await Promise.all([import('@observablehq/plot'), import('linkedom')]);
  const { document } = parseHTML('<html></html>') as { readonly document: never };
  const lastStep = Math.max(1, step, steps.at(-1)?.step ?? 0, evaluations.at(-1)?.step ?? 0);
  // Less than two epochs are better told in steps.
  const inEpochs = lastStep >= 2 * stepsPerEpoch;
  const unit = inEpochs ? stepsPerEpoch : 1;
  return {
    plot,
    draw: (title, summary, options) => {
      const named = { ariaLabel: title, ariaDescription: summary, document };
      return serialise(plot.plot({ ...frame, ...named, ...options }) as DomElement);
    },
    x: (point) => point.step / unit,
    axis: {
      label: inEpochs ? 'epoch' : 'step',
      labelArrow: 'none',
      domain: [0, lastStep / unit],
      ticks: inEpochs ? Math.min(7, Math.floor(lastStep / unit)) : 5,
    },
  };
}

function serialise(svg: DomElement): Markup {
  svg.setAttribute('role', 'img');
  // The page's own style sheet says it once for all figures.
  svg.querySelector('style')?.remove();
  for (const element of svg.querySelectorAll('*')) {
    for (const { name, value } of element.attributes) element.setAttribute(name, rounded(value));
  }
  return new Markup(svg.outerHTML);
}

/** To a hundredth of a pixel: small, and the same where logarithms differ in their last bits. */
function rounded(text: string): string {
  return text.replace(/\d+\.\d{3,}/g, (digits) => String(Number(Number(digits).toFixed(2))));
}

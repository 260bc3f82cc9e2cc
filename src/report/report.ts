/** A run as one HTML page that stands alone: no script, and nothing that is loaded from elsewhere. */
import { accuracyInterval, confusionOf, type Confusion } from './confusion.js';
import { committeeSection } from './committee-section.js';
import { count, counted, moment, percent } from './format.js';
import { html, Markup, type Part } from './html.js';
import { median } from './plots/plots.js';
import { recordSection } from './record-section.js';
import type { ReportData } from './report-data.js';
import { styleSheet } from './style.js';
import { confusionSection, mistakesSection } from './test-section.js';
import { trainingSection } from './training-section.js';

const contentSecurityPolicy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

/**
 * The page as a string, the same for the same data.
 * @param data see `ReportData`; any of its lists may be empty
 */
export async function renderReport(data: ReportData): Promise<string> {
  const confusion = confusionOf(data.test.labels, data.test.probabilities);
  const page = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta http-equiv="Content-Security-Policy" content="${contentSecurityPolicy}" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <title>${nameOf(data.run)}: training report</title>
        ${new Markup(`<style>${styleSheet}</style>`)}
      </head>
      <body>
        ${header(data, confusion)}
        <main>
          ${await trainingSection(data)} ${confusionSection(confusion)} ${await mistakesSection(data)}
          ${await committeeSection(data)} ${recordSection(data)}
        </main>
        <footer>
          <p>
            Made by mnist-ddp ${data.version} on
            <time datetime="${data.time.toISOString()}">${moment(data.time)}</time>.
          </p>
        </footer>
      </body>
    </html> `;
  return page.source;
}

/** The last part of the folder's path, by which people speak of a run. */
function nameOf(run: string): string {
  return run.split(/[\\/]/).findLast((part) => part !== '' && part !== '.') ?? run;
}

function header(data: ReportData, confusion: Confusion): Markup {
  return html`<header>
    <p class="kicker">Training report</p>
    <h1>${nameOf(data.run)}</h1>
    ${headline(confusion)}
    <dl class="key">
      ${keyFigures(data).map(
        ([name, value]) =>
          html`<div>
            <dt>${name}</dt>
            <dd>${value}</dd>
          </div>`,
      )}
    </dl>
  </header>`;
}

function headline({ correct, total }: Confusion): Markup {
  if (total === 0) return html`<p class="headline">The test set holds no images, so there is no accuracy.</p>`;
  const [low, high] = accuracyInterval(correct, total);
  const range = `${(100 * low).toFixed(2)} to ${percent(100 * high)}`;
  return html`<p class="headline">
    <strong>${percent((100 * correct) / total)}</strong>
    <span>${count(correct)} of ${counted(total, 'test image')} correct. 95&nbsp;% interval: ${range}.</span>
  </p>`;
}

function keyFigures(data: ReportData): [string, Part][] {
  const { step, stepsPerEpoch, steps, evaluations, workers, engine, parametersSha256 } = data;
  const epochs = step / stepsPerEpoch;
  const speed = median(steps.map(({ imagesPerSecond }) => imagesPerSecond));
  return [
    ['Steps', count(step)],
    ['Epochs', Number.isInteger(epochs) ? count(epochs) : epochs.toFixed(2)],
    ['Loss of the last epoch', (evaluations.at(-1)?.trainLoss ?? steps.at(-1)?.loss)?.toFixed(4) ?? 'not logged'],
    ['Images/s, median', speed === null ? 'not logged' : count(speed)],
    ['Workers', `${count(workers)}, ${engine}`],
    ['Parameters', html`<code>${parametersSha256.slice(0, 12)}…</code>`],
  ];
}

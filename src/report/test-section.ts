/** What the network makes of the test set: the confusion matrix, and the mistakes as pictures. */
import { classes } from '../shared/model/network.js';
import { mistakesOf, scoresOf, type Confusion, type DigitScore, type Mistake } from './confusion.js';
import { digitPictures } from './digits.js';
import { count, counted, percent, probability } from './format.js';
import { html, type Markup } from './html.js';
import type { ReportData } from './report-data.js';

/** So many of the mistakes are shown. */
const shownMistakes = 25;
const digits = Array.from({ length: classes }, (_, digit) => digit);

export function confusionSection(confusion: Confusion): Markup {
  return html`<section aria-labelledby="confusion">
    <h2 id="confusion">Confusion matrix</h2>
    ${confusion.total === 0 ? html`<p>The test set holds no images.</p>` : confusionTable(confusion)}
  </section>`;
}

export async function mistakesSection({ test }: ReportData): Promise<Markup> {
  const mistakes = mistakesOf(test.labels, test.probabilities);
  const shown = mistakes.slice(0, shownMistakes);
  const pictures = await digitPictures(
    test.images,
    shown.map(({ row }) => row),
  );
  const items = shown.map((mistake, i) => mistakeItem(mistake, pictures[i] ?? ''));
  return html`<section aria-labelledby="mistakes">
    <h2 id="mistakes">Most confident mistakes</h2>
    <p>${introduction(mistakes, test.labels.length)}</p>
    ${
      items.length === 0
        ? ''
        : html`<ol class="mistakes" role="list">
            ${items}
          </ol>`
    }
  </section>`;
}

function introduction(mistakes: readonly Mistake[], total: number): string {
  if (total === 0) return 'The test set holds no images.';
  if (mistakes.length === 0) return `None: all ${count(total)} test images were read right.`;
  const certain = mistakes.filter(({ confidence }) => confidence > 0.99).length;
  const shown = mistakes.length <= shownMistakes ? 'All' : `The ${count(shownMistakes)} it was surest of`;
  const rows = 'most confident first; rows of the test set count from 0';
  return `Of ${counted(mistakes.length, 'mistake')} the network was more than ${percent(99, 0)} sure of ${count(certain)}. ${shown}, ${rows}.`;
}

function mistakeItem({ row, label, said, confidence, labelProbability }: Mistake, picture: string): Markup {
  const alt = `Test image ${String(row)}: a ${String(label)} that was taken for a ${String(said)}`;
  return html`<li>
    <img src="${picture}" width="112" height="112" alt="${alt}" />
    <p class="said">said <b>${said}</b> <span>${probability(confidence)}</span></p>
    <p class="meant">meant <b>${label}</b> <span>${probability(labelProbability)}</span></p>
    <p class="row">row ${row}</p>
  </li>`;
}

function confusionTable(confusion: Confusion): Markup {
  const scores = scoresOf(confusion);
  const { counts } = confusion;
  const mostConfused = Math.max(1, ...counts.filter((_, cell) => cell % (classes + 1) !== 0));
  return html`<p>
      Rows are the digits that were meant, columns what the network said. Right answers lie on the diagonal; the
      stronger the shade of a cell beside it, the more of these mistakes. Recall is the share of a digit's images that
      was found, precision the share that was right of what was said to be that digit, in percent.
    </p>
    <div class="scroll" role="region" aria-labelledby="confusion" tabindex="0">
      <table class="confusion">
        <colgroup>
          <col />
          ${digits.map(() => html`<col class="digit" />`)}
          <col />
          <col />
        </colgroup>
        <thead>
          <tr>
            <td rowspan="2"></td>
            <th scope="colgroup" colspan="${classes}">Said</th>
            <th scope="col" rowspan="2">Images</th>
            <th scope="col" rowspan="2">Recall</th>
          </tr>
          <tr>
            ${digits.map((digit) => html`<th scope="col">${digit}</th>`)}
          </tr>
        </thead>
        <tbody>
          ${scores.map((score) => confusionRow(score, counts, mostConfused))}
        </tbody>
        <tfoot>
          <tr>
            <th scope="row">Precision</th>
            ${scores.map(({ precision }) => html`<td>${share(precision)}</td>`)}
            <td colspan="2"></td>
          </tr>
        </tfoot>
      </table>
    </div>`;
}

function confusionRow({ digit, images, recall }: DigitScore, counts: Uint32Array, mostConfused: number): Markup {
  const cells = digits.map((said) => {
    const times = counts[digit * classes + said] ?? 0;
    if (said === digit) return html`<td class="right">${count(times)}</td>`;
    if (times === 0) return html`<td class="none">0</td>`;
    // By the square root, since one mistake is worth seeing beside a hundred.
    const shade = (0.1 + 0.4 * Math.sqrt(times / mostConfused)).toFixed(2);
    return html`<td class="wrong" style="--shade: ${shade}">${count(times)}</td>`;
  });
  return html`<tr>
    <th scope="row">${digit}</th>
    ${cells}
    <td>${count(images)}</td>
    <td>${share(recall)}</td>
  </tr>`;
}

/** In percent; of nothing, a dash that is read out. */
function share(value: number | null): Markup | string {
  return value === null ? html`<span aria-label="none">–</span>` : (100 * value).toFixed(1);
}

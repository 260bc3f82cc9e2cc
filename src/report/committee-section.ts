/** What several networks make of the test set together, and the images that they disagree about. */
import { disagreementsOf, type Disagreement } from './confusion.js';
import { digitPictures } from './digits.js';
import { count, counted, percent, probability } from './format.js';
import { html, type Markup } from './html.js';
import type { ReportData } from './report-data.js';

/** So many of the images are shown. */
const shownDisagreements = 25;

/** Nothing where the report is of one network. */
export async function committeeSection({ committee, test }: ReportData): Promise<Markup | ''> {
  if (committee === null) return '';
  const { members, average } = committee;
  const all = disagreementsOf(
    test.labels,
    members.map(({ probabilities }) => probabilities),
    average,
  );
  const shown = all.slice(0, shownDisagreements);
  const pictures = await digitPictures(
    test.images,
    shown.map(({ row }) => row),
  );
  const total = test.labels.length;
  return html`<section aria-labelledby="committee">
    <h2 id="committee">Committee</h2>
    <p>
      The probabilities of ${counted(members.length, 'network')}, averaged. ${introduction(all, total)}
      ${shown.length === 0 ? '' : 'Least certain of what was said first.'}
    </p>
    <div class="scroll" role="region" aria-labelledby="committee" tabindex="0">
      <table class="numbers">
        <thead>
          <tr>
            <th scope="col">Network</th>
            <th scope="col">Correct</th>
            <th scope="col">Accuracy</th>
          </tr>
        </thead>
        <tbody>
          ${members.map(({ name, correct }) => memberRow(name, correct, total))}
          ${memberRow('All together', committee.correct, total)}
        </tbody>
      </table>
    </div>
    ${
      shown.length === 0
        ? ''
        : html`<ol class="mistakes" role="list">
            ${shown.map((disagreement, i) => disagreementItem(disagreement, pictures[i] ?? ''))}
          </ol>`
    }
  </section>`;
}

function introduction(all: readonly Disagreement[], total: number): string {
  if (all.length === 0) return `They read all ${counted(total, 'test image')} alike.`;
  const wrong = all.filter(({ said, label }) => said !== label).length;
  return `They disagree about ${count(all.length)} of ${counted(total, 'test image')}, and are wrong together about ${count(wrong)} of those.`;
}

function memberRow(name: string, correct: number, total: number): Markup {
  return html`<tr>
    <th scope="row">${name}</th>
    <td>${count(correct)}</td>
    <td>${total === 0 ? '–' : percent((100 * correct) / total)}</td>
  </tr>`;
}

function disagreementItem({ row, label, said, confidence, members }: Disagreement, picture: string): Markup {
  const alt = `Test image ${String(row)}: a ${String(label)} that was read as ${members.join(', ')}`;
  return html`<li>
    <img src="${picture}" width="112" height="112" alt="${alt}" />
    <p class="said">said <b>${said}</b> <span>${probability(confidence)}</span></p>
    <p class="meant">meant <b>${label}</b> <span>${members.join(' ')}</span></p>
    <p class="row">row ${row}</p>
  </li>`;
}

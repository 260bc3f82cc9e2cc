/** How training went: the curves, and the same as numbers. */
import { count, percent, short } from './format.js';
import { html, type Markup } from './html.js';
import { curveOfEvaluations, drawFigures, median, nameOfSplit, type Figure } from './plots/plots.js';
import type { ReportData } from './report-data.js';

export async function trainingSection(data: ReportData): Promise<Markup> {
  const figures = await drawFigures(data);
  return html`<section aria-labelledby="training">
    <h2 id="training">Training</h2>
    ${
      figures.every(({ drawing }) => drawing === null)
        ? html`<p>The run logged neither steps nor evaluations, so there are no curves.</p>`
        : html`<div class="figures">${figures.map(figureMarkup)}</div>`
    }
    ${data.evaluations.length === 0 ? '' : numbersTable(data)}
  </section>`;
}

function figureMarkup({ title, caption, drawing }: Figure): Markup {
  return html`<figure>
    <figcaption>
      <h3>${title}</h3>
      <p>${caption}</p>
    </figcaption>
    ${drawing ?? ''}
  </figure>`;
}

/** A row for each evaluation, over the lines of steps since the one before. */
function numbersTable({ steps, evaluations: all }: ReportData): Markup {
  const evaluations = curveOfEvaluations(all);
  const rows = evaluations.map(({ step, epoch, accuracy, loss: scored, trainLoss }, i) => {
    const before = evaluations[i - 1]?.step ?? 0;
    const logged = steps.filter((point) => point.step > before && point.step <= step);
    const [last, speed] = [logged.at(-1), median(logged.map(({ imagesPerSecond }) => imagesPerSecond))];
    // Up to mnist-ddp 0.3.0 a run logged some batches, and no mean.
    const loss = trainLoss ?? logged.reduce((sum, point) => sum + point.loss, 0) / logged.length;
    return html`<tr>
      <th scope="row">${count(epoch)}</th>
      <td>${count(step)}</td>
      <td>${percent(accuracy)}</td>
      <td>${Number.isFinite(scored) ? Number(scored).toFixed(4) : 'none'}</td>
      <td>${Number.isFinite(loss) ? loss.toFixed(4) : 'none'}</td>
      <td>${last === undefined ? 'none' : short(last.learningRate)}</td>
      <td>${speed === null ? 'none' : count(speed)}</td>
    </tr>`;
  });
  return html`<details>
    <summary>The same as numbers</summary>
    <p>
      At each evaluation, of the ${nameOfSplit(evaluations[0]?.split)}. The training loss is the mean over the epoch's
      steps, images/s the median since the evaluation before.
    </p>
    <div class="scroll" role="region" aria-label="Training as numbers" tabindex="0">
      <table class="numbers">
        <thead>
          <tr>
            <th scope="col">Epoch</th>
            <th scope="col">Step</th>
            <th scope="col">Accuracy</th>
            <th scope="col">Loss</th>
            <th scope="col">Training loss</th>
            <th scope="col">Learning rate</th>
            <th scope="col">Images/s</th>
          </tr>
        </thead>
        <tbody>
          ${rows}
        </tbody>
      </table>
    </div>
  </details>`;
}

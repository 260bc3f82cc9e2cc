/** What the result depends on, and how to have it again. */
import type { TrainConfig } from '../shared/model/config.js';
import { count, counted, percent, short } from './format.js';
import { html, type Markup, type Part } from './html.js';
import type { ReportData } from './report-data.js';

export function recordSection(data: ReportData): Markup {
  return html`<section aria-labelledby="record">
    <h2 id="record">Record</h2>
    <div class="record">
      <div>
        <h3>Configuration</h3>
        ${list(configuration(data))}
      </div>
      <div>
        <h3>Machine</h3>
        ${data.machine.length === 0 ? html`<p>The run did not record its machine.</p>` : list(data.machine)}
      </div>
    </div>
    <h3>To the same parameters again</h3>
    ${again(data)}
    <p class="hash"><code>${data.parametersSha256}</code></p>
  </section>`;
}

function again({ command, exact, engine, overridden }: ReportData): Markup {
  if (command === null) {
    const what = overridden.join(', ');
    return html`<p>
      The run went on otherwise than it began (${what} overridden), so no single command comes to these parameters.
      Their SHA-256 is
    </p>`;
  }
  const hash = exact
    ? 'The SHA-256 of the parameters is then, bit for bit,'
    : `The engine ${engine} rounds as the machine does, so the last bits may differ. The SHA-256 of these parameters is`;
  return html`<pre><code>${command}</code></pre>
    <p>${hash}</p>`;
}

function configuration(data: ReportData): [string, Part][] {
  const { run, config, dataset, engine, workers, step, stepsPerEpoch, init } = data;
  return [
    ['Run folder', html`<code>${run}</code>`],
    ['Data set', html`<code>${dataset}</code>`],
    ['Steps', `${count(step)}, ${count(stepsPerEpoch)} in an epoch`],
    ...(init === null ? [] : [['Initial weights', initialWeights(init)] as [string, Part]]),
    ...configurationOf(config),
    ['Engine', engine],
    ['Workers', count(workers)],
  ];
}

function initialWeights({ file, parametersSha256 }: NonNullable<ReportData['init']>): Markup {
  return html`<code>${file}</code>, parameters <code>${parametersSha256.slice(0, 12)}…</code>`;
}

/** Every field has its line, or none where it says nothing: one that is added to the configuration is asked for here. */
function configurationOf(config: TrainConfig): [string, string][] {
  const stepwise = config.schedule === 'step';
  const upTo = (name: string, value: number, unit: string): [string, string] | null =>
    value === 0 ? null : [name, `up to \u00b1${short(value)}${unit}`];
  const lines: Record<keyof TrainConfig, [string, string] | null> = {
    epochs: ['Epochs', count(config.epochs)],
    batchSize: ['Batch size', count(config.batchSize)],
    microBatch: ['Micro-batch', count(config.microBatch)],
    learningRate: ['Learning rate', short(config.learningRate)],
    schedule: stepwise ? null : ['Schedule', 'one cycle'],
    lrStep: stepwise ? ['Decay every', `${count(config.lrStep)} steps`] : null,
    lrGamma: stepwise ? ['Decay factor', short(config.lrGamma)] : null,
    warmUp: stepwise ? null : ['Rate goes up for', percent(100 * config.warmUp, 0)],
    seed: ['Seed', String(config.seed)],
    batchNorm: ['Batch norm', config.batchNorm],
    loss: ['Loss', config.loss],
    inputScale: config.inputScale === 'raw' ? null : ['Pixels', '0 to 1'],
    rotation: upTo('Rotation', config.rotation, '\u00b0'),
    translation: upTo('Translation', config.translation, ' pixels'),
    scaling: upTo('Scaling', 100 * config.scaling, ' %'),
    shear: upTo('Shear', config.shear, '\u00b0'),
    averageDecay: config.averageDecay === 0 ? null : ['Average of the weights', `decay ${short(config.averageDecay)}`],
    validation: ['Held-out rows', config.validation === 0 ? 'none' : count(config.validation)],
    patience: ['Patience', config.patience === 0 ? 'none' : counted(config.patience, 'epoch')],
  };
  return Object.values(lines).filter((line) => line !== null);
}

function list(pairs: readonly (readonly [string, Part])[]): Markup {
  return html`<dl>
    ${pairs.map(
      ([name, value]) =>
        html`<div>
          <dt>${name}</dt>
          <dd>${value}</dd>
        </div>`,
    )}
  </dl>`;
}

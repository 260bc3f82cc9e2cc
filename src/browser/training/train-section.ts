/** Train: the form, the figures of the run, and what it came to. The next start goes on from a pause's checkpoint, or a failure's. */
import { trainCommandLine } from '../../commands/shell/flags.js';
import type { Checkpoint } from '../../coordinator/checkpoint/checkpoint.js';
import { encodeCheckpoint } from '../../coordinator/checkpoint/checkpoint-format.js';
import type { OpenDataset } from '../../coordinator/dataset/dataset-parts.js';
import type { Progress, Summary } from '../../coordinator/metrics/metrics.js';
import { reproductionOf } from '../../coordinator/training/reproduction.js';
import {
  defaultConfig,
  maxGroupSize,
  recipeNames,
  recipes,
  type Recipe,
  type TrainConfig,
} from '../../shared/model/config.js';
import type { DemoFacts } from '../../shared/demo.js';
import { OperationalError } from '../../shared/errors.js';
import { stepsPerEpoch } from '../../shared/model/schedule.js';
import { inWords } from '../../shared/text.js';
import { count, element, percent, setText } from '../elements.js';
import { intervalFor, LossCurve } from './loss-curve.js';
import { nodeHashOf } from './node-hash.js';
import { fetchDataset } from './page-dataset.js';
import { trainInPage } from './page-training.js';

type State = 'idle' | 'running' | 'paused';

const title = document.title;

export class TrainSection {
  readonly #facts: DemoFacts;
  readonly #perEpoch: number;
  readonly #section = element('train', HTMLElement);
  readonly #recipe = element('recipe', HTMLSelectElement);
  readonly #trained: (checkpoint: Checkpoint) => Promise<void>;
  readonly #workers = element('workers', HTMLInputElement);
  readonly #seed = element('seed', HTMLInputElement);
  readonly #steps = element('steps', HTMLInputElement);
  readonly #start = element('start', HTMLButtonElement);
  readonly #pause = element('pause', HTMLButtonElement);
  readonly #stop = element('stop', HTMLButtonElement);
  readonly #curve = new LossCurve();
  #state: State = 'idle';
  #abort = new AbortController();
  #dataset: OpenDataset | null = null;
  /** Where a paused run goes on from. */
  #paused: Checkpoint | null = null;
  #downloadUrl = '';

  /** @param trained is given each checkpoint that training stops with */
  constructor(facts: DemoFacts, trained: (checkpoint: Checkpoint) => Promise<void>) {
    this.#facts = facts;
    this.#trained = trained;
    this.#perEpoch = stepsPerEpoch(defaultConfig, facts.trainCount);
    const workers = String(Math.min(navigator.hardwareConcurrency, maxGroupSize));
    Object.assign(this.#workers, { max: workers, value: workers });
    this.#steps.value = String(this.#perEpoch);
    this.#recipe.addEventListener('change', () => {
      this.#limitSteps();
    });
    this.#limitSteps();
    element('settings', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#run();
    });
    this.#pause.addEventListener('click', () => {
      this.#end('Pausing after this step…', 'paused');
    });
    this.#stop.addEventListener('click', () => {
      if (this.#state === 'paused') {
        setText('status', endOf('Ended', this.#paused));
        this.#enter('idle');
      } else this.#end('Stopping after this step…', 'idle');
    });
    this.#enter('idle');
  }

  /** What the form asks for. */
  get #config(): TrainConfig {
    const recipe: Recipe = recipeNames.find((name) => name === this.#recipe.value) ?? 'reference';
    return { ...defaultConfig, ...recipes[recipe], seed: this.#seed.valueAsNumber };
  }

  #limitSteps(): void {
    this.#steps.max = String(this.#perEpoch * this.#config.epochs);
  }

  /** Asks the run to end after the step at hand. */
  #end(status: string, next: State): void {
    this.#abort.abort(next);
    this.#pause.disabled = true;
    this.#stop.disabled = true;
    setText('status', status);
  }

  async #run(): Promise<void> {
    const resume = this.#paused;
    this.#enter('running');
    if (resume === null) this.#clear();
    try {
      if (this.#dataset === null) setText('status', 'Loading MNIST: 55 MB from this machine…');
      this.#dataset ??= await fetchDataset();
      setText('status', 'Training…');
      const { checkpoint, summary, failure } = await trainInPage({
        workers: this.#workers.valueAsNumber,
        config: this.#config,
        steps: this.#steps.valueAsNumber,
        logEvery: intervalFor(this.#steps.valueAsNumber),
        dataset: this.#dataset,
        resume,
        signal: this.#abort.signal,
        onProgress: (progress) => {
          this.#show(progress);
        },
        onInterval: (metric) => {
          this.#curve.addMean(metric);
        },
        onNote: (text) => {
          setText('status', inWords(text));
        },
      });
      if (checkpoint !== null) await this.#finish(checkpoint, summary);
      this.#paused = checkpoint;
      const goesOn = this.#abort.signal.reason === 'paused' || (failure !== null && checkpoint !== null);
      this.#enter(summary === null && goesOn ? 'paused' : 'idle');
      if (failure !== null) setText('status', `${inWords(failure.message)}.`);
      else if (summary === null) setText('status', endOf(goesOn ? 'Paused' : 'Ended', checkpoint));
    } catch (error) {
      this.#enter('idle');
      setText('status', error instanceof Error ? `${inWords(error.message)}.` : String(error));
      if (!(error instanceof OperationalError)) throw error;
    }
  }

  #enter(state: State): void {
    this.#state = state;
    // For the style sheet.
    this.#section.dataset['state'] = state;
    document.title = state === 'idle' ? title : `${state === 'paused' ? 'Paused' : 'Training'} – ${title}`;
    if (state === 'idle') this.#paused = null;
    if (state === 'running') this.#abort = new AbortController();
    this.#workers.disabled = state === 'running';
    for (const input of [this.#recipe, this.#seed, this.#steps]) input.disabled = state !== 'idle';
    this.#start.disabled = state === 'running';
    this.#start.textContent = state === 'paused' ? 'Continue' : 'Start';
    this.#pause.disabled = state !== 'running';
    this.#stop.disabled = state === 'idle';
  }

  #clear(): void {
    const steps = this.#steps.valueAsNumber;
    this.#curve.clear(steps);
    element('result', HTMLElement).hidden = true;
    for (const id of ['step', 'loss', 'speed', 'accuracy']) setText(id, '–');
    Object.assign(element('progress', HTMLProgressElement), { max: steps, value: 0 });
  }

  #show({ phase, step, lastStep, loss, recentLoss, imagesPerSecond }: Progress): void {
    element('progress', HTMLProgressElement).value = step;
    setText('step', `${count(step)} of ${count(lastStep)}`);
    if (phase === 'evaluation') setText('status', 'Scoring the test set…');
    if (loss === null || recentLoss === null) return;
    setText('loss', loss.toFixed(4));
    setText('speed', count(imagesPerSecond));
    this.#curve.add({ step, loss: recentLoss });
  }

  /** Shows what training came to, and puts the network in use. */
  async #finish(checkpoint: Checkpoint, summary: Summary | null): Promise<void> {
    const { step, parametersSha256: hash } = checkpoint;
    const node = nodeHashOf(checkpoint, this.#facts.network);
    const equal = node?.parametersSha256 === hash;
    setText('step', count(step));
    setText('result-step', count(step));
    setText('hash', hash);
    setText('node-hash', node === null ? 'Not known here' : node.parametersSha256);
    element('node-hash', HTMLElement).classList.toggle('code', node !== null);
    setText('verdict', verdictOf(node?.source ?? null, equal));
    const reproduction = reproductionOf(checkpoint, this.#perEpoch, true);
    setText('command', reproduction === null ? '' : trainCommandLine(reproduction));
    await this.#offer(checkpoint);
    element('result', HTMLElement).hidden = false;
    await this.#trained(checkpoint);
    if (summary === null) return;
    const { correct, total, imagesPerSecond } = summary;
    setText('accuracy', percent(correct / total, 2));
    setText('speed', count(imagesPerSecond));
    setText('status', `Trained: ${count(correct)} of ${count(total)} test images correct. The network is in Draw.`);
  }

  async #offer(checkpoint: Checkpoint): Promise<void> {
    URL.revokeObjectURL(this.#downloadUrl);
    this.#downloadUrl = URL.createObjectURL(new Blob([await encodeCheckpoint(checkpoint)]));
    element('download', HTMLAnchorElement).href = this.#downloadUrl;
  }
}

/** What to say of a run that did not come to its end, where it left that checkpoint, if any. */
function endOf(how: 'Paused' | 'Ended', checkpoint: Checkpoint | null): string {
  if (checkpoint === null) return `${how} before the first step.`;
  return `${how} after step ${count(checkpoint.step)}; the network is in Draw.`;
}

function verdictOf(source: string | null, equal: boolean): string {
  if (source === null) return 'To compare, look for parametersSha256 in the summary that this writes:';
  if (equal) return `Equal: bit for bit what Node computed (${source}). The command that computes it again:`;
  return `Different from what Node computed (${source}), which no browser should give. The command for Node:`;
}

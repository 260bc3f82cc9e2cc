/** Draw: the network's answer to what is drawn, as bars while the pen moves and as text once it rests. */
import type { NetworkState } from '../../coordinator/session/state.js';
import { centreDigit } from '../../images/centre.js';
import { classes, imagePixels, imageSize } from '../../shared/model/network.js';
import type { DigitReader } from './digit-reader.js';
import { DrawingPad } from './drawing-pad.js';
import { contextOf, element, percent, setText } from '../elements.js';

interface Bar {
  readonly row: HTMLLIElement;
  readonly value: HTMLElement;
}

export class DrawSection {
  readonly #reader: DigitReader;
  readonly #pad: DrawingPad;
  readonly #centred = contextOf(element('centred', HTMLCanvasElement));
  readonly #bars = Array.from({ length: classes }, (_, digit) => makeBar(digit));
  /** Of the drawing as it is; null where no digit can be made out, or the network has no answer. */
  #probabilities: readonly number[] | null = null;
  /** Whether a digit can be made out. */
  #legible = false;
  #frame: number | null = null;

  /** @param reader which already reads with some network */
  constructor(reader: DigitReader) {
    this.#reader = reader;
    element('probabilities', HTMLOListElement).append(...this.#bars.map(({ row }) => row));
    this.#pad = new DrawingPad({
      changed: () => {
        this.#frame ??= requestAnimationFrame(() => void this.#read());
      },
      settled: () => void this.#answer(),
    });
    this.#show();
  }

  /** Reads the drawing that is there again, with that network. */
  async use(network: NetworkState): Promise<void> {
    this.#reader.use(network);
    await this.#answer();
  }

  async #answer(): Promise<void> {
    await this.#read();
    if (this.#pad.picture() === null) setText('answer', 'Draw a digit from 0 to 9.');
    else if (!this.#legible) setText('answer', 'No digit can be made out yet: draw on.');
    else setText('answer', answerOf(this.#probabilities));
  }

  async #read(): Promise<void> {
    if (this.#frame !== null) cancelAnimationFrame(this.#frame);
    this.#frame = null;
    const picture = this.#pad.picture();
    const row = picture === null ? null : centreDigit(picture);
    this.#showRow(row);
    this.#legible = row !== null;
    this.#probabilities = row === null ? null : await this.#reader.read(row);
    this.#show();
  }

  #show(): void {
    const best = Math.max(...(this.#probabilities ?? []));
    this.#bars.forEach(({ row, value }, digit) => {
      const probability = this.#probabilities?.[digit] ?? 0;
      row.style.setProperty('--share', String(probability));
      row.classList.toggle('best', probability === best);
      value.textContent = this.#probabilities === null ? '–' : percent(probability);
    });
  }

  #showRow(row: Uint8Array | null): void {
    const image = new ImageData(imageSize, imageSize);
    for (let pixel = 0; pixel < imagePixels; pixel++) {
      image.data.set([255, 255, 255, row?.[pixel] ?? 0], 4 * pixel);
    }
    this.#centred.putImageData(image, 0, 0);
  }
}

function makeBar(digit: number): Bar {
  const row = document.createElement('li');
  const [name, bar, value] = ['b', 'span', 'span'].map((tag) => document.createElement(tag)) as [
    HTMLElement,
    HTMLElement,
    HTMLElement,
  ];
  name.textContent = String(digit);
  bar.className = 'bar';
  row.append(name, bar, value);
  return { row, value };
}

function answerOf(probabilities: readonly number[] | null): string {
  if (probabilities === null) return 'This network computes infinite values: its training diverged.';
  const ranked = [...probabilities.entries()].sort(([, a], [, b]) => b - a);
  const [best, second] = ranked.map(([digit, value]) => `${String(digit)}, ${percent(value)}`);
  return `This is a ${best ?? ''}. Next: ${second ?? ''}.`;
}

/** Draw: the network's answer to what is drawn, as bars while the pen moves and as text once it rests; and to a picture. */
import { isUncertain } from '../../coordinator/session/evaluation.js';
import type { NetworkState } from '../../coordinator/checkpoint/trained-network.js';
import { findDigits } from '../../images/digits.js';
import type { GreyPicture } from '../../images/grey.js';
import { classes } from '../../shared/model/network.js';
import { element, percent, setText } from '../elements.js';
import type { DigitReader } from './digit-reader.js';
import { DigitStrip, type ReadDigit } from './digit-strip.js';
import { DrawingPad } from './drawing-pad.js';
import { PictureInput } from './picture-input.js';

interface Bar {
  readonly row: HTMLLIElement;
  readonly value: HTMLElement;
}

/** A number has fewer digits; of more, these are read. */
const mostDigits = 20;

export class DrawSection {
  readonly #reader: DigitReader;
  readonly #pad: DrawingPad;
  readonly #input: PictureInput;
  readonly #strip = new DigitStrip((digit) => {
    this.#showBars(digit);
  });
  readonly #bars = Array.from({ length: classes }, (_, digit) => makeBar(digit));
  /** What is read instead of the drawing; null where it is the drawing. */
  #picture: GreyPicture | null = null;
  /** From left to right. */
  #digits: readonly ReadDigit[] = [];
  #frame: number | null = null;

  /** @param reader which already reads with some network */
  constructor(reader: DigitReader) {
    this.#reader = reader;
    element('probabilities', HTMLOListElement).append(...this.#bars.map(({ row }) => row));
    this.#pad = new DrawingPad({
      changed: () => {
        this.#picture = null;
        this.#input.show(false);
        this.#frame ??= requestAnimationFrame(() => void this.#read());
      },
      settled: () => void this.#answer(),
    });
    this.#input = new PictureInput({
      chosen: (picture) => {
        this.#pad.clear();
        this.#picture = picture;
        this.#input.show(true);
        void this.#answer();
      },
      refused: (name) => {
        setText('answer', `${name} is no picture that this browser can read.`);
      },
    });
    this.#showBars(null);
  }

  /** Reads what is there again, with that network. */
  async use(network: NetworkState): Promise<void> {
    this.#reader.use(network);
    await this.#answer();
  }

  async #answer(): Promise<void> {
    await this.#read();
    setText('answer', this.#text());
  }

  #text(): string {
    if (this.#digits.length > 0) return answerOf(this.#digits);
    if (this.#picture !== null) return 'No digit stands out from the background of this picture.';
    return this.#pad.picture() === null
      ? 'Draw a digit from 0 to 9, or several side by side.'
      : 'No digit can be made out yet: draw on.';
  }

  async #read(): Promise<void> {
    if (this.#frame !== null) cancelAnimationFrame(this.#frame);
    this.#frame = null;
    const picture = this.#picture ?? this.#pad.picture();
    const found = picture === null ? [] : findDigits(picture).slice(0, mostDigits);
    const digits: ReadDigit[] = [];
    for (const { row } of found) digits.push({ row, probabilities: await this.#reader.read(row) });
    this.#digits = digits;
    this.#strip.show(digits);
  }

  #showBars(digit: ReadDigit | null): void {
    const probabilities = digit?.probabilities ?? null;
    const best = Math.max(...(probabilities ?? []));
    this.#bars.forEach(({ row, value }, i) => {
      const probability = probabilities?.[i] ?? 0;
      row.style.setProperty('--share', String(probability));
      row.classList.toggle('best', probability === best);
      value.textContent = probabilities === null ? '–' : percent(probability);
    });
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

interface Rank {
  readonly digit: number;
  readonly value: number;
}

function answerOf(digits: readonly ReadDigit[]): string {
  const ranked = digits.map(({ probabilities }) => probabilities && ranksOf(probabilities));
  if (ranked.some((ranks) => ranks === null)) return 'This network computes infinite values: its training diverged.';
  const ranks = ranked as (readonly [Rank, Rank])[];
  const [[first, second]] = ranks as [readonly [Rank, Rank]];
  const text = ({ digit, value }: Rank): string => `${String(digit)}, ${percent(value)}`;
  if (ranks.length === 1) {
    return `This ${isUncertain(first.value) ? 'may be' : 'is'} a ${text(first)}. Next: ${text(second)}.`;
  }
  const number = ranks.map(([{ digit }]) => String(digit)).join('');
  const doubts = ranks
    .filter(([{ value }]) => isUncertain(value))
    .map(([likeliest, next]) => ` The ${text(likeliest)}, may be a ${String(next.digit)}.`);
  return `This is ${number}.${doubts.join('')}`;
}

/** The likeliest two. */
function ranksOf(probabilities: readonly number[]): readonly [Rank, Rank] {
  const ranks = Array.from(probabilities, (value, digit) => ({ digit, value })).sort((a, b) => b.value - a.value);
  return ranks.slice(0, 2) as [Rank, Rank];
}

/** The digits as the network sees them, side by side: one of them is chosen, whose probabilities the bars show. */
import { imagePixels, imageSize } from '../../shared/model/network.js';
import { contextOf, element } from '../elements.js';

export interface ReadDigit {
  /** uint8 [784] */
  readonly row: Uint8Array;
  /** Of the ten digits; null where the network has no answer. */
  readonly probabilities: readonly number[] | null;
}

interface Tile {
  readonly button: HTMLButtonElement;
  readonly context: CanvasRenderingContext2D;
}

export class DigitStrip {
  readonly #strip = element('digits', HTMLElement);
  readonly #choose: (digit: ReadDigit | null) => void;
  readonly #tiles: Tile[] = [];
  #digits: readonly ReadDigit[] = [];
  #chosen = 0;

  /** @param choose called with the digit that is chosen, whenever it may have changed; with null where there is none */
  constructor(choose: (digit: ReadDigit | null) => void) {
    this.#choose = choose;
    this.#tile(0);
  }

  /** Shows these, from left to right; none as one empty picture. */
  show(digits: readonly ReadDigit[]): void {
    this.#digits = digits;
    this.#chosen = Math.max(0, Math.min(this.#chosen, digits.length - 1));
    const count = Math.max(1, digits.length);
    for (let i = 0; i < Math.max(count, this.#tiles.length); i++) {
      const { button, context } = this.#tile(i);
      button.hidden = i >= count;
      draw(context, digits[i]?.row);
      button.setAttribute('aria-label', nameOf(digits[i], i, count));
    }
    this.#update();
  }

  #tile(index: number): Tile {
    const existing = this.#tiles[index];
    if (existing !== undefined) return existing;
    const button = Object.assign(document.createElement('button'), { type: 'button', className: 'digit' });
    const canvas = Object.assign(document.createElement('canvas'), { width: imageSize, height: imageSize });
    button.append(canvas);
    button.addEventListener('click', () => {
      this.#chosen = index;
      this.#update();
    });
    this.#strip.append(button);
    const tile = { button, context: contextOf(canvas) };
    this.#tiles.push(tile);
    return tile;
  }

  #update(): void {
    this.#tiles.forEach(({ button }, i) => {
      button.setAttribute('aria-pressed', String(i === this.#chosen));
      // One alone is no choice.
      button.disabled = this.#digits.length < 2;
    });
    this.#choose(this.#digits[this.#chosen] ?? null);
  }
}

function nameOf(digit: ReadDigit | undefined, index: number, count: number): string {
  if (digit === undefined) return 'What the network sees: nothing yet';
  const place = count === 1 ? 'The digit' : `Digit ${String(index + 1)} of ${String(count)}`;
  if (digit.probabilities === null) return `${place} as the network sees it`;
  const best = digit.probabilities.indexOf(Math.max(...digit.probabilities));
  return `${place} as the network sees it: ${String(best)}`;
}

function draw(context: CanvasRenderingContext2D, row: Uint8Array | undefined): void {
  const image = new ImageData(imageSize, imageSize);
  for (let pixel = 0; pixel < imagePixels; pixel++) {
    image.data.set([255, 255, 255, row?.[pixel] ?? 0], 4 * pixel);
  }
  context.putImageData(image, 0, 0);
}

/**
 * What is drawn on, by mouse, finger, pen or keyboard. Ink is white on nothing: the style sheet turns it dark where the page
 * is light.
 */
import type { GreyPicture } from '../../images/grey.js';
import { contextOf, element, hiddenContext, setText } from '../elements.js';

const size = 280;
const strokeWidth = 22;
/** What is read is half as large: finding the ink takes time by the pixel. */
const pictureSize = 140;
const keyStep = 10;

interface Point {
  readonly x: number;
  readonly y: number;
}

const directions: Readonly<Record<string, Point>> = {
  ArrowLeft: { x: -keyStep, y: 0 },
  ArrowRight: { x: keyStep, y: 0 },
  ArrowUp: { x: 0, y: -keyStep },
  ArrowDown: { x: 0, y: keyStep },
};

export interface PadEvents {
  /** Ink was added, or all of it taken away. */
  readonly changed: () => void;
  /** A stroke has ended, or all ink was taken away: time to say what it shows. */
  readonly settled: () => void;
}

export class DrawingPad {
  readonly #canvas = element('pad', HTMLCanvasElement);
  readonly #context = contextOf(this.#canvas);
  readonly #ink = hiddenContext(size);
  readonly #small = hiddenContext(pictureSize);
  readonly #events: PadEvents;
  /** Where the pointer that draws was last; null while none draws. */
  #last: Point | null = null;
  /** The keyboard's pen. */
  #pen: Point = { x: size / 2, y: size / 4 };
  #penDown = false;
  #empty = true;

  constructor(events: PadEvents) {
    this.#events = events;
    this.#ink.lineWidth = strokeWidth;
    this.#ink.lineCap = 'round';
    this.#ink.lineJoin = 'round';
    this.#ink.strokeStyle = 'white';
    const pad = this.#canvas;
    pad.addEventListener('pointerdown', (event) => {
      this.#pointerDown(event);
    });
    pad.addEventListener('pointermove', (event) => {
      this.#pointerMove(event);
    });
    for (const name of ['pointerup', 'pointercancel'] as const) {
      pad.addEventListener(name, () => {
        this.#pointerUp();
      });
    }
    pad.addEventListener('keydown', (event) => {
      this.#key(event);
    });
    for (const name of ['focus', 'blur'] as const) {
      pad.addEventListener(name, () => {
        this.#show();
      });
    }
    element('clear', HTMLButtonElement).addEventListener('click', () => {
      this.clear();
    });
  }

  /** The drawing, white on black; null where there is none. */
  picture(): GreyPicture | null {
    if (this.#empty) return null;
    this.#small.clearRect(0, 0, pictureSize, pictureSize);
    this.#small.drawImage(this.#ink.canvas, 0, 0, pictureSize, pictureSize);
    const { data } = this.#small.getImageData(0, 0, pictureSize, pictureSize);
    const pixels = Uint8Array.from({ length: pictureSize * pictureSize }, (_, i) => data[4 * i + 3] ?? 0);
    return { width: pictureSize, height: pictureSize, pixels };
  }

  clear(): void {
    this.#empty = true;
    this.#penDown = false;
    this.#ink.clearRect(0, 0, size, size);
    this.#show();
    this.#events.changed();
    this.#events.settled();
  }

  #pointerDown(event: PointerEvent): void {
    if (event.button !== 0 || !event.isPrimary) return;
    this.#canvas.setPointerCapture(event.pointerId);
    this.#last = this.#placeOf(event);
    this.#stroke(this.#last, this.#last);
  }

  #pointerMove(event: PointerEvent): void {
    if (!event.isPrimary) return;
    // Of all that the pointer passed since the last frame; some browsers do not tell.
    const parts = event.getCoalescedEvents();
    for (const part of parts.length > 0 ? parts : [event]) {
      if (this.#last === null) return;
      const place = this.#placeOf(part);
      this.#stroke(this.#last, place);
      this.#last = place;
    }
  }

  #pointerUp(): void {
    if (this.#last === null) return;
    this.#last = null;
    this.#events.settled();
  }

  #placeOf({ clientX, clientY }: PointerEvent): Point {
    const { left, top, width, height } = this.#canvas.getBoundingClientRect();
    return { x: ((clientX - left) * size) / width, y: ((clientY - top) * size) / height };
  }

  #key(event: KeyboardEvent): void {
    const direction = directions[event.key];
    if (direction !== undefined) this.#movePen(direction);
    else if (event.key === ' ') this.#togglePen();
    else if (event.key === 'Delete' || event.key === 'Backspace') this.clear();
    else return;
    event.preventDefault();
  }

  #movePen({ x, y }: Point): void {
    const before = this.#pen;
    this.#pen = { x: within(before.x + x), y: within(before.y + y) };
    if (this.#penDown) this.#stroke(before, this.#pen);
    this.#show();
  }

  #togglePen(): void {
    this.#penDown = !this.#penDown;
    setText('pen', this.#penDown ? 'Pen down' : 'Pen up');
    if (this.#penDown) this.#stroke(this.#pen, this.#pen);
    else this.#events.settled();
    this.#show();
  }

  #stroke(from: Point, to: Point): void {
    this.#empty = false;
    this.#ink.beginPath();
    this.#ink.moveTo(from.x, from.y);
    this.#ink.lineTo(to.x, to.y);
    this.#ink.stroke();
    this.#show();
    this.#events.changed();
  }

  /** Shows the ink, and the keyboard's pen while keys may move it. */
  #show(): void {
    this.#context.clearRect(0, 0, size, size);
    this.#context.drawImage(this.#ink.canvas, 0, 0);
    if (!this.#canvas.matches(':focus-visible')) return;
    this.#context.beginPath();
    this.#context.arc(this.#pen.x, this.#pen.y, strokeWidth / 2, 0, 2 * Math.PI);
    this.#context.lineWidth = this.#penDown ? 5 : 2;
    this.#context.strokeStyle = 'grey';
    this.#context.stroke();
  }
}

function within(place: number): number {
  return Math.max(keyStep, Math.min(size - keyStep, place));
}

/** The elements of index.html, by id. */

/** Throws where the page has no such element of that kind. */
export function element<T extends Element>(id: string, kind: new () => T): T {
  const found = document.getElementById(id);
  if (found instanceof kind) return found;
  throw new Error(`the page has no ${kind.name} with the id ${id}`);
}

export function setText(id: string, text: string): void {
  element(id, HTMLElement).textContent = text;
}

export function contextOf(canvas: HTMLCanvasElement): CanvasRenderingContext2D {
  const context = canvas.getContext('2d', { willReadFrequently: true });
  if (context === null) throw new Error('the browser has no 2D canvas');
  return context;
}

/** Of a square canvas that is not on the page. */
export function hiddenContext(size: number): CanvasRenderingContext2D {
  return contextOf(Object.assign(document.createElement('canvas'), { width: size, height: size }));
}

const whole = new Intl.NumberFormat('en');

export function count(value: number): string {
  return whole.format(Math.round(value));
}

export function percent(share: number, digits = 1): string {
  return `${(100 * share).toFixed(digits)} %`;
}

/** HTML as a type of its own: a string becomes markup only by being escaped, so nothing that a user named gets out of its place. */
import { visible } from '../shared/text.js';

/** Markup that may stand on the page as it is. */
export class Markup {
  constructor(readonly source: string) {}
}

/** What a template takes: strings are escaped, lists are joined. */
export type Part = Markup | string | number | readonly Part[];

/** A tagged template: the literal is markup, and each value becomes text or an attribute's value in double quotes. */
export function html(literals: TemplateStringsArray, ...parts: readonly Part[]): Markup {
  return new Markup(literals.map((literal, i) => literal + sourceOf(parts[i] ?? '')).join(''));
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

export function escapeHtml(text: string): string {
  return visible(text).replace(/[&<>"']/g, (character) => entities[character] ?? character);
}

function sourceOf(part: Part): string {
  if (part instanceof Markup) return part.source;
  return typeof part === 'object' ? part.map(sourceOf).join('') : escapeHtml(String(part));
}

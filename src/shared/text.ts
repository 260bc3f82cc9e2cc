/** Words and lines that a person reads, or types into a shell. */

/** Controls, and what changes the direction or the line of the text around it. */
const unprintable = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;
const escapes: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/**
 * A text as one line that cannot move a terminal's cursor, whatever is in it: such as a path, or a field of a file. What is
 * escaped is escaped as in JSON, so JSON stays JSON.
 */
export function visible(text: string): string {
  return text.replaceAll(unprintable, (character) => escapes[character] ?? codeUnits(character));
}

/**
 * A path, or any other text, as one word of a command line: as it is where that will do, else in quotes. It does not begin
 * with a dash, which would make it an option.
 */
export function shellWord(text: string): string {
  const word = text.startsWith('-') ? `./${text}` : text;
  // A path of Windows as all shells take it, which know no other quotes in common.
  if (/^[a-z]:(\\[\w. -]+)*\\?$/i.test(word)) return `"${word}"`;
  if (/^[\w./:@%+=,-]+$/.test(word)) return word;
  if (word.search(unprintable) < 0) return `'${word.replaceAll("'", `'\\''`)}'`;
  // As bash and zsh take it.
  return `$'${word.replaceAll(/[\\']/g, '\\$&').replaceAll(unprintable, bytesOf)}'`;
}

/**
 * An option of the library in a message: a name alone in backticks, or with the name of another one, as in `override: ['lrStep']`. What
 * stands in quotes or in a path is none.
 */
const namedOption = /(?<![^\s(])`([a-z]+(?:[A-Z][a-z]*)*)(?:: \['([a-z]+(?:[A-Z][a-z]*)*)'\])?`(?![\w/])/g;

/** A message with each option that it names, such as `learningRate`, and the value beside it, as `show` has them. */
export function showOptions(text: string, show: (name: string, value?: string) => string): string {
  return text.replaceAll(namedOption, (_, name: string, value?: string) => show(name, value));
}

/** A message as prose, for who gives no options: `learningRate` as "learning rate". */
export function inWords(text: string): string {
  const words = (name: string): string => name.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
  return showOptions(text, (...names) =>
    names
      .map((name = '') => words(name))
      .join(' ')
      .trim(),
  );
}

/** `1 step`, `2 steps`. */
export function counted(count: number, singular: string): string {
  return `${String(count)} ${singular}${count === 1 ? '' : 's'}`;
}

/** Of UTF-8, which is what names are made of in any locale. */
function bytesOf(character: string): string {
  return Array.from(new TextEncoder().encode(character), (byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('');
}

function codeUnits(character: string): string {
  const units = Array.from({ length: character.length }, (_, i) => character.charCodeAt(i));
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('');
}

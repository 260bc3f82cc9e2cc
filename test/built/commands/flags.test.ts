/** The command line's names of the library's options: all have one, messages take them, and nothing but the commands knows them. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { examples } from '../../../src/commands/shell/examples.js';
import { flags, flagsOf, inFlags, trainCommandLine, type CommandName } from '../../../src/commands/shell/flags.js';
import {
  benchmark,
  demo,
  evaluate,
  exportWeights,
  listRuns,
  predict,
  report,
  train,
  verify,
} from '../../../src/index.js';
import { cli } from '../../support/processes/cli.js';
import { operationalError } from '../../support/compute/errors.js';

const commands = Object.keys(flags) as CommandName[];
const names = [...new Set(commands.flatMap((command) => [...flagsOf(command).keys()]))];

/** Options of the library that are none of the command line. */
const withoutFlag = ['onNote', 'onProgress', 'signal', 'showReproduction', 'wantsCheckpoint'];
/** Of the command line alone. */
const ofCommands = ['json', 'quiet', 'words'];

const unknown = { unknown: 1 };
const functions: Readonly<Record<Exclude<CommandName, 'devices'>, () => Promise<unknown>>> = {
  train: () => train(unknown as object).next(),
  eval: () => evaluate(unknown as object),
  predict: () => predict({ files: [], ...unknown }),
  report: () => report(unknown as object),
  export: () => exportWeights({ format: 'onnx', out: 'x', ...unknown }),
  runs: () => listRuns(unknown as object),
  demo: () => demo(unknown as object),
  bench: () => benchmark(unknown as object),
  verify: () => verify(unknown as object),
};

describe.each(Object.entries(functions) as [CommandName, () => Promise<unknown>][])('%s', (command, call) => {
  it('has a flag or an operand for every option of its function, and no other but its own', async () => {
    const { message } = await operationalError(call);
    const options = /there are (.*)$/.exec(message)?.[1]?.split(', ') ?? [];
    expect(options.length).toBeGreaterThan(0);
    const own = [...flagsOf(command).keys()].filter((name) => !ofCommands.includes(name));
    const inOperands = command === 'report' ? ['run', 'committee'] : [];
    const operands = command === 'eval' || command === 'report' ? ['runs'] : [];
    const expected = options.filter((name) => ![...withoutFlag, ...inOperands].includes(name));
    expect(own.sort()).toEqual([...expected, ...operands].sort());
  });

  it('takes each as its help says, and messages name it so', async () => {
    const { stdout } = await cli([command, '--help']);
    for (const [name, { flag, operand }] of flagsOf(command)) {
      const typed = operand === undefined ? `--${flag}` : flag.toUpperCase();
      expect(stdout).toMatch(operand === undefined ? new RegExp(` --${flag} `) : new RegExp(`^ +${flag} `, 'm'));
      expect(
        inFlags(`\`${name}\` is wrong (from \`${name}\`): use fewer \`${name}\`, or another \`${name}\``, command),
      ).toBe(`${typed} is wrong (from ${typed}): use fewer ${typed}, or another ${typed}`);
    }
  });

  it('has examples that it takes', async () => {
    const { stdout } = await cli(['help', command]);
    expect(examples[command].length).toBeGreaterThan(0);
    for (const [words, what] of examples[command]) {
      const text = stdout.replaceAll(/\s+/g, '');
      expect(text).toContain(`mnist-ddp${command}${words}`.replaceAll(/\s+/g, '').slice(0, 20));
      expect(text).toContain(what.split(' ')[0]);
      const known = [...flagsOf(command).values()].map(({ flag }) => `--${flag}`);
      for (const [flag] of words.matchAll(/--[a-z-]+/g)) expect(known).toContain(flag);
    }
  });

  it('has its flags in docs/commands.md', async () => {
    const text = await readFile(join(import.meta.dirname, '../../../docs/commands.md'), 'utf8');
    const synopsis = new RegExp(`^mnist-ddp ${command} .*\\n( {9}.*\\n)*`, 'm').exec(text)?.[0] ?? '';
    const listed = [...synopsis.matchAll(/--([a-z-]+)/g)].map(([, flag]) => flag);
    const own = [...flagsOf(command).values()].filter((flag) => !('operand' in flag));
    expect(listed.sort()).toEqual(own.map(({ flag }) => flag).sort());
  });

  it('has no flag in a message for an option that it lacks', () => {
    for (const name of names.filter((other) => !flagsOf(command).has(other))) {
      expect(inFlags(`another \`${name}\``, command)).toBe(`another ${name}`);
    }
  });
});

it('a command line has the flags of train, and its words are those of a shell', () => {
  expect(trainCommandLine({})).toBe('mnist-ddp train');
  expect(trainCommandLine({ learningRate: 1e-7, batchNorm: 'local', maxSteps: 20, init: "it's.pth" })).toBe(
    `mnist-ddp train --lr 1e-7 --batch-norm local --max-steps 20 --init 'it'\\''s.pth'`,
  );
});

/** Sources, and what else the page is made of. */
async function sourcesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && /\.(ts|html)$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name));
}

it('no flag of a command is written below the commands', async () => {
  const src = join(import.meta.dirname, '../../..', 'src');
  const own = commands
    .flatMap((command) => [...flagsOf(command).values()])
    .filter((flag) => flag.operand === undefined);
  const pattern = new RegExp(`--(${own.map(({ flag }) => flag).join('|')})(?![\\w-])`);
  const found: string[] = [];
  for (const path of await sourcesBelow(src)) {
    if (path.startsWith(join(src, 'commands'))) continue;
    for (const line of (await readFile(path, 'utf8')).split('\n')) {
      // Colours of the page, and what another program takes.
      const rest = line.replaceAll(/var\(--\w+\)|^ *--\w+: |--format=csv/g, '');
      if (pattern.test(rest)) found.push(`${path}: ${line.trim()}`);
    }
  }
  expect(found).toEqual([]);
});

/** `mnist-ddp runs`: lists runs, and compares two. */
import { compareRuns, listRuns, OperationalError, type RunComparison, type RunEntry } from '../index.js';
import { visible } from '../shared/text.js';
import { command } from './shell/command.js';
import { jsonLine, note } from './shell/output.js';

export const runsCommand = command('runs', 'list runs, or compare two', async ({ words, folder, json }) => {
  const [action, ...operands] = words;
  if (action === undefined) {
    const runs = await listRuns({ folder });
    if (runs.length === 0) note(`there are no runs under ${folder ?? 'runs'}; train begins one`);
    process.stdout.write(json ? jsonLine(runs) : runs.length === 0 ? '' : list(runs));
    return;
  }
  const [first, second] = operands;
  if (action !== 'compare' || first === undefined || second === undefined || operands.length > 2) {
    throw new OperationalError(
      'USAGE',
      'runs alone lists them, and runs compare RUN RUN compares two; see mnist-ddp runs --help',
    );
  }
  const comparison = await compareRuns([first, second], { folder });
  process.stdout.write(json ? jsonLine(comparison) : differences(comparison));
});

function list(runs: readonly RunEntry[]): string {
  const validated = runs.some(({ validationAccuracy }) => validationAccuracy !== null);
  const lines = runs.map(({ name, started, state, step, accuracy, validationAccuracy, imagesPerSecond }) => [
    name,
    started === null ? '-' : `${started.slice(0, 10)} ${started.slice(11, 16)}`,
    state,
    String(step),
    ...(validated ? [percent(validationAccuracy)] : []),
    percent(accuracy),
    imagesPerSecond === null ? '-' : imagesPerSecond.toFixed(0),
  ]);
  const scores = validated ? ['validation', 'test'] : ['test'];
  return table([['name', 'started (UTC)', 'state', 'steps', ...scores, 'images/s'], ...lines]);
}

function percent(value: number | null): string {
  return value === null ? '-' : `${value.toFixed(2)} %`;
}

function differences({ runs, configuration, result }: RunComparison): string {
  const all = [...configuration, ...result];
  if (all.length === 0) return 'Equal: configuration and result.\n';
  return table([['', ...runs], ...all.map(({ what, values }) => [what, ...values])]);
}

function table(lines: readonly (readonly string[])[]): string {
  const widths = (lines[0] ?? []).map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  const format = (line: readonly string[]): string => line.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('  ');
  return lines.map((line) => `${visible(format(line)).trimEnd()}\n`).join('');
}

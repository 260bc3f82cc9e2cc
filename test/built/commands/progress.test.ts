/** What a person sees while training runs: the text, the display on a terminal and in a pipe, and the real program. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import picocolors from 'picocolors';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  bar,
  createProgressDisplay,
  epochLine,
  formatDuration,
  formatLearningRate,
  liveLine,
  Stopwatch,
  usesUnicode,
  type ProgressDisplay,
  type Style,
} from '../../../src/commands/shell/progress.js';
import { loadCheckpoint, type Progress } from '../../../src/index.js';
import { cli, cliPath } from '../../support/processes/cli.js';
import { temporaryDirectory, writeIdxSet } from '../../support/inputs/idx-files.js';
import { Terminal } from '../../support/processes/terminal.js';

const progress: Progress = {
  phase: 'training',
  step: 1150,
  lastStep: 6097,
  epoch: 3,
  epochs: 13,
  stepInEpoch: 212,
  stepsPerEpoch: 469,
  loss: 1.47021,
  recentLoss: 1.5,
  learningRate: 1e-3,
  imagesPerSecond: 938.4,
};
const [plain, coloured] = [picocolors.createColors(false), picocolors.createColors(true)];
const wide: Style = { width: 200, unicode: true, colours: plain };

describe('the live line', () => {
  it('shows place, speed, loss, learning rate and time left', () => {
    expect(liveLine(progress, 692, wide)).toBe(
      `Epoch 3/13 ${'━'.repeat(14)}╸${'─'.repeat(17)} 212/469  938 images/s  loss 1.4702  lr 1e-3  ETA 11:32`,
    );
    expect(liveLine(progress, 692, { ...wide, unicode: false })).toContain(`[${'#'.repeat(13)}${'-'.repeat(17)}]`);
    expect(liveLine({ ...progress, phase: 'evaluation' }, 692, wide)).toMatch(/ {2}lr 1e-3 {2}evaluating$/);
  });

  it('never exceeds the width, and loses its fields from the right', () => {
    const fields = ['ETA', 'lr', 'loss', 'images/s', '212/469', 'Epoch 3/13'];
    let seen = 0;
    for (let width = 200; width >= 20; width--) {
      for (const unicode of [true, false]) {
        const line = stripVTControlCharacters(liveLine(progress, 4e5, { width, unicode, colours: coloured }));
        expect(line.length).toBeLessThanOrEqual(width);
        const kept = fields.map((field) => line.includes(field));
        expect(kept.lastIndexOf(false)).toBe(kept.indexOf(true) - 1);
        seen |= 1 << kept.indexOf(true);
      }
    }
    // Each of the fields has gone at some width, but for the place, which fits into 20 columns.
    expect(seen).toBe(0b11111);
    for (let width = 0; width < 20; width++) {
      expect(liveLine(progress, NaN, { ...wide, width }).length).toBeLessThanOrEqual(width);
    }
  });

  it('counts to where the run leaves the epoch', () => {
    const count = (lastStep: number): string | undefined =>
      / (\d+\/\d+) {2}/.exec(liveLine({ ...progress, lastStep }, NaN, wide))?.[1];
    expect(count(1150 + 100)).toBe('212/312');
    expect(liveLine({ ...progress, lastStep: 1150 }, NaN, wide)).toContain(`${'━'.repeat(32)} 212/212`);
    // To the epoch's end where the run goes on, and never back.
    expect([count(6097), count(1000)]).toEqual(['212/469', '212/212']);
  });

  it('has no field for what is not known yet, and says NaN where the loss is', () => {
    const first = liveLine({ ...progress, loss: null, imagesPerSecond: 0 }, NaN, wide);
    expect(first).toMatch(/ 212\/469 {2}lr 1e-3$/);
    expect(liveLine({ ...progress, loss: NaN }, Infinity, wide)).toMatch(/ {2}loss NaN {2}lr 1e-3$/);
  });

  it('has a bar of exactly its width, empty at 0 and full at 1', () => {
    for (const unicode of [true, false]) {
      for (let share = -0.5; share <= 1.5; share += 0.01) {
        expect(bar(share, 20, { unicode, colours: plain })).toHaveLength(20);
      }
    }
    expect(bar(0, 4, { unicode: true, colours: plain })).toBe('────');
    expect(bar(1, 4, { unicode: true, colours: plain })).toBe('━━━━');
    expect(bar(1, 6, { unicode: false, colours: plain })).toBe('[####]');
  });
});

describe('the line of an epoch', () => {
  const figures = { ...progress, stepInEpoch: 469, seconds: 51.2, split: 'test' as const, accuracy: 99.314 };

  it('sums the epoch up', () => {
    expect(epochLine(figures, wide)).toBe('Epoch 3/13: test accuracy 99.31 %, loss 1.4702, 938 images/s, 51 s');
    expect(epochLine({ ...figures, split: 'validation' }, wide)).toMatch(
      'Epoch 3/13: validation accuracy 99.31 %, loss',
    );
    expect(epochLine({ ...figures, seconds: 3723 }, wide)).toMatch(/, 1:02:03$/);
  });

  it('says where it ends within an epoch, and leaves out what was not trained', () => {
    const part = { ...figures, stepInEpoch: 20, loss: null, imagesPerSecond: NaN, seconds: 0 };
    expect(epochLine(part, wide)).toBe('Epoch 3/13, step 20/469: test accuracy 99.31 %');
  });

  it('never exceeds the width', () => {
    for (let width = 0; width <= 200; width++) {
      const line = stripVTControlCharacters(epochLine(figures, { width, unicode: true, colours: coloured }));
      expect(line.length).toBeLessThanOrEqual(width);
      if (width >= 34) expect(line).toContain('test accuracy 99.31 %');
    }
  });
});

describe('figures', () => {
  it.each([
    [0, '0:00'],
    [9.6, '0:10'],
    [692, '11:32'],
    [3599.7, '1:00:00'],
    [3723, '1:02:03'],
    [400_000, '111:06:40'],
  ])('%d seconds are %s', (seconds, text) => {
    expect(formatDuration(seconds)).toBe(text);
  });

  it.each([
    [1e-3, '1e-3'],
    [1e-3 * 0.1 * 0.1, '1e-5'],
    [0.00025, '2.5e-4'],
    [0, '0e+0'],
  ])('the learning rate %d is %s', (rate, text) => {
    expect(formatLearningRate(rate)).toBe(text);
  });

  it('are means of the epoch, by steps over their time, and the time left counts pauses', () => {
    const stopwatch = new Stopwatch();
    expect(stopwatch.secondsLeft(progress)).toBeNaN();
    const at = (step: number, imagesPerSecond: number, ms: number): void => {
      stopwatch.observe({ ...progress, step, lastStep: 100, imagesPerSecond }, ms);
    };
    at(10, 50, 1000);
    expect(stopwatch.secondsLeft({ ...progress, step: 10, lastStep: 100 })).toBeNaN();
    at(20, 100, 2000);
    at(40, 50, 6000);
    // 10 steps at 100 and 20 at 50 images/s, were steps of one image, take 0.5 s.
    expect(stopwatch.epoch()).toEqual({ imagesPerSecond: 60, seconds: 5 });
    stopwatch.startEpoch(10_000);
    at(60, 200, 11_000);
    expect(stopwatch.epoch()).toEqual({ imagesPerSecond: 200, seconds: 1 });
    expect(stopwatch.secondsLeft({ ...progress, step: 60, lastStep: 100 })).toBe(8);
  });

  it.each([
    [{}, true],
    [{ LANG: 'en_GB.UTF-8' }, true],
    [{ LANG: 'en_GB.UTF-8', LC_ALL: 'C' }, false],
    [{ LANG: 'C', LC_CTYPE: 'C.utf8' }, true],
    [{ LANG: 'POSIX' }, false],
    [{ LANG: 'en_GB.UTF-8', TERM: 'linux' }, false],
  ])('are drawn in Unicode where the environment is %j: %s', (env, unicode) => {
    expect(usesUnicode(env)).toBe(unicode);
  });
});

interface Recorded {
  readonly display: ProgressDisplay;
  readonly terminal: Terminal;
  /** All that was written, in order, and what of it went to stdout. */
  output: string;
  stdout: string;
}

/**
 * A display whose streams are recorded, and whose clock goes a second on whenever it is looked at; stdout and stderr are
 * the same terminal where it is one.
 */
function recorded(options: {
  terminal: boolean;
  reflows?: boolean;
  quiet?: boolean;
  env?: Record<string, string>;
}): Recorded {
  const terminal = new Terminal(80, options.reflows);
  const stream = (write: (text: string) => void): NodeJS.WriteStream => {
    const fields = {
      isTTY: options.terminal,
      get columns() {
        return terminal.columns;
      },
      rows: 24,
      write,
    };
    return fields as unknown as NodeJS.WriteStream;
  };
  const record = (text: string): void => {
    const onTerminal = text.replaceAll('\n', '\r\n');
    result.output += onTerminal;
    terminal.write(onTerminal);
  };
  let ms = 0;
  const result: Recorded = {
    terminal,
    output: '',
    stdout: '',
    display: createProgressDisplay({
      stdout: stream((text) => {
        record(text);
        result.stdout += text;
      }),
      stderr: stream(record),
      env: options.env ?? {},
      quiet: options.quiet ?? false,
      now: () => (ms += 1000),
    }),
  };
  return result;
}

/** Two epochs with all that can come between. */
function play({ line, note, warn, update, evaluated, close }: ProgressDisplay): void {
  line('Training:');
  note('2 workers');
  for (const epoch of [1, 2]) {
    for (const stepInEpoch of [1, 100, 200, 469]) {
      update({ ...progress, epoch, stepInEpoch, step: stepInEpoch + 469 * (epoch - 1) });
      if (stepInEpoch === 100) line(`Epoch [${String(epoch)}/13], Step [100/469]`);
      if (stepInEpoch === 200) warn('rank 1 failed');
    }
    update({ ...progress, epoch, stepInEpoch: 469, phase: 'evaluation' });
    evaluated({ split: 'test', step: 469 * epoch, accuracy: 99 });
  }
  line('Accuracy on test set: 99.00 %');
  close();
  close();
}

const stdoutLines = [
  'Training:',
  'Epoch [1/13], Step [100/469]',
  'Epoch [2/13], Step [100/469]',
  'Accuracy on test set: 99.00 %',
];

describe('the display', () => {
  it('rewrites one line on a terminal, which is above all others and leaves one line an epoch', () => {
    const run = recorded({ terminal: true });
    play(run.display);
    const epoch = (number: number, time: string): string =>
      `Epoch ${String(number)}/13: test accuracy 99.00 %, loss 1.4702, 938 images/s, ${time}`;
    const [training = '', first = '', second = '', accuracy = ''] = stdoutLines;
    expect(run.terminal.screen).toEqual([
      training,
      '2 workers',
      first,
      'rank 1 failed',
      epoch(1, '4 s'),
      second,
      'rank 1 failed',
      epoch(2, '5 s'),
      accuracy,
    ]);
    expect(stripVTControlCharacters(run.output).match(/━ 469\/469 .* evaluating/g)).toHaveLength(2);
    expect(run.stdout).toBe(`${stdoutLines.join('\n')}\n`);
  });

  it('leaves the live line as it is where it is closed in the middle of an epoch', () => {
    const run = recorded({ terminal: true });
    run.display.update(progress);
    run.display.update({ ...progress, stepInEpoch: 250 });
    run.display.close();
    run.display.warn('stopped');
    expect(run.terminal.screen).toEqual([expect.stringMatching(/^Epoch 3\/13 .* 250\/469 /), 'stopped']);
  });

  it.each([
    ['breaks lines', true],
    ['cuts lines', false],
  ])('leaves nothing behind where the window narrows, and takes nothing above: a terminal that %s', (_how, reflows) => {
    const run = recorded({ terminal: true, reflows });
    const { display, terminal } = run;
    display.line('Training:');
    display.note('2 workers');
    for (const [i, columns] of [80, 50, 30, 20, 61, 24].entries()) {
      terminal.resize(columns);
      display.update({ ...progress, stepInEpoch: 100 + i });
      expect(terminal.screen).toEqual([
        'Training:',
        '2 workers',
        expect.stringMatching(`Epoch 3/13 .*${String(100 + i)}`),
      ]);
    }
    terminal.resize(12);
    display.line('a line');
    terminal.resize(40);
    terminal.resize(25);
    display.close();
    display.note('stopped');
    expect(terminal.screen).toEqual([
      ...['Training:', '2 workers', 'a line'],
      expect.stringMatching(/^Epoch 3\/13 105\/469$/),
      'stopped',
    ]);
  });

  it('shows control characters of what it is given, so that no text moves the cursor or makes a line of its own', () => {
    const run = recorded({ terminal: true });
    run.display.note('writing to a\x1b[2J\nb\r\x9b1Ac\u202e');
    expect(run.terminal.screen).toEqual(['writing to a\\u001b[2J\\nb\\r\\u009b1Ac\\u202e']);
  });

  it.each([
    [{}, true],
    [{ NO_COLOR: '' }, true],
    [{ NO_COLOR: '1' }, false],
    [{ NO_COLOR: '1', FORCE_COLOR: '1' }, false],
  ])('has colours on a terminal where the environment is %j: %s', (env, colours) => {
    const run = recorded({ terminal: true, env });
    play(run.display);
    expect(/\x1b\[[\d;]*m/.test(run.output)).toBe(colours);
    expect(run.output).toContain('━');
  });

  it.each([
    ['in a pipe', { terminal: false }],
    ['on a dumb terminal', { terminal: true, env: { TERM: 'dumb' } }],
  ])('writes whole lines %s: no control characters, one line an epoch', (_where, options) => {
    const run = recorded(options);
    play(run.display);
    expect(run.output.replaceAll('\r\n', '')).not.toMatch(/[\x00-\x1f\x7f-\x9f]/);
    const lines = run.output.split('\r\n');
    expect(lines.filter((line) => line.includes('test accuracy'))).toHaveLength(2);
    expect(lines).toHaveLength(stdoutLines.length + 1 + 2 + 2 + 1);
    expect(run.stdout).toBe(`${stdoutLines.join('\n')}\n`);
  });

  it.each([true, false])('shows warnings alone where it is quiet (terminal: %s)', (terminal) => {
    const run = recorded({ terminal, quiet: true });
    play(run.display);
    expect(run.output.replaceAll('\r\n', '\n')).toBe(
      `${stdoutLines.slice(0, 2).join('\n')}\nrank 1 failed\n${stdoutLines[2] ?? ''}\nrank 1 failed\n${stdoutLines[3] ?? ''}\n`,
    );
    expect(run.stdout).toBe(`${stdoutLines.join('\n')}\n`);
  });
});

describe('mnist-ddp train', () => {
  let directory: string;
  let remove: () => Promise<void>;
  let data: string;
  let runs = 0;
  beforeAll(async () => {
    ({ directory, remove } = await temporaryDirectory());
    await mkdir(join(directory, 'data'));
    data = await writeIdxSet(join(directory, 'data'), 202, 20);
  });
  afterAll(async () => {
    await remove();
  });

  const train = (epochs = '2'): { out: string; args: string[] } => {
    const out = join(directory, `run ${String(runs++)}`);
    const sizes = ['--batch-size', '2', '--micro-batch', '1', '--workers', '2'];
    return { out, args: ['train', '--data', data, '--out', out, '--epochs', epochs, ...sizes] };
  };
  const expected = [
    /^Using device: cpu$/,
    /^Training:$/,
    /^Epoch \[1\/2\], Step \[100\/101\], Loss: \d\.\d{4}, Learning Rate: 0\.001\d+$/,
    /^Epoch \[2\/2\], Step \[100\/101\], Loss: \d\.\d{4}, Learning Rate: 0\.001\d+$/,
    /^Accuracy on test set: \d+\.\d\d %$/,
  ];
  const epochs = [1, 2].map(
    (epoch) =>
      new RegExp(`^Epoch ${String(epoch)}/2: test accuracy \\d+\\.\\d\\d %, loss \\d\\.\\d{4}, \\d+ images/s, \\d+ s$`),
  );

  it('writes plain lines where stderr is a pipe, and nothing at all with --quiet', async () => {
    const { stdout, stderr, code } = await cli(train().args);
    expect([code, stdout.trimEnd().split('\n')]).toEqual([
      0,
      expected.map((line) => expect.stringMatching(line) as string),
    ]);
    const [note, ...rest] = stderr.trimEnd().split('\n');
    expect(note).toContain('2 workers, engine wasm');
    expect(rest).toEqual(epochs.map((line) => expect.stringMatching(line) as string));
    const quiet = await cli([...train().args, '--quiet']);
    expect(quiet).toEqual({ code: 0, stdout, stderr: '' });
  });

  // A pseudo-terminal without a package: util-linux's script.
  const script = spawnSync('script', ['--version'], { encoding: 'utf8' });
  const hasTerminal = (script.stdout || '').includes('util-linux');
  if (!hasTerminal) console.warn("terminal tests skipped: util-linux's script is not installed");
  const onTerminal = hasTerminal ? it : it.skip;
  const shell = (args: readonly string[]): string =>
    `stty cols 80 rows 24; exec ${[process.execPath, cliPath, ...args].map((word) => `'${word}'`).join(' ')}`;

  onTerminal.each(['', '1'])('keeps one line an epoch on a terminal of 80 columns; NO_COLOR=%j', async (noColour) => {
    const environment = { ...process.env, TERM: 'xterm-256color', LC_ALL: 'C.UTF-8', NO_COLOR: noColour };
    const child = spawn('script', ['-qec', shell(train().args), '/dev/null'], {
      env: environment,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    const [code] = (await once(child, 'close')) as [number];
    expect(code).toBe(0);
    const terminal = new Terminal(80);
    terminal.write(output);
    const shown = terminal.screen.filter((line) => line !== '');
    // The first note may be longer than a line.
    const lines = shown.slice(shown.findIndex((line) => line.startsWith('Using device')));
    const order = [0, 1, 2, 3, 4].map((i) => expected[i]);
    const [first, second] = epochs;
    expect(lines.filter((line) => !/^\d+ workers|writing to|^[^ ]*run \d+$/.test(line))).toEqual(
      [order[0], order[1], order[2], first, order[3], second, order[4]].map(
        (line) => expect.stringMatching(line ?? /^$/) as string,
      ),
    );
    expect(output).toMatch(/Epoch 1\/2.*[━─]+.* \d+\/101 {2}\d+ images\/s {2}loss \d/);
    expect(/\x1b\[[\d;]*m/.test(output)).toBe(noColour === '');
  });

  onTerminal('saves a checkpoint and ends where its terminal is closed', async () => {
    const { out, args } = train('500');
    const child = spawn('script', ['-qec', shell(args), '/dev/null'], {
      env: { ...process.env, TERM: 'xterm' },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    let output = '';
    for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
      output += chunk.toString();
      if (output.includes('images/s')) break;
    }
    expect(output).toContain('images/s');
    // The end of script closes its side of the terminal; the run goes on without one, and without a parent.
    child.kill('SIGKILL');
    for (let i = 0; i < 300 && !(await readdir(out)).includes('checkpoint.msgpack'); i++) {
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    const { step } = await loadCheckpoint(out);
    expect(step).toBeGreaterThan(0);
    expect(step).toBeLessThan(101);
  });
});

/** `mnist-ddp predict`: says which digits pictures show. */
import { existsSync } from 'node:fs';
import type { CommandModule } from 'yargs';
import { OperationalError, predict, type DigitPrediction, type Prediction } from '../index.js';
import { visible } from '../shared/text.js';
import { command } from './shell/command.js';
import { jsonLine, note } from './shell/output.js';

/** @param setExitCode called with 1 where a picture could not be read */
export function predictCommand(setExitCode: (code: number) => void): CommandModule {
  return command('predict', 'say which digits pictures show', async ({ json, checkpoint, ...options }) => {
    const checkpoints = checkpoint === undefined ? undefined : namesIn(checkpoint);
    const predictions = await predict({ ...options, checkpoint: checkpoints, onNote: note });
    process.stdout.write(json ? jsonLine(predictions.map(rounded)) : table(predictions));
    for (const { error } of predictions) {
      if (error === null) continue;
      setExitCode(1);
      note(`mnist-ddp: ${error.message}`);
    }
  });
}

/** Names with commas between; one that is there as it stands is one. */
function namesIn(text: string): string[] {
  if (existsSync(text)) return [text];
  const names = text.split(',').map((name) => name.trim());
  if (!names.includes('')) return names;
  throw new OperationalError('USAGE', `--checkpoint takes runs or files, with commas between, not "${text}"`);
}

/** The probabilities to six decimals, which is what float32 holds near 1. */
function rounded(prediction: Prediction): Prediction {
  const digits = prediction.digits.map((digit) => ({
    ...digit,
    probabilities: digit.probabilities.map((value) => Number(value.toFixed(6))),
  }));
  return { ...prediction, digits };
}

/** A line for each picture that was read: where it is, and the number. */
function table(predictions: readonly Prediction[]): string {
  const read = predictions.filter(({ error }) => error === null);
  const names = read.map(({ file, row }) => visible(row === null ? file : `${file}#${String(row)}`));
  const width = names.reduce((most, name) => Math.max(most, name.length), 0);
  return read.map(({ digits }, i) => `${(names[i] ?? '').padEnd(width)}  ${described(digits)}\n`).join('');
}

/**
 * One digit, its probability, and in brackets the next two; of several the number, and in brackets each with its probability.
 * What is uncertain is marked in the end, in a number with what each such digit may be instead.
 */
function described(digits: readonly DigitPrediction[]): string {
  const ranked = digits.map(({ probabilities }) =>
    [...probabilities.entries()].sort(([, a], [, b]) => b - a).map(([digit, value]) => ({ digit, value })),
  );
  const [first = []] = ranked;
  const [best, ...others] = first.slice(0, 3).map(shown);
  if (digits.length === 1) {
    return `${best ?? ''}  (${others.join(', ')})${digits[0]?.uncertain === true ? '  uncertain' : ''}`;
  }
  const number = digits.map(({ digit }) => String(digit)).join('');
  const doubts = ranked.flatMap(([likeliest, second], i) =>
    digits[i]?.uncertain === true ? [`${String(likeliest?.digit)} may be ${String(second?.digit)}`] : [],
  );
  const parts = ranked.flatMap(([likeliest]) => (likeliest === undefined ? [] : [shown(likeliest)]));
  return `${number}  (${parts.join(', ')})${doubts.length > 0 ? `  uncertain: ${doubts.join(', ')}` : ''}`;
}

function shown({ digit, value }: { digit: number; value: number }): string {
  return `${String(digit)} ${(100 * value).toFixed(1).padStart(5)} %`;
}

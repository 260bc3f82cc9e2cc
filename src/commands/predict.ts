/** `mnist-ddp predict`: says which digits pictures show. */
import { predict, type Prediction } from '../index.js';
import { visible } from '../shared/text.js';
import { command } from './shell/command.js';
import { jsonLine, note } from './shell/output.js';

export const predictCommand = command('predict', 'say which digits pictures show', async ({ json, ...options }) => {
  const predictions = await predict({ ...options, onNote: note });
  process.stdout.write(json ? jsonLine(predictions.map(rounded)) : table(predictions));
});

/** The probabilities to six decimals, which is what float32 holds near 1. */
function rounded(prediction: Prediction): Prediction {
  return { ...prediction, probabilities: prediction.probabilities.map((value) => Number(value.toFixed(6))) };
}

/** A line for each picture: where it is, the digit, its probability, and in brackets the next two. */
function table(predictions: readonly Prediction[]): string {
  const names = predictions.map(({ file, row }) => visible(row === null ? file : `${file}#${String(row)}`));
  const width = names.reduce((most, name) => Math.max(most, name.length), 0);
  const lines = predictions.map(({ probabilities }, i) => {
    const ranked = [...probabilities.entries()].sort(([, a], [, b]) => b - a).slice(0, 3);
    const [best, ...others] = ranked.map(([digit, value]) => `${String(digit)} ${percent(value)}`);
    return `${(names[i] ?? '').padEnd(width)}  ${best ?? ''}  (${others.join(', ')})\n`;
  });
  return lines.join('');
}

function percent(probability: number): string {
  return `${(100 * probability).toFixed(1).padStart(5)} %`;
}

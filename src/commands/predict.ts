/** `mnist-ddp predict`: says which digits pictures show. */
import type { CommandModule } from 'yargs';
import { predict, type Prediction, type PredictOptions } from '../index.js';
import { visible } from '../shared/text.js';
import { engineOption, jsonLine, note, once, weightsDescription, workersOption } from './shell/options.js';

interface PredictArguments {
  files: string[];
  checkpoint?: string | undefined;
  rows?: string | undefined;
  workers?: string | undefined;
  engine?: string | undefined;
  json: boolean;
}

export const predictCommand: CommandModule<object, PredictArguments> = {
  command: 'predict <files..>',
  describe: 'say which digits pictures show',
  builder: (yargs) =>
    yargs
      .positional('files', {
        type: 'string',
        array: true,
        demandOption: true,
        describe: 'PNG or JPEG pictures of one digit each, or IDX files of images, plain or .gz',
      })
      .option('checkpoint', { ...once, describe: weightsDescription })
      .option('rows', { ...once, describe: 'rows of the IDX files, from 0, such as 0,5-9 [all]' })
      .option('workers', workersOption)
      .option('engine', engineOption)
      .option('json', { type: 'boolean', default: false, describe: 'print one JSON array' }),
  handler: async ({ files, checkpoint, rows, workers, engine, json }) => {
    const predictions = await predict({
      files,
      checkpoint,
      rows,
      workers: workers as PredictOptions['workers'],
      engine: engine as PredictOptions['engine'],
      onNote: note,
    });
    process.stdout.write(json ? jsonLine(predictions.map(rounded)) : table(predictions));
  },
};

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

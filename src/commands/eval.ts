/** `mnist-ddp eval`: scores a trained network on the test set. */
import type { CommandModule } from 'yargs';
import { evaluate, OperationalError, type EvaluateOptions } from '../index.js';
import { dataOption, engineOption, jsonLine, note, once, weightsDescription, workersOption } from './shell/options.js';

interface EvalArguments {
  run?: string | undefined;
  checkpoint?: string | undefined;
  workers?: string | undefined;
  engine?: string | undefined;
  data?: string | undefined;
  json: boolean;
}

export const evalCommand: CommandModule<object, EvalArguments> = {
  command: 'eval [run]',
  describe: 'score a trained network on the test set',
  builder: (yargs) =>
    yargs
      .positional('run', { type: 'string', describe: weightsDescription })
      .option('checkpoint', { ...once, describe: 'the same as RUN' })
      .option('workers', workersOption)
      .option('engine', engineOption)
      .option('data', dataOption)
      .option('json', { type: 'boolean', default: false, describe: 'print one JSON object' }),
  handler: async ({ run, checkpoint, workers, engine, data, json }) => {
    if (run !== undefined && checkpoint !== undefined) {
      throw new OperationalError('USAGE', 'name the checkpoint once: as RUN or with --checkpoint');
    }
    const result = await evaluate({
      checkpoint: run ?? checkpoint,
      workers: workers as EvaluateOptions['workers'],
      engine: engine as EvaluateOptions['engine'],
      data,
      onNote: note,
    });
    if (json) process.stdout.write(jsonLine(result));
    else {
      const step = result.step === null ? '' : `, step ${String(result.step)}`;
      note(`${result.checkpoint}${step}: ${String(result.correct)} of ${String(result.total)} correct`);
      process.stdout.write(`Accuracy on test set: ${result.accuracy.toFixed(2)} %\n`);
    }
  },
};

/** `mnist-ddp eval`: scores a checkpoint on the test set. */
import type { CommandModule } from 'yargs';
import { evaluate, OperationalError, type EvaluateOptions } from '../index.js';
import { dataOption, engineOption, note, once, workersOption } from './options.js';

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
  describe: 'score a checkpoint on the test set',
  builder: (yargs) =>
    yargs
      .positional('run', { type: 'string', describe: 'run folder or checkpoint [the newest run under runs/]' })
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
    if (json) process.stdout.write(`${JSON.stringify(result)}\n`);
    else {
      note(
        `${result.checkpoint}, step ${String(result.step)}: ${String(result.correct)} of ${String(result.total)} correct`,
      );
      process.stdout.write(`Accuracy on test set: ${result.accuracy.toFixed(2)} %\n`);
    }
  },
};

/** `mnist-ddp report`: writes a run down as one HTML file. */
import type { CommandModule } from 'yargs';
import { report, type ReportOptions } from '../index.js';
import { dataOption, engineOption, nameWritten, note, once, workersOption } from './shell/options.js';

interface ReportArguments {
  run?: string | undefined;
  out?: string | undefined;
  workers?: string | undefined;
  engine?: string | undefined;
  data?: string | undefined;
}

export const reportCommand: CommandModule<object, ReportArguments> = {
  command: 'report [run]',
  describe: 'write curves, confusion matrix and mistakes of a run as one HTML file',
  builder: (yargs) =>
    yargs
      .positional('run', { type: 'string', describe: 'run folder or checkpoint [the newest run under runs/]' })
      .option('out', { ...once, describe: 'the file to write [report.html in the run folder]' })
      .option('workers', workersOption)
      .option('engine', engineOption)
      .option('data', dataOption),
  handler: async ({ run, out, workers, engine, data }) => {
    const written = await report({
      run,
      out,
      workers: workers as ReportOptions['workers'],
      engine: engine as ReportOptions['engine'],
      data,
      onNote: note,
    });
    nameWritten(written.out);
  },
};

/** `mnist-ddp report`: writes a run down as one HTML file. */
import { report } from '../index.js';
import { command } from './shell/command.js';
import { trainCommandLine } from './shell/flags.js';
import { nameWritten, note } from './shell/output.js';

export const reportCommand = command(
  'report',
  'write curves, confusion matrix and mistakes of a run as one HTML file',
  async ({ runs, ...options }) => {
    const [run, ...committee] = runs;
    const written = await report({ ...options, run, committee, showReproduction: trainCommandLine, onNote: note });
    nameWritten(written.out);
  },
);

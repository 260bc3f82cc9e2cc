/** `mnist-ddp eval`: scores a trained network on the test set. */
import { evaluate, OperationalError } from '../index.js';
import { command } from './shell/command.js';
import { jsonLine, note } from './shell/output.js';

export const evalCommand = command(
  'eval',
  'score a trained network on the test set',
  async ({ run, checkpoint, json, ...options }) => {
    if (run !== undefined && checkpoint !== undefined) {
      throw new OperationalError('USAGE', 'name the checkpoint once: as RUN or with --checkpoint');
    }
    const result = await evaluate({ ...options, checkpoint: run ?? checkpoint, onNote: note });
    if (json) process.stdout.write(jsonLine(result));
    else {
      const step = result.step === null ? '' : `, step ${String(result.step)}`;
      note(`${result.checkpoint}${step}: ${String(result.correct)} of ${String(result.total)} correct`);
      process.stdout.write(`Accuracy on test set: ${result.accuracy.toFixed(2)} %\n`);
    }
  },
);

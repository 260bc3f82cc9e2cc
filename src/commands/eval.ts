/** `mnist-ddp eval`: scores a trained network, or several as one. */
import { evaluate, evaluateCommittee, OperationalError, type Evaluation } from '../index.js';
import { command } from './shell/command.js';
import { jsonLine, note } from './shell/output.js';

export const evalCommand = command(
  'eval',
  'score a trained network on the test set, or on the rows that its run held out',
  async ({ runs, checkpoint, split, json, ...options }) => {
    if (runs.length > 0 && checkpoint !== undefined) {
      throw new OperationalError('USAGE', 'name the checkpoint once: as RUN or with --checkpoint');
    }
    if (split !== undefined && runs.length > 1) throw new OperationalError('USAGE', '--split is for one run');
    const shared = { ...options, onNote: note };
    const result =
      runs.length > 1
        ? await evaluateCommittee({ ...shared, checkpoints: runs })
        : await evaluate({ ...shared, split, checkpoint: runs[0] ?? checkpoint });
    if (json) {
      process.stdout.write(jsonLine(result));
      return;
    }
    for (const member of 'members' in result ? result.members : [result]) note(scoreOf(member));
    if ('members' in result) {
      const together = `${String(result.members.length)} together: ${String(result.correct)} of ${String(result.total)} correct`;
      note(`${together}; they disagree about ${String(result.disagreements)}`);
    }
    const rows = split === 'validation' ? 'held-out rows' : 'test set';
    process.stdout.write(`Accuracy on ${rows}: ${result.accuracy.toFixed(2)} %\n`);
  },
);

function scoreOf({ checkpoint, step, correct, total }: Evaluation): string {
  return `${checkpoint}${step === null ? '' : `, step ${String(step)}`}: ${String(correct)} of ${String(total)} correct`;
}

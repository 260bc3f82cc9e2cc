/** `mnist-ddp verify`: shows that the number of workers, and stopping and resuming, change no bit. */
import { OperationalError, verify, type Verification } from '../index.js';
import { counted } from '../shared/text.js';
import { command } from './shell/command.js';
import { jsonLine, note } from './shell/output.js';

export const verifyCommand = command(
  'verify',
  'show that any number of workers, stopped and resumed, gives the same bits',
  async ({ json, ...options }) => {
    const result = await verify({ ...options, onNote: note });
    if (result.process > 0) return;
    process.stdout.write(json ? jsonLine(result) : text(result));
    if (!result.equal) {
      throw new OperationalError(
        'BITS_DIFFER',
        'the hashes differ: please report it with your processor and Node version',
      );
    }
  },
);

function text({ dataset, simdBits, steps, rows, golden }: Verification): string {
  const lines = rows.map(({ how, parametersSha256, stateSha256 }) => [how, parametersSha256, stateSha256]);
  if (golden !== null) lines.push(['every machine', golden.parametersSha256, golden.stateSha256]);
  const width = Math.max(...lines.map(([how = '']) => how.length));
  const vectors = simdBits === null ? '' : ` with ${String(simdBits)}-bit vectors`;
  const heading = `${counted(steps, 'step')} on ${dataset}${vectors}; SHA-256 of the parameters, and of the whole state:\n`;
  return heading + lines.map(([how = '', ...hashes]) => `${how.padEnd(width)}  ${hashes.join('  ')}\n`).join('');
}

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

/** A line for each way of training, by the first digits of its hashes; then the hashes, and what comes of it. In 80 columns. */
function text({ dataset, simdBits, steps, rows, golden, equal }: Verification): string {
  const ways = golden === null ? rows : [...rows, { how: 'every machine', ...golden }];
  const width = Math.min(longestName, Math.max(...ways.map(({ how }) => how.length)));
  const lines = ways.map(({ how, parametersSha256, stateSha256 }) => {
    const name = how.length <= width ? how.padEnd(width) : `${how}\n${' '.repeat(width)}`;
    return `${name}  ${parametersSha256.slice(0, shortHash)}  ${stateSha256.slice(0, shortHash)}\n`;
  });
  const vectors = simdBits === null ? '' : ` with ${String(simdBits)}-bit vectors`;
  const heading = `${counted(steps, 'step')} on ${dataset.slice(0, shortHash)}${vectors}; SHA-256 of parameters and state:\n`;
  const expected = golden ?? rows[0];
  const whole = `parameters  ${expected?.parametersSha256 ?? ''}\nwhole state ${expected?.stateSha256 ?? ''}\n`;
  return heading + lines.join('') + whole + verdict(equal, rows.length, golden !== null);
}

/** Characters of a hash that are shown, and of the longest way of training that stands on one line with two of them. */
const [shortHash, longestName] = [12, 52];

function verdict(equal: boolean, ways: number, isGolden: boolean): string {
  if (!equal) return 'DIFFERENT: the bits depend on how they were computed.\n';
  const others = isGolden ? ', and those of every machine' : ' (no golden hashes are known here)';
  return `Equal: ${counted(ways, 'way')} of training, the same bits${others}.\n`;
}

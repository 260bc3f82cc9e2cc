/** `mnist-ddp verify`: shows that the number of workers, and stopping and resuming, change no bit. */
import type { CommandModule } from 'yargs';
import { OperationalError, verify, type Verification } from '../index.js';
import { counted } from '../shared/text.js';
import { dataOption, jsonLine, note, numbersOf, numeric, once } from './shell/options.js';

interface VerifyArguments {
  workers?: string | undefined;
  steps?: number | undefined;
  data?: string | undefined;
  json: boolean;
}

export const verifyCommand: CommandModule<object, VerifyArguments> = {
  command: 'verify',
  describe: 'show that any number of workers, stopped and resumed, gives the same bits',
  builder: (yargs) =>
    yargs
      .option('workers', { ...once, describe: 'numbers of worker threads to compare [1,2,4]' })
      .option('steps', numeric('steps', 'steps to train with each [20]'))
      .option('data', dataOption)
      .option('json', { type: 'boolean', default: false, describe: 'print one JSON object' }),
  handler: async ({ workers, steps, data, json }) => {
    const result = await verify({
      workers: workers === undefined ? undefined : numbersOf(workers),
      steps,
      data,
      onNote: note,
    });
    if (result.process > 0) return;
    process.stdout.write(json ? jsonLine(result) : text(result));
    if (!result.equal) {
      throw new OperationalError(
        'BITS_DIFFER',
        'the hashes differ: please report it with your processor and Node version',
      );
    }
  },
};

function text({ dataset, simdBits, steps, rows, golden }: Verification): string {
  const lines = rows.map(({ how, parametersSha256, stateSha256 }) => [how, parametersSha256, stateSha256]);
  if (golden !== null) lines.push(['every machine', golden.parametersSha256, golden.stateSha256]);
  const width = Math.max(...lines.map(([how = '']) => how.length));
  const vectors = simdBits === null ? '' : ` with ${String(simdBits)}-bit vectors`;
  const heading = `${counted(steps, 'step')} on ${dataset}${vectors}; SHA-256 of the parameters, and of the whole state:\n`;
  return heading + lines.map(([how = '', ...hashes]) => `${how.padEnd(width)}  ${hashes.join('  ')}\n`).join('');
}

/** `mnist-ddp demo`: a page to draw on and to train in. */
import { once as eventOnce } from 'node:events';
import type { CommandModule } from 'yargs';
import { demo } from '../index.js';
import { dataOption, note, numeric, weightsDescription } from './shell/options.js';

interface DemoArguments {
  run?: string | undefined;
  port?: number | undefined;
  data?: string | undefined;
}

export const demoCommand: CommandModule<object, DemoArguments> = {
  command: 'demo [run]',
  describe: 'serve a page, to this machine alone, that reads what one draws and trains in the browser',
  builder: (yargs) =>
    yargs
      .positional('run', { type: 'string', describe: weightsDescription })
      .option('port', numeric('port', 'port on 127.0.0.1 [one that is free]'))
      .option('data', dataOption),
  handler: async ({ run, port, data }) => {
    const { url, network, close } = await demo({ run, port, data, onNote: note });
    const ended = Promise.race((['SIGINT', 'SIGTERM', 'SIGHUP'] as const).map((name) => eventOnce(process, name)));
    process.stdout.write(`${url}\n`);
    const reads = network === null ? 'there is no run yet, so it begins untrained' : `it reads with ${network}`;
    note(`open this page in a browser of this machine; ${reads}; Ctrl-C ends it`);
    await ended;
    await close();
  },
};

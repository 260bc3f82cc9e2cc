/** `mnist-ddp demo`: a page to draw on and to train in. */
import { once } from 'node:events';
import { demo } from '../index.js';
import { command } from './shell/command.js';
import { note } from './shell/output.js';

export const demoCommand = command(
  'demo',
  'serve a page, to this machine alone, that reads what one draws and trains in the browser',
  async (options) => {
    const { url, network, close } = await demo({ ...options, onNote: note });
    const ended = Promise.race((['SIGINT', 'SIGTERM', 'SIGHUP'] as const).map((name) => once(process, name)));
    process.stdout.write(`${url}\n`);
    const reads = network === null ? 'there is no run yet, so it begins untrained' : `it reads with ${network}`;
    note(`open this page in a browser of this machine; ${reads}; Ctrl-C ends it`);
    await ended;
    await close();
  },
);

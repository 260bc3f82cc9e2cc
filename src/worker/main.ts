/** The task of a worker thread, as piscina calls it: Node's side of a rank. */
import type { MessagePort } from 'node:worker_threads';
import { serialiseError } from '../shared/errors.js';
import { packMessage, unpackConfig, type RankReport } from '../shared/protocol.js';
import { plannedFault } from './fault.js';
import { pinThread } from './pin.js';
import { runRank } from './rank.js';

export interface RankTask {
  /** A packed `RankConfig`. */
  readonly config: Uint8Array;
  /** Memory, module and port travel by structured clone. */
  readonly memory: WebAssembly.Memory;
  readonly module: WebAssembly.Module | null;
  /** Where reports go, packed. */
  readonly port: MessagePort;
}

/** Runs one rank to its end. A failure is reported through the port; the promise then resolves. */
export default async function main({ config: packed, memory, module, port }: RankTask): Promise<void> {
  const config = unpackConfig(packed);
  const { rank } = config;
  try {
    if (config.core !== null) {
      const reason = await pinThread(config.core);
      if (reason !== null) port.postMessage(packMessage({ kind: 'note', rank, text: reason }));
    }
    const report = (message: RankReport): void => {
      port.postMessage(packMessage(message));
    };
    await runRank(config, memory, module, report, plannedFault(config));
  } catch (error) {
    port.postMessage(packMessage({ kind: 'failure', rank, error: serialiseError(error, rank) }));
  } finally {
    port.close();
  }
}

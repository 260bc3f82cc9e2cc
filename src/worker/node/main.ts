/** The task of a worker thread, as piscina calls it: Node's side of a rank. */
import type { MessagePort } from 'node:worker_threads';
import { packMessage, unpackConfig, type RankMessage, type RankTask } from '../../shared/group/protocol.js';
import { loadEngine } from '../engines/registry.js';
import { pinThread } from './pin.js';
import { serveRank } from '../rank.js';

/** Runs one rank to its end; its packed messages go to the port, a failure too. */
export default async function main({ port, ...task }: RankTask & { readonly port: MessagePort }): Promise<void> {
  const rankConfig = unpackConfig(task.packed);
  const send = (message: RankMessage): void => {
    port.postMessage(packMessage(message));
  };
  try {
    if (rankConfig.core !== null) {
      const reason = await pinThread(rankConfig.core);
      if (reason !== null) send({ kind: 'note', rank: rankConfig.rank, text: reason });
    }
    await serveRank({ ...task, rankConfig }, await loadEngine(rankConfig.engine), send);
  } finally {
    port.close();
  }
}

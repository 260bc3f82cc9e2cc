/** The script of a Web Worker: a browser's side of a rank. It is sent one task, answers in packed messages, and null at the end. */
import { packMessage, unpackConfig, type RankTask } from '../shared/group/protocol.js';
import { wasmEngine } from '../worker/engines/wasm/wasm-engine.js';
import { serveRank } from '../worker/rank.js';

async function serve(task: RankTask): Promise<void> {
  await serveRank({ ...task, rankConfig: unpackConfig(task.packed) }, wasmEngine, (message) => {
    postMessage(packMessage(message));
  });
  postMessage(null);
}

addEventListener(
  'message',
  ({ data }: MessageEvent<RankTask>) => {
    void serve(data);
  },
  { once: true },
);

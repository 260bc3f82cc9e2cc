/** A trained network over the test split of a data set, on a group of its own. */
import type { OpenDataset } from '../../coordinator/node/dataset-files.js';
import type { Accuracy, TestSplit } from '../../coordinator/session/evaluation.js';
import { nodeHost } from '../../coordinator/node/node-host.js';
import { Session } from '../../coordinator/session/session.js';
import { maxGroupSize, defaultConfig, type Loss } from '../../shared/model/config.js';
import { assert } from '../../shared/errors.js';
import { classes } from '../../shared/model/network.js';
import { leafCount } from '../../shared/sums/tree.js';
import { parseWorkers, resolveGroupSize } from '../../coordinator/node/topology.js';
import type { NetworkState } from '../../coordinator/session/state.js';
import { selectEngine } from '../engines/engines.js';
import { defaultTimeout, ignore, noteEngine, workersOn, type GroupOptions } from '../options.js';

export interface Inference extends Accuracy {
  readonly dataset: string;
  /** Copies: the group is gone. */
  readonly test: TestSplit;
}

/**
 * The same figures with any number of workers. Throws OperationalError.
 * @param loss what rows are scored by: what the network was trained by, where that is known
 */
export async function infer(
  network: NetworkState,
  dataset: OpenDataset,
  options: GroupOptions,
  loss: Loss = defaultConfig.loss,
): Promise<Inference> {
  const leaves = leafCount(dataset.testCount, defaultConfig.microBatch);
  const asked = parseWorkers(options.workers ?? 'auto');
  const most = Math.min(Math.max(1, leaves), maxGroupSize);
  const workers = Math.min(resolveGroupSize(asked, null, null), most);
  const onNote = options.onNote ?? ignore;
  const selected = await selectEngine(options.engine, { workers, onNote });
  noteEngine(selected, onNote);
  const session = await Session.open({
    host: nodeHost,
    engine: selected.engine,
    libraries: selected.libraries,
    // Rows in evaluation mode depend on no batch: the default one shapes the workspaces.
    config: { ...defaultConfig, loss },
    pool: selected.pool,
    groupSize: workersOn(selected, options.workers, workers, most),
    dataset,
    trains: false,
    timeoutMs: 1000 * defaultTimeout,
    onNote,
  });
  try {
    await session.startFrom(network);
    const accuracy = await session.evaluate();
    assert(accuracy !== null, 'nobody stops an inference');
    const { images, labels, probabilities } = session.test;
    const test = { images: images.slice(), labels: labels.slice(), probabilities: probabilities.slice() };
    return { ...accuracy, dataset: session.dataset, test };
  } finally {
    await session.close();
  }
}

/** Of fewer images an accuracy says little. */
const leastRows = 100;

/**
 * Says what may be behind it where a network is hardly better than guessing. Images that lie transposed look like any others
 * to a program; to a network that was trained on upright ones they do not.
 */
export function noteChance(
  { accuracy, total }: Pick<Accuracy, 'accuracy' | 'total'>,
  onNote: (text: string) => void,
): void {
  if (total < leastRows || accuracy >= 200 / classes) return;
  const problem = `${accuracy.toFixed(2)} % is little better than guessing`;
  const reasons = 'on other images than these, or these are not upright (EMNIST stores them transposed)';
  onNote(`warning: ${problem}: the network is hardly trained, or it was trained ${reasons}`);
}

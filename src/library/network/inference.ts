/** A trained network over the test split of a data set, on a group of its own. */
import type { Checkpoint } from '../../coordinator/node/checkpoint-files.js';
import type { OpenDataset } from '../../coordinator/node/dataset-files.js';
import { accuracyOf, type Accuracy, type TestSplit } from '../../coordinator/session/evaluation.js';
import { nodeHost } from '../../coordinator/node/node-host.js';
import { Session } from '../../coordinator/session/session.js';
import { maxGroupSize, defaultConfig, type Loss, type TrainConfig } from '../../shared/model/config.js';
import { assert, at } from '../../shared/errors.js';
import { classes } from '../../shared/model/network.js';
import { leafCount } from '../../shared/sums/tree.js';
import { parseWorkers, resolveGroupSize } from '../../coordinator/node/topology.js';
import type { NetworkState } from '../../coordinator/checkpoint/trained-network.js';
import { selectEngine } from '../engines/engines.js';
import { defaultTimeout, ignore, noteEngine, workersOn, type GroupOptions } from '../options.js';

export interface Inference extends Accuracy {
  readonly dataset: string;
  /** Copies: the group is gone. */
  readonly test: TestSplit;
}

/** A network, and what its rows are scored by: what it was trained by, where that is known. */
export interface ScoredNetwork {
  readonly network: NetworkState;
  readonly loss?: Loss | undefined;
}

/** The same figures with any number of workers. Throws OperationalError. */
export async function infer(network: ScoredNetwork, dataset: OpenDataset, options: GroupOptions): Promise<Inference> {
  return at(await inferEach([network], dataset, options), 0);
}

/** The same of several networks, one after the other on one group. */
export async function inferEach(
  networks: readonly ScoredNetwork[],
  dataset: OpenDataset,
  options: GroupOptions,
): Promise<Inference[]> {
  const session = await openSession(dataset, options);
  try {
    const inferences: Inference[] = [];
    const { images, labels } = session.test;
    const split = { images: images.slice(), labels: labels.slice() };
    for (const { network, loss = defaultConfig.loss } of networks) {
      await session.startFrom(network);
      // Its loss is that of the session.
      assert((await session.evaluate()) !== null, 'nobody stops an inference');
      const test = { ...split, probabilities: session.test.probabilities.slice() };
      inferences.push({ ...accuracyOf(test, loss), dataset: session.dataset, test });
    }
    return inferences;
  } finally {
    await session.close();
  }
}

/** A network on the rows that its run held out, which its configuration says. */
export async function inferHeldOut(
  network: NetworkState,
  { validation, seed, loss }: TrainConfig,
  dataset: OpenDataset,
  options: GroupOptions,
): Promise<Omit<Inference, 'test'>> {
  const session = await openSession(dataset, options, { ...defaultConfig, validation, seed, loss });
  try {
    await session.startFrom(network);
    const accuracy = await session.evaluate('validation');
    assert(accuracy !== null, 'nobody stops an inference');
    return { ...accuracy, dataset: session.dataset };
  } finally {
    await session.close();
  }
}

/** Rows in evaluation mode depend on no batch: the default configuration shapes the workspaces. */
async function openSession(dataset: OpenDataset, options: GroupOptions, config = defaultConfig): Promise<Session> {
  const rows = config.validation === 0 ? dataset.testCount : config.validation;
  const leaves = leafCount(rows, config.microBatch);
  const asked = parseWorkers(options.workers ?? 'auto');
  const most = Math.min(Math.max(1, leaves), maxGroupSize);
  const workers = Math.min(resolveGroupSize(asked, null, null), most);
  const onNote = options.onNote ?? ignore;
  const selected = await selectEngine(options.engine, { workers, onNote });
  noteEngine(selected, onNote);
  return Session.open({
    host: nodeHost,
    engine: selected.engine,
    libraries: selected.libraries,
    config,
    pool: selected.pool,
    groupSize: workersOn(selected, options.workers, workers, most),
    dataset,
    trains: false,
    timeoutMs: 1000 * defaultTimeout,
    onNote,
  });
}

/** Says so where a network is scored on another data set than it was trained on. */
export function noteOtherData(
  { path, checkpoint }: { readonly path: string; readonly checkpoint: Pick<Checkpoint, 'dataset'> | null },
  dataset: string,
  onNote: (text: string) => void,
): void {
  if (checkpoint === null || checkpoint.dataset === dataset) return;
  const message = `${path} was trained on the data set ${checkpoint.dataset}, and is scored here on ${dataset}`;
  onNote(`warning: ${message}; name its folder with \`data\``);
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

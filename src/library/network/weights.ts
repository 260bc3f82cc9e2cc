/** Trained networks from wherever they come: runs, checkpoints, and files of other programs. */
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { ScoredNetwork } from './inference.js';
import { trainedNetwork } from '../../coordinator/checkpoint/trained-network.js';
import {
  isCheckpoint,
  parametersSha256,
  readCheckpoint,
  type Checkpoint,
} from '../../coordinator/node/checkpoint-files.js';
import { filesOfRun, resolveCheckpointPath } from '../../coordinator/node/run-folder.js';
import { followLinks } from '../../files/atomic-file.js';
import { openRegularFile, readRegularFile } from '../../files/regular-file.js';
import { maxWeightsFileBytes, readWeights } from '../../interchange/formats.js';
import type { Weights } from '../../interchange/weights.js';
import { OperationalError, usageError } from '../../shared/errors.js';
import { areTexts, ignore } from '../options.js';

export interface OpenWeights {
  /** The file that they come from. */
  readonly path: string;
  readonly weights: Weights;
  readonly parametersSha256: string;
  /** The checkpoint that they belong to; null for another program's file. */
  readonly checkpoint: Checkpoint | null;
}

/** Reads a checkpoint: a file, or the newest of a run's folder. Throws CHECKPOINT_MISSING or CHECKPOINT_INVALID. */
export async function loadCheckpoint(runOrFile: string): Promise<Checkpoint> {
  if (!areTexts([runOrFile])) throw usageError('a run or a checkpoint is named by a text that is not empty');
  return readCheckpoint(await resolveCheckpointPath(runOrFile));
}

export interface OpenWeightsOptions {
  /** Whether the best network of a run's folder is meant, not the newest. */
  readonly best?: boolean | undefined;
  /** Is told what was left out of a file that holds more than weights. */
  readonly onNote?: ((text: string) => void) | undefined;
}

/** Names of what a file holds besides weights, in a note. */
const maxNamed = 5;

/**
 * Reads a run's folder, a checkpoint, PyTorch's `.pth` or a safetensors file: told apart by their contents, not their names.
 * @throws OperationalError CHECKPOINT_MISSING, CHECKPOINT_INVALID, WEIGHTS_INVALID or USAGE
 */
export async function openWeights(
  runOrFile: string,
  { best = false, onNote = ignore }: OpenWeightsOptions = {},
): Promise<OpenWeights> {
  if (typeof best !== 'boolean') throw usageError(`the option \`best\` is true or false, not ${typeof best}`);
  const path = await resolveCheckpointPath(runOrFile, best);
  // What a folder's checkpoint is, its name tells: were it damaged, the one before it is the advice.
  if (path === runOrFile && (await isForeign(path))) {
    const { prefix, leftOut, ...weights } = await readWeights(path, await readRegularFile(path));
    if (leftOut.length > 0) onNote(`${path}: ${describeChoice(prefix, leftOut)}`);
    return { path, weights, parametersSha256: await parametersSha256(weights.parameters), checkpoint: null };
  }
  const checkpoint = await readCheckpoint(path);
  return { path, weights: weightsOf(checkpoint), parametersSha256: checkpoint.parametersSha256, checkpoint };
}

/** Opens several, one after the other: their notes are in order. */
export async function openEach(runsOrFiles: readonly string[], options: OpenWeightsOptions): Promise<OpenWeights[]> {
  const opened: OpenWeights[] = [];
  for (const runOrFile of runsOrFiles) opened.push(await openWeights(runOrFile, options));
  return opened;
}

/** Files that may not be written over: those of the networks, and all of their runs and of a run in whose folder `out` lies. */
export async function networkFiles(out: string, paths: readonly string[]): Promise<string[]> {
  const folders = new Set([...paths, await followLinks(out)].map((path) => dirname(path)));
  return [...paths, ...(await Promise.all([...folders].map(filesOfRun))).flat()];
}

/** As inference takes it. */
export function scoredNetwork({ weights, checkpoint }: OpenWeights): ScoredNetwork {
  return { network: weights, loss: checkpoint?.config.loss };
}

function describeChoice(prefix: string, leftOut: readonly string[]): string {
  const from = prefix === '' ? 'the weights' : `the weights of ${prefix.replace(/\.$/, '')}`;
  const more = leftOut.length - maxNamed;
  const others = `${leftOut.slice(0, maxNamed).join(', ')}${more > 0 ? ` and ${String(more)} more` : ''}`;
  return `took ${from}, and left out ${others}`;
}

function weightsOf(checkpoint: Checkpoint): Weights {
  return { ...trainedNetwork(checkpoint), batchesTracked: checkpoint.step };
}

/** Whether a file is neither a checkpoint nor unreadable nor empty, which `readCheckpoint` says best. */
async function isForeign(path: string): Promise<boolean> {
  const head = new Uint8Array(8);
  const stats = await stat(path).catch(() => null);
  if (stats?.isFile() !== true || stats.size === 0) return false;
  const handle = await openRegularFile(path).catch(() => null);
  if (handle === null) return false;
  try {
    const { bytesRead } = await handle.read(head, 0, head.length, 0);
    if (isCheckpoint(head.subarray(0, bytesRead))) return false;
  } finally {
    await handle.close();
  }
  if (stats.size <= maxWeightsFileBytes) return true;
  const size = `${String(stats.size)} bytes, more than the weights of this network can take`;
  throw new OperationalError(
    'WEIGHTS_INVALID',
    `${path} has ${size}; name a run, a checkpoint, or a file of its weights`,
  );
}

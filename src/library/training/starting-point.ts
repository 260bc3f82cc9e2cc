/** What training goes on from or begins with, and the folder of its run. */
import { dirname, join } from 'node:path';
import {
  bestName,
  loadablePrevious,
  readCheckpoint,
  type Checkpoint,
} from '../../coordinator/node/checkpoint-files.js';
import { checkpointIn, newestRun, openRunFolder, resolveCheckpointPath } from '../../coordinator/node/run-folder.js';
import { runFolderOf, type RunFolder } from '../../coordinator/node/run-folder.js';
import { recipeOf, resolveConfig } from '../../coordinator/validate.js';
import { leadToSame } from '../../files/atomic-file.js';
import { OperationalError, usageError } from '../../shared/errors.js';
import { defaultConfig, type Recipe, type TrainConfig } from '../../shared/model/config.js';
import { openWeights, type OpenWeights } from '../network/weights.js';
import { ignore } from '../options.js';
import { namedRun } from '../runs.js';
import type { TrainOptions } from './train-options.js';

export interface StartingPoint {
  readonly resumed: OpenCheckpoint | null;
  readonly init: OpenWeights | null;
}

interface OpenCheckpoint {
  readonly path: string;
  /** Of its run; null where it was named as a file that belongs to none. */
  readonly folder: string | null;
  readonly checkpoint: Checkpoint;
}

/** Reads the checkpoint, or the weights, that the options name. Throws OperationalError. */
export async function openStart(options: TrainOptions): Promise<StartingPoint> {
  const { resume, init, onNote } = options;
  if (init !== undefined && resume !== undefined) {
    throw usageError('`init` begins a run and `resume` goes on with one: give one of them');
  }
  if (options.override !== undefined && resume === undefined && options.resumeOrStart !== true) {
    throw usageError('`override` is about a run to go on with: name it with `resume`, or leave `override` out');
  }
  const resumed =
    options.resumeOrStart === true
      ? await openWhatIsThere(options)
      : resume === undefined
        ? null
        : await openCheckpoint(resume === true ? await newestRun() : resume);
  return { resumed, init: init === undefined || resumed !== null ? null : await openWeights(init, { onNote }) };
}

async function openCheckpoint(runOrFile: string): Promise<OpenCheckpoint> {
  const path = await resolveCheckpointPath(runOrFile);
  const folder = path === runOrFile ? await runFolderOf(path) : dirname(path);
  return { path, folder, checkpoint: await readCheckpoint(path) };
}

/** The run in `out`, for `resumeOrStart`: nobody may be there to name the checkpoint before a damaged one. */
async function openWhatIsThere(options: TrainOptions): Promise<OpenCheckpoint | null> {
  const { resume, onNote = ignore } = options;
  const out = outOf(options);
  if (out === undefined)
    throw usageError('`resumeOrStart` needs `out` or `name`, the folder of the run to begin or to go on with');
  if (resume !== undefined) throw usageError('`resume` and `resumeOrStart` exclude each other: give one of them');
  const path = await checkpointIn(out);
  if (path === null) return null;
  try {
    return { path, folder: out, checkpoint: await readCheckpoint(path) };
  } catch (error) {
    const previous = await loadablePrevious(path);
    if (previous === null || !(error instanceof OperationalError)) throw error;
    onNote(`warning: ${error.message}, which this run does`);
    return { path: previous, folder: out, checkpoint: await readCheckpoint(previous) };
  }
}

/**
 * The configuration to train with: that of the checkpoint to go on from, where there is one, and what is asked for must agree with
 * it, the number of epochs excepted where the schedule does not go by it.
 */
export function configOf(resume: Checkpoint | null, options: TrainOptions): TrainConfig {
  const given = Object.fromEntries(Object.keys(defaultConfig).map((key) => [key, options[key as keyof TrainConfig]]));
  const asked = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  const config = resolveConfig({ ...resume?.config, ...recipeOf(options.recipe), ...asked });
  if (resume === null) return config;
  for (const key of Object.keys(defaultConfig) as (keyof TrainConfig)[]) {
    if (key === 'patience' || (key === 'epochs' && config.schedule === 'step')) continue;
    if (options.override?.includes(key) === true) continue;
    if (config[key] === resume.config[key]) continue;
    throw options.recipe === undefined || key in asked
      ? changed(key, resume.config[key], config[key])
      : otherRecipe(options.recipe, key, resume.config[key], config[key]);
  }
  return config;
}

/** The error of a run to resume whose result would be another one. */
export function changed(field: string, was: unknown, is: unknown): OperationalError {
  return new OperationalError(
    'CONFIGURATION_CHANGED',
    `the run to resume has ${field} ${String(was)}, but ${String(is)} was asked for, which would change its result: leave it out, or add \`override: ['${field}']\``,
  );
}

function otherRecipe(recipe: Recipe, key: string, was: unknown, is: unknown): OperationalError {
  return new OperationalError(
    'CONFIGURATION_CHANGED',
    `the run to resume has ${key} ${String(was)}, and the recipe ${recipe} ${String(is)}, which would change its result: leave \`recipe\` out`,
  );
}

/** Opens the folder to write to: `out`, or that of the run to resume, or a new one. Throws OperationalError. */
export async function openFolder(options: TrainOptions, resumed: OpenCheckpoint | null): Promise<RunFolder> {
  const own = resumed?.folder ?? null;
  const directory = outOf(options) ?? own ?? undefined;
  // A resumed run may take its own folder over, but no other run's.
  const goesOn = resumed !== null && own !== null && directory !== undefined && (await leadToSame(directory, own));
  const { takeOver, tensorboard, onNote } = options;
  const loaded = goesOn ? resumed.path : null;
  const folder = await openRunFolder({ out: directory, loaded, takeOver, tensorboard, onNote });
  try {
    if (goesOn) await refuseOvertaken(resumed, folder.directory);
    if (resumed !== null) await bringBest(resumed, goesOn ? null : folder, options);
    return folder;
  } catch (error) {
    await folder.close();
    throw error;
  }
}

/** The checkpoint was read before the folder was this run's: had another run written there since, its steps would be lost. */
async function refuseOvertaken({ path, checkpoint }: OpenCheckpoint, directory: string): Promise<void> {
  const { step, parametersSha256 } = await readCheckpoint(path);
  if (step === checkpoint.step && parametersSha256 === checkpoint.parametersSha256) return;
  throw new OperationalError('OUT_IN_USE', `another run has written to ${directory} just now; resume it again`);
}

/**
 * The best network so far lies beside the checkpoint, and goes with it to another folder; where it does not, that is said.
 * @param folder null where the run goes on in its own, where a kill may have left the network of a later step, which it trains again
 */
async function bringBest(
  { path, checkpoint }: OpenCheckpoint,
  folder: RunFolder | null,
  options: TrainOptions,
): Promise<void> {
  const { best, keepBest } = checkpoint;
  if (best === null || !(keepBest || options.keepBest === true)) return;
  const beside = await readCheckpoint(join(dirname(path), bestName)).catch(() => null);
  if (folder === null && beside !== null) return;
  if (beside?.best?.step === best.step && beside.best.correct === best.correct && beside.best.loss === best.loss) {
    await folder?.writeBest(beside);
    return;
  }
  const epoch = `epoch ${String(best.epoch)}, the best so far,`;
  options.onNote?.(
    `warning: the network of ${epoch} is not beside ${path}: ${bestName} is written by a better one only`,
  );
}

/** The folder that `out` or `name` asks for. */
function outOf({ out, name }: TrainOptions): string | undefined {
  if (name === undefined) return out;
  if (out !== undefined)
    throw usageError('`name` is the name of a folder under runs/, and `out` a folder: give one of them');
  return namedRun(name);
}

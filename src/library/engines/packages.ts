/**
 * Where the packages are that engines compute by: TensorFlow.js, and koffi for OpenCL. They are no dependencies, so Node's own
 * resolution from here need not find them: they may belong to the project that mnist-ddp is used in, or lie in a folder of
 * their own.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { TensorFlowName } from '../../shared/engine.js';
import { howToGet } from '../../worker/engines/registry.js';

/** Engines that need packages. */
export type PackagedName = TensorFlowName | 'opencl';

/** What the search depends on besides the engine. */
export interface Surroundings {
  readonly cwd: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** The folder of mnist-ddp's own package.json. */
  readonly ownFolder: string;
}

export type Search =
  | { readonly found: true; readonly version: string; readonly libraries: readonly string[] }
  /** `version` is that of a package that is there but of no use, else null; `why` is one line, with what to do. */
  | { readonly found: false; readonly version: string | null; readonly why: string };

interface Package {
  readonly version: string;
  /** File URL of what `import` of its name loads. */
  readonly url: string;
  /** Why it cannot work, or null. */
  readonly problem: string | null;
}

interface Manifest {
  readonly version?: string;
  readonly exports?: unknown;
}

/** In the order in which the engine imports them; the last one's version is the engine's. */
const packagesOf: Readonly<Record<PackagedName, readonly string[]>> = {
  'tfjs-node-gpu': ['@tensorflow/tfjs-node-gpu'],
  'tfjs-node': ['@tensorflow/tfjs-node'],
  'tfjs-webgpu': ['webgpu', '@tensorflow/tfjs', '@tensorflow/tfjs-backend-webgpu'],
  opencl: ['koffi'],
};

const installing: Readonly<Record<PackagedName, string>> = { ...howToGet, opencl: 'npm install koffi' };

/** The environment variable that names the one folder to look for tfjs-node and tfjs-node-gpu in. */
export const folderVariable = 'MNIST_DDP_TFJS_NODE';
/** Where `npm run setup:tfjs-node` puts them. */
export const setupFolder = '.tfjs-node';

/**
 * Looks for the packages of an engine from each place in turn, as Node would from a file there. All come from one place:
 * packages that do not share one tfjs-core know nothing of each other.
 */
export function findLibraries(name: PackagedName, surroundings: Surroundings = here()): Search {
  const searches = placesFor(name, surroundings)
    .map((place) => searchIn(name, place))
    .filter((search) => search !== null);
  const best = searches.find(({ found }) => found) ?? searches[0];
  if (best !== undefined) return best;
  const where = hasFolder(name) ? namedFolder(surroundings) : null;
  const named = where === null ? '' : ` in ${where} (from ${folderVariable})`;
  return { found: false, version: null, why: `${areNotInstalled(packagesOf[name])}${named}: ${installing[name]}` };
}

/** Null where there is nothing of it. */
function searchIn(name: PackagedName, place: string): Search | null {
  const names = packagesOf[name];
  const packages = names.map((packageName) => findPackage(packageName, place));
  const present = packages.filter((found) => found !== null);
  if (present.length === 0) return null;
  const version = packages.at(-1)?.version ?? null;
  const lacking = names.filter((_, i) => packages[i] === null);
  const problem = lacking.length > 0 ? areNotInstalled(lacking) : present.find((one) => one.problem !== null)?.problem;
  if (typeof problem === 'string') return { found: false, version, why: `${problem}: ${installing[name]}` };
  return { found: true, version: version ?? 'unknown', libraries: present.map(({ url }) => url) };
}

function here(): Surroundings {
  return {
    cwd: process.cwd(),
    environment: process.env,
    ownFolder: fileURLToPath(new URL('../../..', import.meta.url)),
  };
}

function placesFor(name: PackagedName, surroundings: Surroundings): string[] {
  const { cwd, ownFolder } = surroundings;
  if (!hasFolder(name)) return [ownFolder, cwd];
  const named = namedFolder(surroundings);
  if (named !== null) return [named];
  return [ownFolder, cwd, join(ownFolder, setupFolder), join(cwd, setupFolder)];
}

/** Whether its packages may be in a folder that a variable names. */
function hasFolder(name: PackagedName): boolean {
  return name === 'tfjs-node' || name === 'tfjs-node-gpu';
}

function namedFolder({ cwd, environment }: Surroundings): string | null {
  const named = environment[folderVariable];
  return named === undefined || named === '' ? null : resolve(cwd, named);
}

function findPackage(name: string, place: string): Package | null {
  const require = createRequire(join(place, 'package.json'));
  for (const modules of require.resolve.paths(name) ?? []) {
    const directory = join(modules, name);
    const manifest = readManifest(directory);
    if (manifest === null) continue;
    const url = entryOf(require, directory, manifest);
    const problem = url === null ? `${name} is damaged: its entry is missing` : addonProblem(name, directory);
    return { version: manifest.version ?? 'unknown', url: url ?? '', problem };
  }
  return null;
}

function readManifest(directory: string): Manifest | null {
  try {
    return JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')) as Manifest;
  } catch {
    return null;
  }
}

function entryOf(require: NodeJS.Require, directory: string, { exports }: Manifest): string | null {
  try {
    const target = exports === undefined ? null : importTarget(exports);
    return pathToFileURL(target === null ? require.resolve(directory) : join(directory, target)).href;
  } catch {
    return null;
  }
}

/** What `import` takes of the field `exports`, which `require` need not take too; null where it offers nothing. */
function importTarget(exports: unknown): string | null {
  if (typeof exports === 'string') return exports;
  if (typeof exports !== 'object' || exports === null) return null;
  for (const [condition, target] of Object.entries(exports)) {
    if (!['.', 'node', 'import', 'module-sync', 'default'].includes(condition)) continue;
    const found = importTarget(target);
    if (found !== null) return found;
  }
  return null;
}

/** What the package's install script builds or downloads, and npm does not miss where that failed or was not run. */
function addonProblem(name: string, directory: string): string | null {
  if (!name.startsWith('@tensorflow/tfjs-node')) return null;
  const contents = (folder: string): string[] => {
    try {
      return readdirSync(join(directory, folder));
    } catch {
      return [];
    }
  };
  const folders = contents('lib').filter((folder) => folder.startsWith('napi-v'));
  if (folders.some((folder) => contents(join('lib', folder)).includes('tfjs_binding.node'))) return null;
  return `${name} is installed without its native addon, which its install script downloads`;
}

function areNotInstalled(names: readonly string[]): string {
  const [last = '', ...others] = [...names].reverse();
  if (others.length === 0) return `${last} is not installed`;
  return `${others.reverse().join(', ')} and ${last} are not installed`;
}

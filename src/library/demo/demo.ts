/** `demo`: a page on loopback that reads what one draws, and trains. */
import { open, readFile, type FileHandle } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { locateDataset, openDataset } from '../../coordinator/node/dataset-files.js';
import { datasetParts } from '../../coordinator/dataset/dataset-parts.js';
import { newestRun } from '../../coordinator/node/run-folder.js';
import { integer } from '../../coordinator/validate.js';
import { demoPaths, type DemoFacts, type DemoNetwork } from '../../shared/demo.js';
import { OperationalError } from '../../shared/errors.js';
import { serveFiles, type OpenFile, type ServedFile } from './file-server.js';
import { checkOptions } from '../options.js';
import { openWeights, type OpenWeights } from '../network/weights.js';

export interface DemoOptions {
  /** A run's folder, a checkpoint, or a PyTorch or safetensors file; default the newest run under `runs/`, if any. */
  readonly run?: string | undefined;
  /** Default: one that is free. */
  readonly port?: number | undefined;
  /** Folder of the four IDX files, as in `train`. */
  readonly data?: string | undefined;
  /** Receives notes for the user, one line each. */
  readonly onNote?: ((text: string) => void) | undefined;
}

export interface Demo {
  readonly url: string;
  /** Ends all connections, and resolves when the port is free and all files are closed. Safe more than once. */
  readonly close: () => Promise<void>;
  /** Whose network the page begins with; null for an untrained one. */
  readonly network: string | null;
}

const pageFiles = {
  '/': ['demo/index.html', 'text/html; charset=utf-8'],
  '/style.css': ['demo/style.css', 'text/css; charset=utf-8'],
  '/page.js': ['demo/page.js', 'text/javascript; charset=utf-8'],
  '/worker.js': ['demo/worker.js', 'text/javascript; charset=utf-8'],
  [`/${demoPaths.kernels}wasm.wasm`]: ['kernels/wasm.wasm', 'application/wasm'],
} as const;

/**
 * Starts to serve the page, with the files as they are now: the data set's are held open, the others in memory. Close it in the
 * end. Throws OperationalError.
 */
export async function demo(options: DemoOptions = {}): Promise<Demo> {
  checkOptions(options, { run: 'text', port: 'other', data: 'text', onNote: 'function' });
  const port = integer('port', options.port ?? 0, 0, 65_535);
  const weights = await weightsOf(options);
  const location = await locateDataset(options.data);
  const { trainCount } = await openDataset(location);
  const network = weights && describe(weights);
  const facts: DemoFacts = { trainCount, network };
  const files = await filesOfPage();
  files.set(`/${demoPaths.facts}`, inMemory('application/json', Buffer.from(JSON.stringify(facts))));
  if (weights !== null) files.set(`/${demoPaths.network}`, inMemory('application/octet-stream', networkBytes(weights)));
  const handles: FileHandle[] = [];
  const closeFiles = async (): Promise<void> => {
    await Promise.all(handles.splice(0).map((handle) => handle.close()));
  };
  try {
    for (const part of datasetParts) {
      const { path, gzip } = location.files[part];
      const contents = await openFile(path, handles);
      files.set(`/${demoPaths.data}${part}`, { type: 'application/octet-stream', contents, gzip });
    }
    const server = await serveFiles(files, port);
    let closed: Promise<void> | null = null;
    return {
      url: server.url,
      close: () => (closed ??= server.close().then(closeFiles)),
      network: network?.name ?? null,
    };
  } catch (error) {
    await closeFiles();
    throw error;
  }
}

async function filesOfPage(): Promise<Map<string, ServedFile>> {
  const files = new Map<string, ServedFile>();
  for (const [path, [file, type]] of Object.entries(pageFiles)) {
    const url = new URL(`../../${file}`, import.meta.url);
    const contents = await readFile(url).catch((cause: unknown) => {
      throw unreadable(fileURLToPath(url), cause, 'install the package again');
    });
    files.set(path, inMemory(type, contents));
  }
  return files;
}

/** @param handles gets the file's, to close it */
async function openFile(path: string, handles: FileHandle[]): Promise<OpenFile> {
  try {
    const handle = await open(path, 'r');
    handles.push(handle);
    return { handle, size: (await handle.stat()).size };
  } catch (cause) {
    throw unreadable(path, cause, 'check its permissions, or choose another folder with `data`');
  }
}

function unreadable(path: string, cause: unknown, advice: string): OperationalError {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause);
  return new OperationalError('DATA_MISSING', `cannot read ${path} (${code}); ${advice}`, { cause });
}

async function weightsOf({ run, onNote }: DemoOptions): Promise<OpenWeights | null> {
  if (run !== undefined) return openWeights(run, { onNote });
  try {
    return await openWeights(await newestRun());
  } catch (error) {
    if (error instanceof OperationalError && error.code === 'CHECKPOINT_MISSING') return null;
    throw error;
  }
}

function describe({ path, parametersSha256, checkpoint }: OpenWeights): DemoNetwork {
  if (checkpoint === null) return { name: path, parametersSha256, training: null };
  const { config, dataset, engine, step, init, overridden } = checkpoint;
  return {
    name: path,
    parametersSha256,
    training: { config, dataset, engine, step, fromSeed: init === null && overridden.length === 0 },
  };
}

/** float32 [parameterCount] and float32 [2][batchNormChannels], little-endian. */
function networkBytes({ weights: { parameters, runningStatistics } }: OpenWeights): Uint8Array {
  const floats = new Float32Array(parameters.length + runningStatistics.length);
  floats.set(parameters);
  floats.set(runningStatistics, parameters.length);
  return new Uint8Array(floats.buffer);
}

function inMemory(type: string, contents: Uint8Array): ServedFile {
  return { type, contents, gzip: false };
}

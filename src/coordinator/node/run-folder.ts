/**
 * The folder of one run: `checkpoint.msgpack` and `best.msgpack` (see checkpoint-files.ts), `metrics.jsonl`, `metrics.csv` and
 * TensorBoard's files (see metrics-files.ts), `summary.json`, and while the run lives `run.lock` (see run-lock.ts). Files that are
 * replaced may be links to files; metrics, which are appended to, may go to whatever takes lines, such as /dev/null or a pipe that
 * somebody reads.
 */
import { lstat, mkdir, open, readdir, rm, rmdir, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { IrregularFileError } from '../../files/regular-file.js';
import { OperationalError, usageError } from '../../shared/errors.js';
import { shellWord } from '../../shared/text.js';
import {
  errorCode,
  followLinks,
  leadToSame,
  notWritable,
  refuseUndecoded,
  removeStaleTemporaries,
} from '../../files/atomic-file.js';
import { temporaryName, writeFileAtomically } from '../../files/atomic-file.js';
import { bestName, checkpointName, previousCheckpointName, readCheckpoint } from './checkpoint-files.js';
import { writeBest, writeCheckpoint, type Checkpoint } from './checkpoint-files.js';
import { csvName, eventFiles, foreignMetrics, MetricsFiles, metricsName } from './metrics-files.js';
import { lockName, RunLock } from './run-lock.js';
import type { Metric, RunStore } from '../training/run-recorder.js';

/** Where runs go without the option `out`, under the working folder. */
export const runsName = 'runs';
export const summaryName = 'summary.json';
const replacedNames = [checkpointName, previousCheckpointName, bestName, summaryName];

export interface RunFolderRequest {
  /** The folder, made if it is not there; without it a new one under `runs/` of `cwd`, named by the start time. */
  readonly out?: string | undefined;
  /** The checkpoint that the run goes on from, where the folder may hold it already; null for a folder that holds none. */
  readonly loaded: string | null;
  readonly cwd?: string | undefined;
  readonly startTime?: Date | undefined;
  /** See `TakeOptions`. */
  readonly takeOver?: boolean | undefined;
  /** Whether TensorBoard's event files are written; a run that goes on does so where the folder has some. */
  readonly tensorboard?: boolean | undefined;
  readonly onNote?: ((text: string) => void) | undefined;
}

const probeName = 'probe';
const probeBytes = 4096;
const maxSameSecond = 1000;

/**
 * Makes (or takes over) a run's folder, and proves by writing that it can be written. Close it in the end.
 * @throws OperationalError OUT_IN_USE where another run writes there, and where it holds a checkpoint and the run does not
 *   resume; OUT_NOT_WRITABLE
 */
export async function openRunFolder(request: RunFolderRequest): Promise<RunFolder> {
  const { out, loaded, cwd = process.cwd(), startTime = new Date(), takeOver = false, onNote } = request;
  refuseUndecoded(out ?? cwd);
  const existed = out !== undefined && (await isFolder(out));
  const directory = out === undefined ? await makeNewFolder(join(cwd, runsName), startTime) : await makeFolder(out);
  const lock = await RunLock.take(directory, { takeOver, ...(onNote === undefined ? {} : { onNote }) });
  try {
    for (const name of replacedNames) await refuseIrregular(join(directory, name));
    await refuseSame([...replacedNames, metricsName, csvName].map((name) => join(directory, name)));
    if (loaded === null) await refuseOthers(directory);
    await probe(directory);
    for (const name of [...replacedNames, metricsName, csvName, lockName, probeName]) {
      await removeStaleTemporaries(join(directory, name), true);
    }
  } catch (error) {
    await lock.release();
    throw error;
  }
  const isNewest = loaded !== null && (await leadToSame(loaded, join(directory, checkpointName)));
  const tensorboard = request.tensorboard === true || (loaded !== null && (await eventFiles(directory)).length > 0);
  return new RunFolder(directory, lock, { checkpointIsKnown: isNewest, isNew: !existed, tensorboard });
}

interface Opened {
  /** Whether its `checkpoint.msgpack` is what the run goes on from. */
  readonly checkpointIsKnown: boolean;
  /** Whether it was made for this run. */
  readonly isNew: boolean;
  readonly tensorboard: boolean;
}

export class RunFolder implements RunStore {
  readonly checkpointPath: string;
  readonly summaryPath: string;

  readonly #lock: RunLock;
  readonly #isNew: boolean;
  readonly #metrics: MetricsFiles;
  #checkpointIsKnown: boolean;

  /**
   * @param directory an existing folder, with its lock; `openRunFolder` makes one
   */
  constructor(
    readonly directory: string,
    lock: RunLock,
    { checkpointIsKnown, isNew, tensorboard }: Opened,
  ) {
    this.#lock = lock;
    this.#isNew = isNew;
    this.#checkpointIsKnown = checkpointIsKnown;
    this.#metrics = new MetricsFiles(directory, { tensorboard });
    this.checkpointPath = join(directory, checkpointName);
    this.summaryPath = join(directory, summaryName);
  }

  /** One that this run neither read nor wrote may be damaged, and is not kept. */
  get checkpointIsKnown(): boolean {
    return this.#checkpointIsKnown;
  }

  /** Gives the folder free for other runs; one that was made for a run which wrote nothing goes again. Never throws. */
  async close(): Promise<void> {
    await this.#lock.release();
    if (this.#isNew) await rmdir(this.directory).catch(() => undefined);
  }

  /**
   * Makes the folder ready to be written, where it was deleted as well. Call it before each write of a long run.
   * @throws OperationalError OUT_IN_USE where another run has taken it since; OUT_NOT_WRITABLE
   */
  async keep(): Promise<void> {
    await makeFolder(this.directory);
    await this.#lock.renew();
  }

  /** Writes the checkpoint; the one of this run that was there becomes the one before. Throws OUT_NOT_WRITABLE. */
  async writeCheckpoint(checkpoint: Checkpoint): Promise<void> {
    await writeCheckpoint(this.directory, checkpoint, { keepPrevious: this.#checkpointIsKnown });
    this.#checkpointIsKnown = true;
  }

  /** Replaces best.msgpack. Throws OUT_NOT_WRITABLE. */
  async writeBest(checkpoint: Checkpoint): Promise<void> {
    await writeBest(this.directory, checkpoint);
  }

  /** Removes best.msgpack where it is of a step after that. One that cannot be read stays, and so does a link. */
  async cutBest(step: number): Promise<void> {
    const path = join(this.directory, bestName);
    if ((await lstat(path).catch(() => null))?.isFile() !== true) return;
    const best = await readCheckpoint(path).catch(() => null);
    if (best !== null && best.step > step) await rm(path, { force: true });
  }

  /** Appends to the metrics. Await it before the next. Throws OUT_NOT_WRITABLE; waits for no reader of a pipe. */
  async appendMetric(metric: Metric): Promise<void> {
    await this.#metrics.append(metric);
  }

  /** Cuts the metrics back to a checkpoint, see `MetricsFiles.cut`, and removes the summary. Throws OUT_NOT_WRITABLE. */
  async cutMetrics(step: number, droppedKinds: readonly string[] = []): Promise<boolean> {
    const missing = await this.#metrics.cut(step, droppedKinds);
    // The summary is that of the end before; a link stays what it is.
    if ((await lstat(this.summaryPath).catch(() => null))?.isFile() === true)
      await rm(this.summaryPath, { force: true });
    return missing;
  }

  /** Replaces summary.json. Throws OUT_NOT_WRITABLE. */
  async writeSummary(summary: Readonly<Record<string, unknown>>): Promise<void> {
    await writeFileAtomically(this.summaryPath, `${JSON.stringify(summary, null, 2)}\n`);
  }
}

/**
 * The newest run: the folder under `runs/` of `cwd` whose checkpoint was written last.
 * @throws OperationalError CHECKPOINT_MISSING where there is none
 */
export async function newestRun(cwd: string = process.cwd()): Promise<string> {
  const runs = join(cwd, runsName);
  let newest: { directory: string; time: number } | null = null;
  for (const directory of await runFolders(runs)) {
    const path = await checkpointIn(directory).catch(() => null);
    const time =
      path === null
        ? null
        : await stat(path).then(
            ({ mtimeMs }) => mtimeMs,
            () => null,
          );
    if (time !== null && (newest === null || time >= newest.time)) newest = { directory, time };
  }
  if (newest !== null) return newest.directory;
  const message = `there is no run with a checkpoint under ${runs}; train first, or name a run folder or a checkpoint file`;
  throw new OperationalError('CHECKPOINT_MISSING', message);
}

/** What a run's folder has of it, by their paths; nothing where a folder is no run's. */
export async function filesOfRun(directory: string): Promise<string[]> {
  const isRun = (await checkpointIn(directory)) !== null || (await isThere(join(directory, metricsName)));
  if (!isRun) return [];
  const names = [...replacedNames, metricsName, csvName, lockName, ...(await eventFiles(directory))];
  return names.map((name) => join(directory, name));
}

/** The folders in a folder of runs, by name; none where there is no such folder. */
export async function runFolders(runs: string = runsName): Promise<string[]> {
  const entries = await readdir(runs, { withFileTypes: true }).catch(() => []);
  const folders = entries.filter((entry) => entry.isDirectory());
  return folders.map((entry) => join(runs, entry.name)).sort();
}

/**
 * The checkpoint file that an argument means: a folder means its `checkpoint.msgpack`, or, where a kill left only that, its
 * `checkpoint.previous.msgpack`; the name of a run means its folder under `runs/`; anything else means itself. A name that means
 * both a run and a file or folder here is refused, since either may be meant.
 * @param best whether a folder is meant, and its `best.msgpack`
 * @throws OperationalError CHECKPOINT_MISSING where there is nothing; CHECKPOINT_INVALID where that cannot be told; USAGE
 */
export async function resolveCheckpointPath(runOrFile: string, best = false): Promise<string> {
  const named = join(runsName, basename(runOrFile));
  const isName = basename(runOrFile) === runOrFile;
  const stats = await stat(runOrFile).catch(async (cause: unknown) => {
    const code = errorCode(cause);
    if (code === 'ENOENT' && isName && (await isThere(named))) return null;
    if (code === 'ENOENT' || code === 'ENOTDIR') {
      const message = `there is no run or checkpoint at ${runOrFile}; name a run folder or a checkpoint file`;
      throw new OperationalError('CHECKPOINT_MISSING', message, { cause });
    }
    throw unreadable(runOrFile, code, cause);
  });
  if (stats === null) return resolveCheckpointPath(named, best);
  if (isName && (await isThere(named)) && !(await leadToSame(named, runOrFile))) {
    const [here, run] = [`./${runOrFile}`, named].map(shellWord) as [string, string];
    throw usageError(
      `${runOrFile} is a ${stats.isDirectory() ? 'folder' : 'file'} here and a run: name ${here} or ${run}`,
    );
  }
  if (best) return bestIn(runOrFile, stats.isDirectory());
  if (!stats.isDirectory()) return runOrFile;
  const path = await checkpointIn(runOrFile);
  if (path !== null) return path;
  const message = `the folder ${runOrFile} holds no ${checkpointName}; name a run that has one, or a checkpoint file`;
  throw new OperationalError('CHECKPOINT_MISSING', message);
}

async function bestIn(run: string, isFolder: boolean): Promise<string> {
  if (!isFolder) throw usageError(`\`best\` is about a run's folder, and ${run} is a file; name the folder`);
  const path = join(run, bestName);
  if (await isThere(path)) return path;
  const message = `the folder ${run} holds no ${bestName}, which a run with held-out rows keeps where it is told to; leave \`best\` out`;
  throw new OperationalError('CHECKPOINT_MISSING', message);
}

/**
 * The folder of the run that a checkpoint belongs to; null for a loose file, such as a download, whose folder is not the run's to
 * write in.
 */
export async function runFolderOf(checkpointPath: string): Promise<string | null> {
  const directory = dirname(checkpointPath);
  const name = basename(checkpointPath);
  if (name !== checkpointName && name !== previousCheckpointName) return null;
  return (await isThere(join(directory, metricsName))) ? directory : null;
}

/** @throws OperationalError CHECKPOINT_INVALID where that cannot be told */
function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    (cause: unknown) => {
      const code = errorCode(cause);
      if (code === 'ENOENT' || code === 'ENOTDIR') return false;
      throw unreadable(path, code, cause);
    },
  );
}

function unreadable(path: string, code: string, cause: unknown): OperationalError {
  const message = `cannot read ${path} (${code}); check its permissions, or name another run or checkpoint`;
  return new OperationalError('CHECKPOINT_INVALID', message, { cause });
}

/**
 * The checkpoint file of a run's folder, as `resolveCheckpointPath` finds it; null where there is none.
 * @throws OperationalError CHECKPOINT_INVALID where that cannot be told
 */
export async function checkpointIn(directory: string): Promise<string | null> {
  for (const name of [checkpointName, previousCheckpointName]) {
    const path = join(directory, name);
    if (await isThere(path)) return path;
  }
  return null;
}

/** A new run leaves alone what it would replace, but for the metrics of a run that was killed before its first checkpoint. */
async function refuseOthers(directory: string): Promise<void> {
  const choose = 'choose another folder';
  if ((await checkpointIn(directory)) !== null) {
    const message = `${directory} holds a checkpoint of another run; resume it with \`resume\` ${shellWord(directory)}, or ${choose}`;
    throw new OperationalError('OUT_IN_USE', message);
  }
  for (const name of [bestName, summaryName, ...(await foreignMetrics(directory))]) {
    if (!(await isThere(join(directory, name)))) continue;
    throw new OperationalError(
      'OUT_IN_USE',
      `${directory} holds a ${name} that is not this run's; move it away, or ${choose}`,
    );
  }
}

/** What a run replaces is a regular file, or not there yet: anything else would swallow it. */
async function refuseIrregular(path: string): Promise<void> {
  const stats = await stat(path).catch((cause: unknown) => {
    if (errorCode(cause) === 'ENOENT') return null;
    throw notWritable(path, cause);
  });
  if (stats?.isFile() === false) throw notWritable(path, new IrregularFileError(path, stats));
  const place = await followLinks(path);
  if (stats !== null || place === path || (await isFolder(dirname(place)))) return;
  throw notWritable(
    path,
    new Error(`it is a link to ${place}, whose folder is not there; make it, or remove the link`),
  );
}

/** Of two names that lead to one file, the second would be written over the first. */
async function refuseSame(paths: readonly string[]): Promise<void> {
  const places = await Promise.all(paths.map(async (path) => resolve(dirname(path), await followLinks(path))));
  const second = paths.find((_, i) => places.indexOf(places[i] ?? '') !== i);
  if (second === undefined) return;
  throw notWritable(second, new Error('it leads to another file of the run; remove the link'));
}

async function makeFolder(directory: string): Promise<string> {
  try {
    await makeFolders(directory);
    return directory;
  } catch (cause) {
    throw notWritable(directory, cause);
  }
}

/**
 * Makes a folder and those above it. Node's own `recursive` never ends where a folder is there and takes no others, and says so
 * by ENOENT, as /proc does.
 */
async function makeFolders(directory: string): Promise<void> {
  try {
    await mkdir(directory);
  } catch (error) {
    if (await isFolder(directory)) return;
    const above = dirname(directory);
    if (errorCode(error) !== 'ENOENT' || above === directory) throw error;
    if (await isFolder(above)) throw new Error(`${above} takes no folders; choose another place`, { cause: error });
    await makeFolders(above);
    await makeFolders(directory);
  }
}

async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (stats) => stats.isDirectory(),
    () => false,
  );
}

/** A folder that did not exist before, so that two runs which start in the same second never share one. */
async function makeNewFolder(runs: string, startTime: Date): Promise<string> {
  await makeFolder(runs);
  const name = startTime.toISOString().slice(0, 19).replaceAll(':', '-');
  for (let attempt = 1; ; attempt++) {
    const directory = join(runs, attempt === 1 ? name : `${name}-${String(attempt)}`);
    try {
      await mkdir(directory);
      return directory;
    } catch (cause) {
      if (errorCode(cause) !== 'EEXIST' || attempt === maxSameSecond) throw notWritable(directory, cause);
    }
  }
}

/** Permission bits do not tell (root, read-only mounts, quotas), so write and sync a block for real. */
async function probe(directory: string): Promise<void> {
  const path = temporaryName(join(directory, probeName));
  try {
    const handle = await open(path, 'w');
    try {
      // Whoever is killed here leaves nothing, where a file that is open can go.
      await rm(path, { force: true }).catch(() => undefined);
      await handle.writeFile(new Uint8Array(probeBytes));
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch (cause) {
    throw notWritable(dirname(path), cause);
  } finally {
    await rm(path, { force: true }).catch(() => undefined);
  }
}

/** Step and kind of a metrics line; null where the line is not one. */

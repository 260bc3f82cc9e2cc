/** The lock of a run's folder: one live run at a time writes there, and a run that was killed stands in nobody's way. */
import { randomUUID } from 'node:crypto';
import { constants, readFileSync, rmSync } from 'node:fs';
import { copyFile, link, open, readFile, readlink, rename, rm, stat, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { readRegularFile } from '../../files/regular-file.js';
import { OperationalError } from '../../shared/errors.js';
import { counted, shellWord } from '../../shared/text.js';
import { errorCode, isAlive, notWritable, temporaryName } from '../../files/atomic-file.js';

export const lockName = 'run.lock';

/** What the file holds, as JSON. */
interface Holder {
  readonly pid: number;
  /** When the process started, in clock ticks since the machine did; null where the system does not tell. */
  readonly startTime: string | null;
  readonly host: string;
  /** Which machine, which start of it, and which of its tables of processes gave the pid; null where the system does not tell. */
  readonly machine: string | null;
  readonly boot: string | null;
  readonly pidNamespace: string | null;
  /** Tells apart runs of one process. */
  readonly id: string;
  /** Whether it writes the file again all the time, see `beatMs`; false of earlier versions. */
  readonly beats: boolean;
}

/** Between two signs of life, of which the file's time tells those who cannot see the process. */
const beatMs = 15_000;
/** Of a holder that cannot be seen: as long as it may be kept from beating by a machine that swaps, or a network that is away. */
const silentMs = 300_000;

export interface TakeOptions {
  /** Whether to take a lock at once whose holder cannot be asked from here. */
  readonly takeOver?: boolean;
  /** Is told what was taken over from such a one. */
  readonly onNote?: (text: string) => void;
}

/** Takeovers and lost races after which a folder counts as contested. */
const maxAttempts = 10;

export class RunLock {
  /** Of this process. A signal may end it at once, and then nobody waits for `release`. */
  static readonly #held = new Set<RunLock>();
  static {
    process.on('exit', () => {
      for (const lock of RunLock.#held) lock.#releaseNow();
    });
  }

  readonly #path: string;
  readonly #text: string;
  readonly #options: TakeOptions;
  #beating: NodeJS.Timeout | undefined;

  private constructor(directory: string, text: string, options: TakeOptions) {
    this.#path = join(directory, lockName);
    this.#text = text;
    this.#options = options;
  }

  /**
   * Takes the lock of an existing folder; that of a process which is gone is taken over, or, where that cannot be seen, of one that has
   * been silent for long.
   * @throws OperationalError OUT_IN_USE, naming the process that holds it; OUT_NOT_WRITABLE
   */
  static async take(directory: string, options: TakeOptions = {}): Promise<RunLock> {
    const { pid } = process;
    const holder: Holder = {
      pid,
      startTime: (await processStat(pid))?.startTime ?? null,
      ...(await whereabouts()),
      id: randomUUID(),
      beats: true,
    };
    const lock = new RunLock(directory, `${JSON.stringify(holder)}\n`, options);
    RunLock.#held.add(lock);
    try {
      await lock.renew();
    } catch (error) {
      RunLock.#held.delete(lock);
      throw error;
    }
    lock.#beating = setInterval(() => void lock.#beat(), beatMs).unref();
    return lock;
  }

  /** Whether a process that lives, as far as that can be told from here, has the lock of that folder. Takes and writes nothing. */
  static async isHeld(directory: string): Promise<boolean> {
    const path = join(directory, lockName);
    const text = await readRegularFile(path).then(String, () => '');
    const holder = parseHolder(text);
    if (holder === null) return false;
    const reach = reachOf(holder, await whereabouts());
    if (reach === 'here') return lives(holder);
    const heard = await stat(path).then(
      ({ mtimeMs }) => mtimeMs,
      () => 0,
    );
    return reach === 'elsewhere' && !(holder.beats && Date.now() - heard > silentMs);
  }

  /**
   * Sees to it that the lock is still this run's: takes it again where the file was deleted.
   * @throws OperationalError OUT_IN_USE where another run has taken the folder since; OUT_NOT_WRITABLE
   */
  async renew(): Promise<void> {
    try {
      for (let attempt = 0; attempt < maxAttempts; attempt++) {
        const text = await this.#read();
        if (text === this.#text || (text === null && (await this.#create()))) return;
        if (text !== null) await this.#takeOver(text);
        else if (await this.#isLink()) throw new Error('it is a link to a file that is not there; remove it');
      }
    } catch (cause) {
      if (cause instanceof OperationalError) throw cause;
      throw notWritable(this.#path, cause);
    }
    throw new OperationalError('OUT_IN_USE', `several runs want ${this.#path} at once; choose another \`out\``);
  }

  /** Gives the folder free; another run's lock stays. Never throws: a lock that is left is known as stale. */
  async release(): Promise<void> {
    RunLock.#held.delete(this);
    clearInterval(this.#beating);
    if ((await this.#read().catch(() => null)) !== this.#text) return;
    await rm(this.#path, { force: true }).catch(() => undefined);
  }

  #releaseNow(): void {
    try {
      if (readFileSync(this.#path, 'utf8') === this.#text) rmSync(this.#path, { force: true });
    } catch {
      // It is known as stale.
    }
  }

  /** Writes the same text over itself, by the handle that it was read from: another run's file is not touched. */
  async #beat(): Promise<void> {
    const handle = await open(this.#path, 'r+').catch(() => null);
    try {
      if ((await handle?.readFile('utf8')) === this.#text) await handle?.write(this.#text, 0);
    } catch {
      // The next one may succeed; where none does the lock is one of long silence.
    } finally {
      await handle?.close().catch(() => undefined);
    }
  }

  /** How long the holder has been silent, in milliseconds by the clock of whoever keeps the files. */
  async #silence(): Promise<number> {
    const now = temporaryName(this.#path);
    try {
      await writeFile(now, '', { flag: 'wx' });
      return (await stat(now)).mtimeMs - (await stat(this.#path)).mtimeMs;
    } finally {
      rmSync(now, { force: true });
    }
  }

  async #read(): Promise<string | null> {
    try {
      return (await readRegularFile(this.#path)).toString();
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return null;
      throw error;
    }
  }

  async #isLink(): Promise<boolean> {
    return readlink(this.#path).then(
      () => true,
      () => false,
    );
  }

  /** Puts a whole file in place where there is none; false where another run was faster. */
  async #create(): Promise<boolean> {
    const own = temporaryName(this.#path);
    try {
      await writeFile(own, this.#text, { flag: 'wx' });
      await link(own, this.#path).catch((error: unknown) => {
        // Not every file system has links.
        if (errorCode(error) === 'EEXIST') throw error;
        return copyFile(own, this.#path, constants.COPYFILE_EXCL);
      });
      await this.#read().catch((cause: unknown) => {
        rmSync(this.#path, { force: true });
        const code = errorCode(cause);
        throw new Error(`what this process writes it may not read (${code}); set another umask, such as 022`, {
          cause,
        });
      });
      return true;
    } catch (error) {
      if (errorCode(error) === 'EEXIST') return false;
      throw error;
    } finally {
      rmSync(own, { force: true });
    }
  }

  /** Moves a stale lock away. Throws OUT_IN_USE where its process lives. */
  async #takeOver(text: string): Promise<void> {
    const holder = parseHolder(text);
    if (holder !== null) {
      const reach = reachOf(holder, await whereabouts());
      if (reach === 'here' && (await lives(holder))) throw this.#inUse(holder, reach);
      if (reach === 'elsewhere') await this.#takeFromElsewhere(holder);
    }
    const aside = temporaryName(this.#path);
    try {
      await rename(this.#path, aside);
      // Another run may have taken the same stale lock over in between: then this is its own, and goes back.
      if ((await readFile(aside, 'utf8')) !== text) await link(aside, this.#path);
    } catch (error) {
      if (!['ENOENT', 'EEXIST'].includes(errorCode(error))) throw error;
    } finally {
      rmSync(aside, { force: true });
    }
  }

  async #takeFromElsewhere(holder: Holder): Promise<void> {
    const { takeOver = false, onNote } = this.#options;
    const silence = await this.#silence();
    if (!takeOver && !(holder.beats && silence > silentMs)) throw this.#inUse(holder, 'elsewhere');
    const minutes = Math.max(0, Math.round(silence / 60_000));
    const whose = `the run of process ${String(holder.pid)} on ${holder.host}, silent for ${counted(minutes, 'minute')}`;
    onNote?.(`warning: took ${this.#path} over from ${whose}`);
  }

  #inUse({ pid, host }: Holder, reach: Reach): OperationalError {
    const where = host === hostname() ? ` on another machine or in another container named ${host}` : ` on ${host}`;
    const file = shellWord(this.#path);
    const gone = `if it is gone, add \`takeOver\` or delete ${file}`;
    const elsewhere = reach === 'here' ? '' : `${where}, which cannot be asked from here: ${gone}`;
    const message = `${this.#path} is held by the run of process ${String(pid)}${elsewhere}; wait for it, or choose another \`out\``;
    return new OperationalError('OUT_IN_USE', message);
  }
}

/** Null for what no whole lock file holds: its writer was killed, or it is none of ours. */
function isProcessId(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0;
}

function parseHolder(text: string): Holder | null {
  try {
    const value = JSON.parse(text) as Partial<Holder> | null;
    if (typeof value?.host !== 'string' || !isProcessId(value.pid)) return null;
    const { pid, host, startTime = null, machine = null, boot = null, pidNamespace = null, id = '' } = value;
    return { pid, startTime, host, machine, boot, pidNamespace, id, beats: value.beats === true };
  } catch {
    return null;
  }
}

export type Whereabouts = Pick<Holder, 'host' | 'machine' | 'boot' | 'pidNamespace'> & Partial<Pick<Holder, 'beats'>>;

/** Where this process runs, as far as the system tells. */
async function whereabouts(): Promise<Whereabouts> {
  const idIn = async (path: string): Promise<string | null> => {
    const text = await readFile(path, 'utf8').catch(() => '');
    return text.trim() || null;
  };
  return {
    host: hostname(),
    machine: await idIn('/etc/machine-id'),
    boot: await idIn('/proc/sys/kernel/random/boot_id'),
    pidNamespace: await readlink('/proc/self/ns/pid').catch(() => null),
  };
}

/** Whether the holder's pid means something `here`, only `elsewhere`, or nothing since the machine was started again (`past`). */
export type Reach = 'here' | 'elsewhere' | 'past';

/** Linux's first table of processes, that of no container: PROC_PID_INIT_INO in include/linux/proc_ns.h. */
const firstPidNamespace = 'pid:[4026531836]';

/**
 * Machines, and containers too, may have the same host name. What a lock of an earlier version, or another system, does not
 * say is taken as the same.
 */
export function reachOf(holder: Whereabouts, own: Whereabouts): Reach {
  const differs = (name: keyof Whereabouts): boolean =>
    holder[name] !== null && own[name] !== null && holder[name] !== own[name];
  if (differs('host') || differs('machine') || differs('pidNamespace')) return 'elsewhere';
  // Who does not know its own numbers, as behind the /proc of others, cannot compare them.
  const oneKnows = (holder.pidNamespace === null) !== (own.pidNamespace === null);
  if (holder.beats === true && oneKnows) return 'elsewhere';
  if (!differs('boot')) return 'here';
  // Containers may have their image's machine-id.
  const known = holder.machine !== null && own.machine !== null && holder.pidNamespace === firstPidNamespace;
  return known && own.pidNamespace === firstPidNamespace ? 'past' : 'elsewhere';
}

/**
 * Whether the process still runs; a process of that number which started at another time is another one. What may not be seen is
 * not gone: /proc may hide other users' processes, or be that of other numbers.
 */
export async function lives({ pid, startTime }: Pick<Holder, 'pid' | 'startTime'>): Promise<boolean> {
  const stat = await processStat(pid);
  if (stat === null) return isAlive(pid);
  return !stat.dead && (startTime === null || stat.startTime === startTime);
}

/**
 * Start time (field 22) and state (field 3) of a process as Linux tells them; null elsewhere, where it is gone or hidden, and where
 * /proc counts processes otherwise than this one is counted.
 */
async function processStat(pid: number): Promise<{ startTime: string; dead: boolean } | null> {
  const self = await readlink('/proc/self').catch(() => null);
  if (self !== String(process.pid)) return null;
  const text = await readFile(`/proc/${String(pid)}/stat`, 'utf8').catch(() => null);
  if (text === null) return null;
  // Field 2 is the command's name in brackets, and may hold blanks and brackets itself.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  // A killed process whose parent has not asked for it yet is a zombie.
  return { startTime: fields[19] ?? '', dead: fields[0] === 'Z' || fields[0] === 'X' };
}

/** This process's place in a job that MPI started, as the main thread sees it; thread.ts calls MPI. */
import { once } from 'node:events';
import { MessageChannel, receiveMessageOnPort, Worker, type MessagePort } from 'node:worker_threads';
import { deserialiseError, OperationalError, threadError } from '../shared/errors.js';
import { processName, type Job, type Traffic } from '../shared/group/job.js';
import { exchangeName, Mailbox } from '../shared/group/mailbox.js';
import type { MemoryLayout } from '../shared/group/memory.js';
import { launchedAs, type Environment, type Launched } from './environment.js';
import { loadMpi, unavailable, type Mpi } from './library.js';
import type { Started, ThreadData, ThreadMessage, ThreadRequest } from './thread.js';

/** Ranks within a process say by themselves who stalls, and process 0 for the others: the more remote waits longer. */
const secondLookMs = 1000;
/** How long the data set of one process may take to read after another's. */
const leastPatienceMs = 300_000;
/** How long the caller has to say what happened before the job is aborted. */
const lastWordsMs = 1000;

export interface JobOptions {
  readonly timeoutMs: number;
  readonly environment?: Environment;
}

/**
 * Joins the job that a launcher started this process in; null where it is on its own, and then MPI is not touched.
 * @throws OperationalError MPI_UNAVAILABLE where the launcher's processes cannot be found through MPI; MpiJob
 */
export async function joinJob({ timeoutMs, environment = process.env }: JobOptions): Promise<MpiJob | null> {
  const launched = launchedAs(environment);
  if (launched === null) return null;
  const mpi = loadMpi(launched.library);
  const patient = timeoutMs + (launched.process === 0 ? 1 : 3) * secondLookMs;
  const job = new MpiJob(mpi, launched, patient);
  await job.start(launched);
  return job;
}

export class MpiJob implements Job {
  readonly mailbox = new Mailbox();
  hosts: readonly string[] = [];
  process = 0;
  processes = 1;
  onFailure: (error: Error) => void = () => undefined;
  readonly #worker: Worker;
  readonly #port: MessagePort;
  /** Held, so that koffi does not unload the library. */
  readonly library: Mpi;
  readonly #waiting: { resolve: (value: unknown) => void; reject: (error: Error) => void }[] = [];
  #failure: Error | null = null;
  #finishing = false;
  #ended = false;
  #closed: Promise<void> | null = null;

  constructor(library: Mpi, launched: Launched, timeoutMs: number) {
    this.library = library;
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    const data: ThreadData = {
      port: port2,
      mailbox: this.mailbox.buffer,
      library: launched.library,
      timeoutMs,
      patienceMs: Math.max(timeoutMs, leastPatienceMs),
    };
    this.#worker = startThread(data);
    port1.on('message', (message: ThreadMessage) => {
      this.#hear(message);
    });
    this.#worker.on('error', (error) => {
      this.fail(threadError(error, what, null));
    });
    this.#worker.on('exit', () => {
      // The thread's end may be told before its last words.
      for (let last; (last = receiveMessageOnPort(port1)) !== undefined;) this.#hear(last.message as ThreadMessage);
      const finished = this.#finishing && this.#waiting.length === 0;
      if (!finished && !this.#ended) this.fail(new Error('the MPI thread ended early'));
    });
  }

  async start(launched: Launched): Promise<void> {
    const { process, processes, hosts } = (await this.#ask({ kind: 'start' })) as Started;
    Object.assign(this, { process, processes, hosts });
    if (processes === launched.processes) return;
    await this.close();
    throw unavailable(
      `${launched.variable} says ${String(launched.processes)} processes, but ${this.library.name}, which was found, says ` +
        `${String(processes)}: use the launcher and the library of one MPI, or name the library with MNIST_DDP_MPI`,
    );
  }

  async attach(memory: WebAssembly.Memory, layout: MemoryLayout): Promise<void> {
    await this.#ask({ kind: 'attach', memory, layout });
  }

  async gather(bytes: Uint8Array): Promise<Uint8Array[]> {
    return (await this.#ask({ kind: 'gather', bytes })) as Uint8Array[];
  }

  async traffic(): Promise<Traffic> {
    return (await this.#ask({ kind: 'traffic' })) as Traffic;
  }

  missing(leastMs = 0): string | null {
    const { request, missing, waitedMs, step } = this.mailbox;
    if (waitedMs === 0 || waitedMs < leastMs) return null;
    const where = request === null ? 'after' : `in the ${exchangeName(request.kind)} of`;
    const other = this.processes === 2 ? 1 - this.process : null;
    const process = missing ?? other;
    const who = process === null ? 'another process' : processName(this, process);
    return `${who} is missing ${where} step ${String(step + 1)}`;
  }

  fail(error: Error): void {
    if (this.#failure !== null || this.#ended) return;
    this.#failure = error;
    for (const { reject } of this.#waiting.splice(0)) reject(error);
    this.onFailure(error);
  }

  /** Leaves the job in good order, with all other processes. */
  close(): Promise<void> {
    return (this.#closed ??= this.#finish());
  }

  async #finish(): Promise<void> {
    if (this.#ended) return;
    const exited = once(this.#worker, 'exit');
    this.#finishing = true;
    await this.#ask({ kind: 'finish' });
    this.#ended = true;
    await exited;
    this.#port.close();
  }

  /** Ends the whole job: when this process ends, or after a second, which is left for what there is to say. */
  abandon(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#worker.unref();
    this.#port.close();
    const abort = (): void => {
      this.mailbox.abort();
      // MPI_Abort ends this process too; this thread only has to wait for it.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2 * lastWordsMs);
    };
    setTimeout(abort, lastWordsMs).unref();
    process.once('exit', abort);
  }

  async #ask(request: ThreadRequest): Promise<unknown> {
    if (this.#failure !== null) throw this.#failure;
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#port.postMessage(request);
      this.mailbox.ring();
    });
  }

  #hear(message: ThreadMessage): void {
    if (message.kind === 'answer') this.#waiting.shift()?.resolve(message.value);
    else this.#failed(deserialiseError(message.error));
  }

  /** Of the MPI thread: says who is missing, where it knows. */
  #failed(error: Error): void {
    const missing = this.missing();
    const lost = error instanceof OperationalError && error.code === 'PROCESS_LOST' && missing !== null;
    this.fail(lost ? new OperationalError('PROCESS_LOST', `${missing}: ${error.message}`) : error);
  }
}

const what = 'the thread that calls MPI';

function startThread(data: ThreadData): Worker {
  try {
    return new Worker(new URL('./thread.js', import.meta.url), { workerData: data, transferList: [data.port] });
  } catch (error) {
    throw threadError(error, what, null);
  }
}

/** A device as one thread uses it: a context, its in-order queue, and all that is made in it. */
import { DeviceBuffer } from './buffer.js';
import { deviceTitle, type DeviceFacts } from './facts.js';
import { created, type OpenCl } from './library.js';
import { Ledger, Owned, type Owner } from './owned.js';
import { Program } from './program.js';
import { Queue } from './queue.js';
import { memoryError } from './status.js';

export interface ContextOptions {
  /** Whether the queue takes the time of all that it runs, see `Queue.takeTimes`. */
  readonly profiling?: boolean;
  /** Where the context enters what it owns, so that the main thread can release that too; default one of its own. */
  readonly ledger?: Ledger;
}

/** For the thread that made it alone; so are all that it makes, which `release` releases too. */
export class Context implements Owner {
  readonly cl: OpenCl;
  readonly device: DeviceFacts;
  readonly title: string;
  readonly ledger: Ledger;
  readonly queue: Queue;
  readonly #context: Owned;
  readonly #owned: Owned[] = [];

  /** @throws OpenClError where the device gives none */
  constructor(cl: OpenCl, device: DeviceFacts, { profiling = false, ledger = new Ledger() }: ContextOptions = {}) {
    this.cl = cl;
    this.device = device;
    this.title = deviceTitle(device);
    this.ledger = ledger;
    const devices = new BigUint64Array([device.handle]);
    const handle = created('clCreateContext', this.title, (status) =>
      cl.clCreateContext(null, 1, devices, null, null, status),
    );
    this.#context = new Owned(this, 'clReleaseContext', handle);
    try {
      this.queue = new Queue(this, handle, device.handle, profiling);
    } catch (error) {
      this.#context.release();
      throw error;
    }
  }

  /**
   * Device memory of so many bytes, whose contents are anything.
   * @throws OperationalError MEMORY_EXCEEDED where the device has not that much
   */
  buffer(bytes: number): DeviceBuffer {
    try {
      return this.#keep(DeviceBuffer.create(this, this.#context.handle, bytes));
    } catch (error) {
      throw memoryError(error);
    }
  }

  /**
   * Compiles a program, which takes its time: some drivers keep what they compiled.
   * @throws OpenClError with the compiler's log
   */
  program(source: string, options = ''): Program {
    return this.#keep(new Program(this, this.#context.handle, this.device.handle, source, options));
  }

  /** Releases all that was made here, and the context. What is still running is not waited for. */
  release(): void {
    for (const owned of this.#owned.splice(0).reverse()) owned.release();
    this.queue.release();
    this.#context.release();
  }

  #keep<T extends Owned>(owned: T): T {
    this.#owned.push(owned);
    return owned;
  }
}

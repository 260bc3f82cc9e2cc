/**
 * A device beside the wasm kernels: both are given the same data for the same work, and what they make of it must be the same.
 *
 * Of the arena's memories the first is the wasm kernels', the second holds what the device is given and what it made.
 */
import { staticBytes } from '../../../../shared/group/memory.js';
import type { DeviceBuffer } from '../driver/buffer.js';
import type { Context } from '../driver/context.js';
import type { Argument, Kernel, Program } from '../driver/program.js';
import { instantiateKernels, type Kernels } from '../../wasm/kernels.js';
import { Arena } from '../../winograd/comparison-arena.js';
import { blockSideOf, type BlockSide } from '../kernels/products.js';
import { sizeItems, sizeLines } from '../launch-sizes.js';

/** The largest trial is the update of all units. */
const pages = 1024;

/** The same array in both memories, at `at`, and on the device. */
export interface Both {
  readonly at: number;
  readonly buffer: DeviceBuffer;
}

/** Results on the device, by where they belong in the arena. */
interface Arrival {
  readonly buffer: DeviceBuffer;
  readonly from: number;
  readonly to: number;
  readonly bytes: number;
}

export class Workbench {
  readonly arena = new Arena(staticBytes, pages);
  readonly context: Context;
  readonly program: Program;
  readonly side: BlockSide;
  /** At work on the arena's first memory. */
  readonly wasm: Kernels;
  #arrivals: Arrival[] = [];
  #buffers: DeviceBuffer[] = [];
  #kernels: Kernel[] = [];

  constructor(context: Context, program: Program, module: WebAssembly.Module) {
    this.context = context;
    this.program = program;
    this.side = blockSideOf(context.device);
    this.wasm = instantiateKernels(module, this.arena.memories[0]);
  }

  /** Whether the device has it. */
  get float64(): boolean {
    return this.context.device.float64 !== null;
  }

  /** Brings an array of the arena to the device. */
  onDevice(at: number, bytes: number): Both {
    const buffer = this.room(bytes);
    this.context.queue.write(buffer, 0, new Uint8Array(this.arena.memories[1].buffer, at, bytes));
    return { at, buffer };
  }

  /** Device memory that is compared nowhere, or in parts: see `arrives`. */
  room(bytes: number): DeviceBuffer {
    const buffer = this.context.buffer(bytes);
    this.#buffers.push(buffer);
    return buffer;
  }

  given(count: number): Both {
    return this.onDevice(this.arena.given(count), 4 * count);
  }

  givenDoubles(count: number): Both {
    return this.onDevice(this.arena.givenDoubles(count), 8 * count);
  }

  givenBytes(count: number, of: (random: number) => number): Both {
    return this.onDevice(this.arena.givenBytes(count, of), count);
  }

  givenWords(values: ArrayLike<number>): Both {
    return this.onDevice(this.arena.givenWords(values), 4 * values.length);
  }

  /** float32 [count] that both change in place. */
  changed(count: number): Both {
    return this.#compared(this.arena.changed(count), 4 * count);
  }

  /** float32 [count] that both make. */
  made(count: number): Both {
    return this.#compared(this.arena.made(count), 4 * count);
  }

  madeDoubles(count: number): Both {
    return this.#compared(this.arena.madeDoubles(count), 8 * count);
  }

  madeBytes(count: number): Both {
    return this.#compared(this.arena.madeBytes(count), count);
  }

  /** Bytes of a buffer, from `from` on, are results, which belong to `to` in the arena. */
  arrives(buffer: DeviceBuffer, from: number, to: number, bytes: number): void {
    this.#arrivals.push({ buffer, from, to, bytes });
  }

  /** Launches a kernel with `lanes` work-items side by side for each of `count` things, and that as often as `times`. */
  lines(name: string, values: readonly Argument[], lanes: number, count: number, times = 1): void {
    this.launch(name, values, (kernel) => sizeLines(kernel, lanes, count, times));
  }

  items(name: string, values: readonly Argument[], count: number): void {
    this.launch(name, values, (kernel) => sizeItems(kernel, count));
  }

  launch(name: string, values: readonly Argument[], size: (kernel: Kernel) => Kernel): void {
    const kernel = this.program.kernel(name, values);
    this.#kernels.push(kernel);
    this.context.queue.launch(size(kernel));
  }

  /** Whether a trial, which does the work on both, leaves the same results. */
  agrees(trial: (bench: Workbench) => void): boolean {
    const { queue } = this.context;
    this.arena.reset();
    trial(this);
    const { buffer: memory } = this.arena.memories[1];
    for (const { buffer, from, to, bytes } of this.#arrivals)
      queue.read(buffer, from, new Uint8Array(memory, to, bytes));
    queue.finish();
    for (const owned of [...this.#kernels.splice(0), ...this.#buffers.splice(0)]) owned.release();
    this.#arrivals = [];
    return this.arena.isEqual();
  }

  #compared(at: number, bytes: number): Both {
    const both = this.onDevice(at, bytes);
    this.arrives(both.buffer, 0, at, bytes);
    return both;
  }
}

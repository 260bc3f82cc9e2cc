/**
 * The in-order queue of a context: what is put into it runs in that order, and nothing here waits inside native code, where a
 * thread could be neither ended nor replaced.
 */
import type { DeviceTime, Work } from '../../../../shared/compute-device.js';
import type { DeviceBuffer } from './buffer.js';
import { check, created, type Handle } from './library.js';
import { Mark } from './mark.js';
import { Owned, type Owner } from './owned.js';
import type { Kernel } from './program.js';
import { memoryError, OpenClError } from './status.js';

const profilingEnabled = 2;
const profilingStart = 0x1282;
const profilingEnd = 0x1283;

interface Span {
  readonly label: string;
  readonly work: Work | null;
  readonly event: Handle;
}

export class Queue extends Owned {
  readonly #event = new BigUint64Array(1);
  readonly #nanoseconds = new BigUint64Array(1);
  readonly #marks: Mark[] = [];
  readonly #last: Mark;
  readonly #zero = new Uint32Array(1);
  /** What ran since times were taken; null for a queue that takes none. */
  readonly #spans: Span[] | null;

  /** See `Context.queue`. */
  constructor(owner: Owner, context: Handle, device: Handle, profiling: boolean) {
    const { cl, title } = owner;
    const handle = created('clCreateCommandQueue', title, (status) =>
      cl.clCreateCommandQueue(context, device, profiling ? profilingEnabled : 0, status),
    );
    super(owner, 'clReleaseCommandQueue', handle);
    this.#spans = profiling ? [] : null;
    this.#last = this.newMark();
  }

  launch(kernel: Kernel): void {
    const { dimensions, globalSize, localSize, anyLocalSize } = kernel;
    const status = this.owner.cl.clEnqueueNDRangeKernel(
      this.handle,
      kernel.handle,
      dimensions,
      null,
      globalSize,
      anyLocalSize ? null : localSize,
      0,
      null,
      this.#eventPlace(),
    );
    if (status !== 0) throw this.#error('clEnqueueNDRangeKernel', status, `, kernel ${kernel.label}`);
    this.#spans?.push({ label: kernel.label, work: kernel.work, event: this.#event[0] ?? 0n });
  }

  /**
   * From the host's memory to a buffer, without a copy between.
   * @param offset in the buffer, in bytes
   * @param source must stay as it is until that is done. Of shared memory: the collector moves what is not.
   */
  write(target: DeviceBuffer, offset: number, source: NodeJS.TypedArray): void {
    const { cl } = this.owner;
    const event = this.#eventPlace();
    const bytes = source.byteLength;
    const status = cl.clEnqueueWriteBuffer(this.handle, target.handle, 0, offset, bytes, source, 0, null, event);
    this.#moved('clEnqueueWriteBuffer', status, 'write', bytes);
  }

  /** From a buffer to the host's memory, likewise, which has it when that is done: see `finish`. */
  read(source: DeviceBuffer, offset: number, target: NodeJS.TypedArray): void {
    const { cl } = this.owner;
    const event = this.#eventPlace();
    const bytes = target.byteLength;
    const status = cl.clEnqueueReadBuffer(this.handle, source.handle, 0, offset, bytes, target, 0, null, event);
    this.#moved('clEnqueueReadBuffer', status, 'read', bytes);
  }

  copy(source: DeviceBuffer, from: number, target: DeviceBuffer, to: number, bytes: number): void {
    const { cl } = this.owner;
    const event = this.#eventPlace();
    const status = cl.clEnqueueCopyBuffer(this.handle, source.handle, target.handle, from, to, bytes, 0, null, event);
    this.#moved('clEnqueueCopyBuffer', status, 'copy', 2 * bytes);
  }

  /** @param bytes a multiple of 4, as is `offset` */
  clear(target: DeviceBuffer, offset: number, bytes: number): void {
    const { cl } = this.owner;
    const event = this.#eventPlace();
    const status = cl.clEnqueueFillBuffer(this.handle, target.handle, this.#zero, 4, offset, bytes, 0, null, event);
    this.#moved('clEnqueueFillBuffer', status, 'clear', bytes);
  }

  /** Has the device begin with what is in the queue. */
  flush(): void {
    check('clFlush', this.owner.cl.clFlush(this.handle), this.owner.title);
  }

  /** A mark for waits, to be made once and set where one is due. */
  newMark(): Mark {
    const mark = new Mark(this.owner, this);
    this.#marks.push(mark);
    return mark;
  }

  /** Waits until the queue is empty. Throws OpenClError where one of its commands failed. */
  finish(): void {
    this.#last.set();
    this.#last.wait();
  }

  /**
   * What ran since the last call, by label in the order of their first launches. The queue must be finished.
   * @throws OpenClError where one of it failed
   */
  takeTimes(): DeviceTime[] {
    const times = new Map<string, { label: string; launches: number; ms: number; work: Work | null }>();
    for (const { label, work, event } of this.#spans?.splice(0) ?? []) {
      const ms = Number(this.#timeOf(event, profilingEnd) - this.#timeOf(event, profilingStart)) / 1e6;
      check('clReleaseEvent', this.owner.cl.clReleaseEvent(event), this.owner.title);
      const before = times.get(label);
      times.set(label, {
        label,
        launches: 1 + (before?.launches ?? 0),
        ms: ms + (before?.ms ?? 0),
        work: sumOf(work, before?.work ?? null),
      });
    }
    return [...times.values()];
  }

  override release(): void {
    for (const mark of this.#marks) mark.drop();
    for (const { event } of this.#spans?.splice(0) ?? []) this.owner.cl.clReleaseEvent(event);
    super.release();
  }

  #timeOf(event: Handle, what: number): bigint {
    const status = this.owner.cl.clGetEventProfilingInfo(event, what, 8, this.#nanoseconds, null);
    check('clGetEventProfilingInfo', status, this.owner.title);
    return this.#nanoseconds[0] ?? 0n;
  }

  #eventPlace(): BigUint64Array | null {
    return this.#spans === null ? null : this.#event;
  }

  #moved(call: string, status: number, label: string, bytes: number): void {
    if (status !== 0) throw this.#error(call, status, `, ${String(bytes)} bytes`);
    this.#spans?.push({ label, work: { operations: 0, bytes }, event: this.#event[0] ?? 0n });
  }

  /** Some drivers take memory only when it is used. */
  #error(call: string, status: number, what: string): unknown {
    return memoryError(new OpenClError(call, status, this.owner.title + what));
  }
}

function sumOf(one: Work | null, other: Work | null): Work | null {
  if (one === null || other === null) return one ?? other;
  return { operations: one.operations + other.operations, bytes: one.bytes + other.bytes };
}

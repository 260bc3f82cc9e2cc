/** Memory of a device. */
import { created, type Handle } from './library.js';
import { Owned, type Owner } from './owned.js';

const readWrite = 1;
const region = 0x1220;

export class DeviceBuffer extends Owned {
  readonly bytes: number;
  readonly #parts: DeviceBuffer[] = [];

  private constructor(owner: Owner, handle: Handle, bytes: number) {
    super(owner, 'clReleaseMemObject', handle);
    this.bytes = bytes;
  }

  /** See `Context.buffer`. */
  static create(owner: Owner, context: Handle, bytes: number): DeviceBuffer {
    const { cl, title } = owner;
    const handle = created('clCreateBuffer', title, (status) =>
      cl.clCreateBuffer(context, readWrite, bytes, null, status),
    );
    return new DeviceBuffer(owner, handle, bytes);
  }

  /**
   * A part of this buffer as a buffer of its own, which is released with it.
   * @param offset in bytes, a multiple of the device's `alignmentBytes`
   */
  part(offset: number, bytes: number): DeviceBuffer {
    const { cl, title } = this.owner;
    const place = new BigUint64Array([BigInt(offset), BigInt(bytes)]);
    const handle = created('clCreateSubBuffer', title, (status) =>
      cl.clCreateSubBuffer(this.handle, readWrite, region, place, status),
    );
    const part = new DeviceBuffer(this.owner, handle, bytes);
    this.#parts.push(part);
    return part;
  }

  override release(): void {
    for (const part of this.#parts.splice(0)) part.release();
    super.release();
  }
}

/** Compiled programs, and the kernels in them, each an object of its own for each place that launches it. */
import type { Work } from '../../../../shared/compute-device.js';
import { DeviceBuffer } from './buffer.js';
import { check, created, type Handle } from './library.js';
import { Owned, type Owner } from './owned.js';
import { OpenClError } from './status.js';

const buildLog = 0x1183;
const kernelInfo = { workGroupSize: 0x11b0, localBytes: 0x11b2, multiple: 0x11b3, privateBytes: 0x11b4 } as const;

export class Program extends Owned {
  readonly #device: Handle;
  readonly #kernels: Kernel[] = [];

  /** See `Context.program`. */
  constructor(owner: Owner, context: Handle, device: Handle, source: string, options: string) {
    const { cl, title } = owner;
    const text = new TextEncoder().encode(`${source}\0`);
    const strings = new BigUint64Array([cl.address(text)]);
    const handle = created('clCreateProgramWithSource', title, (status) =>
      cl.clCreateProgramWithSource(context, 1, strings, new BigUint64Array([BigInt(text.length - 1)]), status),
    );
    super(owner, 'clReleaseProgram', handle);
    this.#device = device;
    const status = cl.clBuildProgram(handle, 1, new BigUint64Array([device]), options, null, null);
    if (status === 0) return;
    const log = this.#log();
    this.release();
    throw new OpenClError('clBuildProgram', status, title, log);
  }

  /**
   * A kernel with arguments of its own, the first of which are set.
   * @param label by which its time is taken; default its name
   */
  kernel(name: string, values: readonly Argument[] = [], label = name): Kernel {
    const { cl, title } = this.owner;
    const handle = created('clCreateKernel', `${title}, kernel ${name}`, (status) =>
      cl.clCreateKernel(this.handle, name, status),
    );
    const kernel = new Kernel(this.owner, handle, this.#device, label);
    this.#kernels.push(kernel);
    for (const [index, value] of values.entries()) kernel.set(index, value);
    return kernel;
  }

  override release(): void {
    for (const kernel of this.#kernels.splice(0)) kernel.release();
    super.release();
  }

  #log(): string {
    const { cl } = this.owner;
    const size = new BigUint64Array(1);
    check('clGetProgramBuildInfo', cl.clGetProgramBuildInfo(this.handle, this.#device, buildLog, 0, null, size));
    const bytes = new Uint8Array(Number(size[0]));
    check(
      'clGetProgramBuildInfo',
      cl.clGetProgramBuildInfo(this.handle, this.#device, buildLog, bytes.length, bytes, null),
    );
    return new TextDecoder().decode(bytes).replace(/\0+$/, '').trim();
  }
}

/** What a kernel is given: a buffer, a number, or so many bytes of local memory. */
export type Argument =
  | DeviceBuffer
  | { readonly int32: number }
  | { readonly float32: number }
  | { readonly float64: number }
  | { readonly local: number };

/**
 * One kernel at one place of a step. Arguments and sizes are set once, or again before a launch: a launch takes those of its
 * moment.
 */
export class Kernel extends Owned {
  readonly label: string;
  /** Of one launch; set it where times are taken. */
  work: Work | null = null;
  /** Size_t [dimensions], as the launch takes them. */
  readonly globalSize = new BigUint64Array(3);
  readonly localSize = new BigUint64Array(3);
  dimensions = 0;
  /** Whether the driver chooses the size of work-groups. */
  anyLocalSize = true;
  readonly #device: Handle;
  readonly #integer = new Int32Array(1);
  readonly #float = new Float32Array(1);
  readonly #double = new Float64Array(1);
  readonly #address = new BigUint64Array(1);

  constructor(owner: Owner, handle: Handle, device: Handle, label: string) {
    super(owner, 'clReleaseKernel', handle);
    this.#device = device;
    this.label = label;
  }

  /**
   * @param global work-items in each dimension, multiples of `local`'s
   * @param local work-items of a work-group in each; null where no kernel depends on it
   */
  setSize(global: readonly number[], local: readonly number[] | null = null): this {
    this.dimensions = global.length;
    this.anyLocalSize = local === null;
    for (const [dimension, size] of global.entries()) this.globalSize[dimension] = BigInt(size);
    for (const [dimension, size] of (local ?? []).entries()) this.localSize[dimension] = BigInt(size);
    return this;
  }

  set(index: number, value: Argument): this {
    if (value instanceof DeviceBuffer) return this.setBuffer(index, value);
    if ('int32' in value) return this.setInt(index, value.int32);
    if ('float32' in value) return this.setFloat(index, value.float32);
    if ('float64' in value) return this.setDouble(index, value.float64);
    return this.#set(index, value.local, null);
  }

  setBuffer(index: number, { handle }: DeviceBuffer): this {
    this.#address[0] = handle;
    return this.#set(index, 8, this.#address);
  }

  /** Of an `int`, or an `uint` below 2^31. */
  setInt(index: number, value: number): this {
    this.#integer[0] = value;
    return this.#set(index, 4, this.#integer);
  }

  setFloat(index: number, value: number): this {
    this.#float[0] = value;
    return this.#set(index, 4, this.#float);
  }

  setDouble(index: number, value: number): this {
    this.#double[0] = value;
    return this.#set(index, 8, this.#double);
  }

  /** Work-items of a work-group at most, by what this kernel needs. */
  get maxWorkGroupSize(): number {
    return this.#info(kernelInfo.workGroupSize);
  }

  /** What the size of a work-group is best a multiple of. */
  get workGroupMultiple(): number {
    return this.#info(kernelInfo.multiple);
  }

  get localBytes(): number {
    return this.#info(kernelInfo.localBytes);
  }

  get privateBytes(): number {
    return this.#info(kernelInfo.privateBytes);
  }

  #set(index: number, bytes: number, value: NodeJS.TypedArray | null): this {
    const status = this.owner.cl.clSetKernelArg(this.handle, index, bytes, value);
    if (status !== 0) throw this.#error('clSetKernelArg', status, `argument ${String(index)}`);
    return this;
  }

  #info(what: number): number {
    this.#address[0] = 0n;
    const { cl } = this.owner;
    const status = cl.clGetKernelWorkGroupInfo(this.handle, this.#device, what, 8, this.#address, null);
    if (status !== 0) throw this.#error('clGetKernelWorkGroupInfo', status, 'a question');
    return Number(this.#address[0]);
  }

  #error(call: string, status: number, what: string): OpenClError {
    return new OpenClError(call, status, `${this.owner.title}, ${what} of kernel ${this.label}`);
  }
}

/**
 * libOpenCL, called through koffi, which is no dependency: whoever has it, a loader and a driver computes by them. All
 * functions that are used stand in one table with their signatures; a call gives its status, or a handle and its status
 * through its last argument, and `check` makes an `OpenClError` of any that is not success.
 */
import { existsSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import type * as koffiModule from 'koffi';
import type { LibraryHandle } from 'koffi';
import { messageOf, OperationalError } from '../../../../shared/errors.js';
import { OpenClError } from './status.js';

type Koffi = typeof koffiModule;

/** An object of OpenCL, or a place in memory: an address. */
export type Handle = bigint;

/** What each type of C takes: an array stands for its address, and is not copied. */
interface Values {
  uint32: number;
  uint64: number;
  size_t: number;
  str: string;
  'void *': Handle | NodeJS.TypedArray | null;
}
type Type = keyof Values;

/** Those that give a status. */
const statusCalls = {
  clGetPlatformIDs: ['uint32', 'void *', 'void *'],
  clGetPlatformInfo: ['void *', 'uint32', 'size_t', 'void *', 'void *'],
  clGetDeviceIDs: ['void *', 'uint64', 'uint32', 'void *', 'void *'],
  clGetDeviceInfo: ['void *', 'uint32', 'size_t', 'void *', 'void *'],
  clReleaseContext: ['void *'],
  clReleaseCommandQueue: ['void *'],
  clReleaseMemObject: ['void *'],
  clReleaseProgram: ['void *'],
  clReleaseKernel: ['void *'],
  clReleaseEvent: ['void *'],
  clBuildProgram: ['void *', 'uint32', 'void *', 'str', 'void *', 'void *'],
  clGetProgramBuildInfo: ['void *', 'void *', 'uint32', 'size_t', 'void *', 'void *'],
  clSetKernelArg: ['void *', 'uint32', 'size_t', 'void *'],
  clGetKernelWorkGroupInfo: ['void *', 'void *', 'uint32', 'size_t', 'void *', 'void *'],
  clEnqueueNDRangeKernel: ['void *', 'void *', 'uint32', 'void *', 'void *', 'void *', 'uint32', 'void *', 'void *'],
  clEnqueueWriteBuffer: ['void *', 'void *', 'uint32', 'size_t', 'size_t', 'void *', 'uint32', 'void *', 'void *'],
  clEnqueueReadBuffer: ['void *', 'void *', 'uint32', 'size_t', 'size_t', 'void *', 'uint32', 'void *', 'void *'],
  clEnqueueCopyBuffer: ['void *', 'void *', 'void *', 'size_t', 'size_t', 'size_t', 'uint32', 'void *', 'void *'],
  clEnqueueFillBuffer: ['void *', 'void *', 'void *', 'size_t', 'size_t', 'size_t', 'uint32', 'void *', 'void *'],
  clEnqueueMarkerWithWaitList: ['void *', 'uint32', 'void *', 'void *'],
  clFlush: ['void *'],
  clGetEventInfo: ['void *', 'uint32', 'size_t', 'void *', 'void *'],
  clGetEventProfilingInfo: ['void *', 'uint32', 'size_t', 'void *', 'void *'],
} as const satisfies Readonly<Record<string, readonly Type[]>>;

/** Those that give a handle; the last argument receives the status. */
const handleCalls = {
  clCreateContext: ['void *', 'uint32', 'void *', 'void *', 'void *', 'void *'],
  // In all versions of OpenCL, where its successor is in those from 2.0 on.
  clCreateCommandQueue: ['void *', 'void *', 'uint64', 'void *'],
  clCreateBuffer: ['void *', 'uint64', 'size_t', 'void *', 'void *'],
  clCreateSubBuffer: ['void *', 'uint64', 'uint32', 'void *', 'void *'],
  clCreateProgramWithSource: ['void *', 'uint32', 'void *', 'void *', 'void *'],
  clCreateKernel: ['void *', 'str', 'void *'],
} as const satisfies Readonly<Record<string, readonly Type[]>>;

type Arguments<Types extends readonly Type[]> = { [Index in keyof Types]: Values[Types[Index]] };
type Calls<Table extends Readonly<Record<string, readonly Type[]>>, Result> = {
  readonly [Name in keyof Table]: (...values: Arguments<Table[Name]>) => Result;
};

/** The functions of OpenCL on the thread that loaded it. */
export interface OpenCl extends Calls<typeof statusCalls, number>, Calls<typeof handleCalls, Handle | null> {
  /** Of an array that must be kept as long as the address is used. */
  address(array: NodeJS.TypedArray): Handle;
}

/** The environment variable that names the library's file. */
export const libraryVariable = 'MNIST_DDP_OPENCL';

const fileNames: Readonly<Partial<Record<NodeJS.Platform, readonly string[]>>> = {
  win32: ['OpenCL.dll'],
  darwin: ['/System/Library/Frameworks/OpenCL.framework/OpenCL'],
};
const fileNamesElsewhere = ['libOpenCL.so.1', 'libOpenCL.so'];

/**
 * Imports koffi and loads libOpenCL. The main thread does so too and keeps what it gets: koffi unloads a library that nobody
 * holds.
 * @param libraries as `ReplicaBinding.libraries`: the file URL of koffi
 * @throws OperationalError ENGINE_UNAVAILABLE, one line: what is missing and what to do
 */
export async function loadOpenCl([url]: readonly string[], environment = process.env): Promise<OpenCl> {
  if (url === undefined) throw unavailable('koffi is not installed, which calls OpenCL: npm install koffi');
  const named = environment[libraryVariable] ?? '';
  const names = named === '' ? (fileNames[process.platform] ?? fileNamesElsewhere) : [named];
  // Looked for first where it has a path, since to import koffi takes its time.
  const there = !isAbsolute(named) || existsSync(named);
  if (there) {
    const koffi = await importKoffi(url);
    for (const name of names) {
      const library = tryLoad(koffi, name);
      if (library !== null) return bind(koffi, library, name);
    }
  }
  const [first = ''] = names;
  throw unavailable(
    named === ''
      ? `there is no loader of OpenCL (${first}): install one, such as Debian's ocl-icd-libopencl1, and the GPU's driver`
      : `${named} (from ${libraryVariable}) cannot be loaded: name a loader of OpenCL there, or leave it out`,
  );
}

export function unavailable(message: string, cause?: unknown): OperationalError {
  return new OperationalError('ENGINE_UNAVAILABLE', `\`engine\` opencl: ${message}`, { cause });
}

async function importKoffi(url: string): Promise<Koffi> {
  try {
    return ((await import(url)) as { readonly default: Koffi }).default;
  } catch (cause) {
    const [reason = ''] = messageOf(cause).split('\n');
    throw unavailable(`koffi cannot be loaded (${reason}): npm install koffi`, cause);
  }
}

function tryLoad(koffi: Koffi, name: string): LibraryHandle | null {
  try {
    return koffi.load(name);
  } catch {
    return null;
  }
}

function bind(koffi: Koffi, library: LibraryHandle, file: string): OpenCl {
  const bound = (table: Readonly<Record<string, readonly Type[]>>, result: string): object =>
    Object.fromEntries(
      Object.entries(table).map(([name, types]) => [name, library.func(name, result, [...types])] as const),
    );
  try {
    const calls = { ...bound(statusCalls, 'int32'), ...bound(handleCalls, 'void *') };
    return { ...(calls as OpenCl), address: (array) => koffi.address(array) };
  } catch (cause) {
    throw unavailable(`${file} is no loader of OpenCL 1.2 or newer (${messageOf(cause)}): install a newer one`, cause);
  }
}

const success = 0;

/** @throws OpenClError where a call was no success */
export function check(call: keyof typeof statusCalls, status: number, device: string | null = null): void {
  if (status !== success) throw new OpenClError(call, status, device);
}

/**
 * Calls a function that gives a handle.
 * @param create is given the array that receives the status
 * @throws OpenClError
 */
export function created(
  call: keyof typeof handleCalls,
  device: string | null,
  create: (status: Int32Array) => Handle | null,
): Handle {
  const status = new Int32Array(1);
  const handle = create(status);
  if (handle === null || handle === 0n || status[0] !== success) throw new OpenClError(call, status[0] ?? 0, device);
  return handle;
}

/**
 * libmpi, called through koffi: neither is a dependency. There are three binary interfaces, and a call by the wrong one
 * crashes, so each is told by symbols that only it has. Only bytes are sent, so few constants of each are needed.
 */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type * as koffiModule from 'koffi';
import type { LibraryHandle } from 'koffi';
import { OperationalError } from '../shared/errors.js';
import type { Launched } from './environment.js';

type Koffi = typeof koffiModule;
/** A handle of MPI: an address, or an integer of four bytes. */
type Handle = bigint | number;

interface Interface {
  readonly name: 'Open MPI' | 'MPICH' | 'the MPI 5 ABI';
  /** C type of handles, requests among them. */
  readonly handle: 'void *' | 'int';
  readonly handleBytes: 4 | 8;
  readonly world: (library: LibraryHandle) => Handle;
  readonly byte: (library: LibraryHandle) => Handle;
  readonly errorsReturn: (library: LibraryHandle) => Handle;
  readonly ignore: bigint;
  readonly funneled: number;
}

const symbol = (name: string) => (library: LibraryHandle) => library.symbol(name) as bigint;
const constant = (value: Handle) => () => value;

const openMpi: Interface = {
  name: 'Open MPI',
  handle: 'void *',
  handleBytes: 8,
  world: symbol('ompi_mpi_comm_world'),
  byte: symbol('ompi_mpi_byte'),
  errorsReturn: symbol('ompi_mpi_errors_return'),
  ignore: 0n,
  funneled: 1,
};

const mpich: Interface = {
  name: 'MPICH',
  handle: 'int',
  handleBytes: 4,
  world: constant(0x44000000),
  byte: constant(0x4c00010d),
  errorsReturn: constant(0x54000001),
  ignore: 1n,
  funneled: 1,
};

const mpi5: Interface = {
  name: 'the MPI 5 ABI',
  handle: 'void *',
  handleBytes: 8,
  world: constant(0x101n),
  byte: constant(0x247n),
  errorsReturn: constant(0x143n),
  ignore: 0n,
  funneled: 1024,
};

/** Where a library is looked for without MNIST_DDP_MPI. */
const fileNames = {
  'Open MPI': ['libmpi.so.40', 'libmpi.40.dylib'],
  MPICH: ['libmpi_abi.so.1', 'libmpi_abi.so.0', 'libmpi.so.12', 'libmpich.so.12', 'libmpi.12.dylib'],
} as const;

/** The environment variable that names the library's file. */
export const libraryVariable = 'MNIST_DDP_MPI';

/** The functions of MPI that are used; each returns an error code, 0 for success. Addresses are those of `address`. */
export interface Mpi {
  readonly name: string;
  /** Bytes of one request. */
  readonly requestBytes: 4 | 8;
  /** Of an array that must be kept as long as MPI may use it. */
  address(array: Uint8Array | Int32Array): bigint;
  init(): number;
  rank(): number;
  size(): number;
  send(address: bigint, bytes: number, peer: number, tag: number, request: bigint): number;
  receive(address: bigint, bytes: number, peer: number, tag: number, request: bigint): number;
  test(request: bigint, flag: bigint): number;
  testAll(count: number, requests: bigint, flag: bigint): number;
  errorText(code: number): string;
  /** The library in its own words, on one line; may be called at any time. */
  version(): string;
  abort(code: number): number;
  finalize(): number;
}

/**
 * Loads koffi and libmpi. Call it on the main thread too and keep what it returns: koffi unloads a library that nobody holds.
 * @throws OperationalError MPI_UNAVAILABLE
 */
export function loadMpi(preferred: Launched['library'], environment = process.env): Mpi {
  const koffi = loadKoffi();
  // Without these, loading an MPICH over UCX crashes Node now and then.
  environment['UCX_MEM_MMAP_HOOK_MODE'] ??= 'none';
  environment['UCX_HANDLE_ERRORS'] ??= 'none';
  const other = preferred === 'MPICH' ? 'Open MPI' : 'MPICH';
  const named = environment[libraryVariable];
  const names = named === undefined ? [...fileNames[preferred], ...fileNames[other]] : [named];
  for (const name of names) {
    const library = tryLoad(koffi, name);
    if (library !== null) return bind(koffi, library, interfaceOf(library));
  }
  const where = named === undefined ? 'no libmpi is found' : `${named} (from ${libraryVariable}) cannot be loaded`;
  throw unavailable(
    `${where}: install Open MPI, such as Debian's openmpi-bin, or name its library with ${libraryVariable}`,
  );
}

export function unavailable(message: string): OperationalError {
  return new OperationalError('MPI_UNAVAILABLE', message);
}

/** Its package may lie beside mnist-ddp, or in the project that uses it. */
function loadKoffi(): Koffi {
  for (const place of [fileURLToPath(new URL('../..', import.meta.url)), process.cwd()]) {
    try {
      return createRequire(join(place, 'package.json'))('koffi') as Koffi;
    } catch {
      // The next place.
    }
  }
  throw unavailable('koffi is not installed, which calls MPI: npm install koffi');
}

function tryLoad(koffi: Koffi, name: string): LibraryHandle | null {
  try {
    return koffi.load(name, { global: true });
  } catch {
    return null;
  }
}

function interfaceOf(library: LibraryHandle): Interface {
  const has = (name: string): boolean => {
    try {
      library.symbol(name);
      return true;
    } catch {
      return false;
    }
  };
  if (has('ompi_mpi_comm_world')) return openMpi;
  if (!has('MPI_Abi_get_version')) return mpich;
  // A library may know the question and answer that it is not of that interface: -1.
  const version = new Int32Array(2);
  const ask = library.func('MPI_Abi_get_version', 'int', ['void *', 'void *']) as (...values: Int32Array[]) => number;
  return ask(version.subarray(0, 1), version.subarray(1)) === 0 && (version[0] ?? -1) > 0 ? mpi5 : mpich;
}

function bind(koffi: Koffi, library: LibraryHandle, abi: Interface): Mpi {
  const { handle, ignore } = abi;
  type Call = (...values: (Handle | Uint8Array | Int32Array)[]) => number;
  const declare = (name: string, ...parameters: string[]): Call => library.func(name, 'int', parameters) as Call;
  const transfer = ['void *', 'int', handle, 'int', 'int', handle, 'void *'];
  const [isend, irecv] = [declare('MPI_Isend', ...transfer), declare('MPI_Irecv', ...transfer)];
  const test = declare('MPI_Test', 'void *', 'void *', 'void *');
  const testAll = declare('MPI_Testall', 'int', 'void *', 'void *', 'void *');
  const initThread = declare('MPI_Init_thread', 'void *', 'void *', 'int', 'void *');
  const setErrorHandler = declare('MPI_Comm_set_errhandler', handle, handle);
  const errorString = declare('MPI_Error_string', 'int', 'void *', 'void *');
  const libraryVersion = declare('MPI_Get_library_version', 'void *', 'void *');
  const [commRank, commSize] = ['MPI_Comm_rank', 'MPI_Comm_size'].map((name) => declare(name, handle, 'void *'));
  const abort = declare('MPI_Abort', handle, 'int');
  const finalize = declare('MPI_Finalize');
  const [world, byte] = [abi.world(library), abi.byte(library)];
  const integer = new Int32Array(1);
  const numberOf = (call: Call | undefined): number => {
    call?.(world, integer);
    return integer[0] ?? 0;
  };
  const textOf = (fill: (text: Uint8Array, length: Int32Array) => number): string => {
    const text = new Uint8Array(8192);
    fill(text, integer);
    return new TextDecoder().decode(text.subarray(0, integer[0] ?? 0));
  };
  return {
    name: abi.name,
    requestBytes: abi.handleBytes,
    address: (array) => koffi.address(array),
    init: () => initThread(0n, 0n, abi.funneled, integer) || setErrorHandler(world, abi.errorsReturn(library)),
    rank: () => numberOf(commRank),
    size: () => numberOf(commSize),
    send: (address, bytes, peer, tag, request) => isend(address, bytes, byte, peer, tag, world, request),
    receive: (address, bytes, peer, tag, request) => irecv(address, bytes, byte, peer, tag, world, request),
    test: (request, flag) => test(request, flag, ignore),
    testAll: (count, requests, flag) => testAll(count, requests, flag, ignore),
    errorText: (code) => textOf((text, length) => errorString(code, text, length)),
    version: () =>
      textOf(libraryVersion)
        .replace(/[,\n].*$/s, '')
        .trim(),
    abort: (code) => abort(world, code),
    finalize: () => finalize(),
  };
}

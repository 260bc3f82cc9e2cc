/**
 * The four IDX files of a data set on disk: what their headers say, and loading them into shared memory.
 *
 * Not responsible for the memory: the coordinator lays it out from the counts and says where each file's rows go.
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { stat } from 'node:fs/promises';
import { createGunzip } from 'node:zlib';
import { IrregularFileError, openRegularFile } from '../../files/regular-file.js';
import { assert, OperationalError } from '../../shared/errors.js';
import { checkIdxExpansion, checkIdxLength, idxHeaderLength, invalidIdx, parseIdxHeader } from '../../shared/idx.js';
import type { IdxHeader } from '../../shared/idx.js';
import type { DatasetFile, DatasetLocation } from './dataset-location.js';
import { checkLabels, countRows, kindOf, mapParts, nameOf, type OpenDataset } from '../dataset/dataset-parts.js';

export { locateDataset } from './dataset-location.js';
export type { OpenDataset } from '../dataset/dataset-parts.js';

const readBytes = 1 << 20;
const gunzipBytes = 1 << 16;

/**
 * Reads and checks the four headers; loads nothing yet.
 * @throws OperationalError DATA_INVALID (bad header, counts of images and labels that differ, an empty split) or
 *   DATA_MISSING (a file went away or may not be read)
 */
export async function openDataset(location: DatasetLocation): Promise<OpenDataset> {
  const { files } = location;
  const headers = await mapParts((part) => readHeader(files[part]));
  const names = await mapParts((part) => Promise.resolve(files[part].path));
  return {
    ...countRows(names, headers),
    async load(buffer, offsets) {
      const sums = await mapParts((part) => loadFile(files[part], headers[part], buffer, offsets[part]));
      return nameOf(sums);
    },
  };
}

async function readHeader(file: DatasetFile): Promise<IdxHeader> {
  const kind = kindOf(file.part);
  const head = new Uint8Array(idxHeaderLength[kind]);
  try {
    const { size, length } = file.gzip ? await readGzipHead(file.path, head) : await readPlainHead(file.path, head);
    const header = parseIdxHeader(kind, file.path, head.subarray(0, length), file.gzip ? null : size);
    if (file.gzip) checkIdxExpansion(header, file.path, size);
    return header;
  } catch (error) {
    throw readFailure(file.path, error);
  }
}

async function readPlainHead(path: string, head: Uint8Array): Promise<{ size: number; length: number }> {
  const handle = await openRegularFile(path);
  try {
    const { size } = await handle.stat();
    const { bytesRead } = await handle.read(head, 0, head.length, 0);
    return { size, length: bytesRead };
  } finally {
    await handle.close();
  }
}

/** Decompresses no more than the first chunk or two. */
async function readGzipHead(path: string, head: Uint8Array): Promise<{ size: number; length: number }> {
  const { size } = await stat(path);
  let length = 0;
  for await (const chunk of gunzipChunks(path, 1024)) {
    const part = chunk.subarray(0, head.length - length);
    head.set(part, length);
    length += part.length;
    if (length === head.length) break;
  }
  return { size, length };
}

/**
 * The contents of a compressed file, piece by piece; leaving the loop early stops reading. (A `pipeline` would report an error
 * thrown by its reader as an AbortError of its own.)
 */
async function* gunzipChunks(path: string, chunkSize: number): AsyncGenerator<Uint8Array, void> {
  const source = (await openRegularFile(path)).createReadStream();
  const gunzip = createGunzip({ chunkSize });
  source.on('error', (error) => gunzip.destroy(error));
  try {
    for await (const chunk of source.pipe(gunzip)) yield chunk as Uint8Array;
  } finally {
    source.destroy();
    if (!source.closed) await once(source, 'close');
  }
}

/** Loads one file's rows to `offset` of the buffer. Returns the hex SHA-256 of the whole file, decompressed. */
async function loadFile(
  file: DatasetFile,
  header: IdxHeader,
  buffer: SharedArrayBuffer,
  offset: number,
): Promise<string> {
  const rows = new Uint8Array(buffer, offset, header.totalLength - header.headerLength);
  const sink = new IdxSink(file, header, rows);
  try {
    await (file.gzip ? readGzip(file.path, sink) : readPlain(file.path, sink));
  } catch (error) {
    throw readFailure(file.path, error);
  }
  const sum = sink.finish();
  if (header.kind === 'labels') checkLabels(file.path, rows);
  return sum;
}

/** Reads straight into the sink's own memory: the file's contents are nowhere else. */
async function readPlain(path: string, sink: IdxSink): Promise<void> {
  const handle = await openRegularFile(path);
  try {
    for (;;) {
      const target = sink.next(readBytes);
      const { bytesRead } = await handle.read(target, 0, target.length, null);
      if (bytesRead === 0) return;
      sink.advance(target.subarray(0, bytesRead));
    }
  } finally {
    await handle.close();
  }
}

async function readGzip(path: string, sink: IdxSink): Promise<void> {
  for await (const chunk of gunzipChunks(path, gunzipBytes)) {
    let rest = chunk;
    while (rest.length > 0) {
      const target = sink.next(rest.length);
      target.set(rest.subarray(0, target.length));
      sink.advance(target);
      rest = rest.subarray(target.length);
    }
  }
}

/**
 * Takes the bytes of one file in order: hands out the memory where the next ones belong, hashes what arrived, and refuses
 * the first byte beyond what the header declares (so a compressed file cannot grow without bound).
 */
class IdxSink {
  private readonly hash = createHash('sha256');
  private readonly head: Uint8Array;
  private readonly surplus = new Uint8Array(1);
  private position = 0;

  constructor(
    private readonly file: DatasetFile,
    private readonly header: IdxHeader,
    private readonly rows: Uint8Array,
  ) {
    assert(rows.length === header.totalLength - header.headerLength, 'the buffer has room for the rows');
    this.head = new Uint8Array(header.headerLength);
  }

  /** Where the next bytes go: at least one byte of room, at most `length`. */
  next(length: number): Uint8Array {
    const { position, head, rows } = this;
    if (position < head.length) return head.subarray(position, position + length);
    const start = position - head.length;
    if (start < rows.length) return rows.subarray(start, start + length);
    return this.surplus;
  }

  /** Says that `filled`, a leading part of what `next` gave, has been written. */
  advance(filled: Uint8Array): void {
    this.position += filled.length;
    const { position, header, file } = this;
    if (position > header.totalLength) {
      const declared = `${String(header.totalLength)} bytes that its header declares`;
      throw invalidIdx(file.path, `goes on after the ${declared}`);
    }
    this.hash.update(filled);
    if (position === header.headerLength) this.checkHead();
  }

  finish(): string {
    checkIdxLength(this.header, this.file.path, this.position);
    return this.hash.digest('hex');
  }

  private checkHead(): void {
    const again = parseIdxHeader(this.header.kind, this.file.path, this.head, null);
    if (again.count !== this.header.count) throw invalidIdx(this.file.path, 'changed while it was being read');
  }
}

function readFailure(path: string, error: unknown): unknown {
  if (error instanceof OperationalError || !(error instanceof Error)) return error;
  if (error instanceof IrregularFileError) return new OperationalError('DATA_INVALID', error.message, { cause: error });
  const code = 'code' in error ? String(error.code) : '';
  if (code.startsWith('Z_')) return invalidIdx(path, `cannot be decompressed (${error.message})`, error);
  if (!('syscall' in error)) return error;
  const message = `cannot read ${path} (${code}); check the file and its permissions, or choose another folder with \`data\``;
  return new OperationalError(code === 'ENOENT' ? 'DATA_MISSING' : 'DATA_INVALID', message, { cause: error });
}

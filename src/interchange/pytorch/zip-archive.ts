/** Zip archives in memory, as PyTorch uses them: reading trusts nothing, writing gives the same bytes for the same entries. */
import { Buffer } from 'node:buffer';
import { crc32, inflateRawSync } from 'node:zlib';
import { fromBufferPromise, type Entry, type ZipFile as ZipReader } from 'yauzl';
import { ZipFile } from 'yazl';
import { printable, WeightsFormatError } from '../problem.js';

/** Uncompressed bytes of all entries together; the weights of this network take 3 MB, with optimiser states 9 MB. */
const maxArchiveBytes = 64 * 1024 * 1024;
const maxEntries = 1024;

const stored = 0;
const deflated = 8;
const copyAgain = 'copy it again from where it came, or save it again with torch.save';

export interface ArchiveEntry {
  /** Uncompressed. */
  readonly length: number;
  /** The contents, or a view of the archive's bytes; checked against their checksum, if any. Throws WeightsFormatError. */
  read(): Uint8Array;
}

interface Range {
  readonly name: string;
  readonly start: number;
  readonly end: number;
}

/**
 * The directory of an archive, by name, in its order. Nothing is uncompressed before `read`.
 * @throws WeightsFormatError for an archive that is damaged, repeats a name, has entries that share bytes, or would grow beyond
 * 64 MiB
 */
export async function readArchive(bytes: Uint8Array): Promise<ReadonlyMap<string, ArchiveEntry>> {
  const entries = new Map<string, ArchiveEntry>();
  const ranges: Range[] = [];
  let total = 0;
  await forEachEntry(bytes, async (entry, reader) => {
    const name = entry.fileName;
    total += entry.uncompressedSize;
    if (entries.size === maxEntries || total > maxArchiveBytes) {
      throw new WeightsFormatError('holds more than the weights of this network can take');
    }
    if (entries.has(name))
      throw new WeightsFormatError(`is corrupted: it has two entries ${printable(name)}`, copyAgain);
    const { fileDataStart } = await reader.readLocalFileHeaderPromise(entry, { minimal: true });
    const end = fileDataStart + entry.compressedSize;
    ranges.push({ name, start: entry.relativeOffsetOfLocalHeader, end });
    const data = bytes.subarray(fileDataStart, end);
    entries.set(name, { length: entry.uncompressedSize, read: () => contentsOf(entry, data) });
  });
  checkApart(ranges);
  return entries;
}

async function forEachEntry(
  bytes: Uint8Array,
  visit: (entry: Entry, reader: ZipReader) => Promise<void>,
): Promise<void> {
  try {
    const reader = await fromBufferPromise(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    for await (const entry of reader.eachEntry()) await visit(entry, reader);
  } catch (error) {
    if (error instanceof WeightsFormatError || !(error instanceof Error)) throw error;
    throw new WeightsFormatError(`is no whole zip archive (${printable(error.message)})`, copyAgain);
  }
}

function checkApart(ranges: Range[]): void {
  ranges.sort((a, b) => a.start - b.start);
  for (const [i, { name, end }] of ranges.entries()) {
    const next = ranges[i + 1];
    if (next === undefined || next.start >= end) continue;
    const both = `${printable(name)} and ${printable(next.name)}`;
    throw new WeightsFormatError(`is corrupted: its entries ${both} share bytes`, copyAgain);
  }
}

function contentsOf(entry: Entry, data: Uint8Array): Uint8Array {
  const contents = uncompress(entry, data);
  // torch.serialization.set_crc32_options(False) leaves 0 where the checksum belongs.
  const summed = contents !== null && (entry.crc32 === 0 || crc32(contents) === entry.crc32);
  if (summed && contents.length === entry.uncompressedSize) return contents;
  const problem = `is corrupted: its entry ${printable(entry.fileName)} does not match its size or checksum`;
  throw new WeightsFormatError(problem, copyAgain);
}

/** Null for what deflate cannot have written, or more than the entry announces. */
function uncompress(entry: Entry, data: Uint8Array): Uint8Array | null {
  const { compressionMethod, uncompressedSize, fileName } = entry;
  if (entry.isEncrypted() || (compressionMethod !== stored && compressionMethod !== deflated)) {
    const how = entry.isEncrypted() ? 'encrypted' : `compressed by method ${String(compressionMethod)}`;
    throw new WeightsFormatError(`has an entry ${printable(fileName)} that is ${how}`);
  }
  if (compressionMethod === stored) return data;
  try {
    return inflateRawSync(data, { maxOutputLength: Math.max(1, uncompressedSize) });
  } catch {
    return null;
  }
}

/** Bytes of a local file header of `writeArchive` without the entry's name. */
export const localHeaderLength = 30;

/** An archive of uncompressed entries in that order: the same bytes for the same entries, anywhere and at any time. */
export async function writeArchive(
  entries: Iterable<readonly [name: string, contents: Uint8Array]>,
): Promise<Uint8Array> {
  const archive = new ZipFile();
  // The earliest time that a zip knows. The library stores local time, so this one is the same in every time zone.
  const mtime = new Date(1980, 0, 1);
  for (const [name, contents] of entries) {
    const buffer = Buffer.from(contents.buffer, contents.byteOffset, contents.byteLength);
    archive.addBuffer(buffer, name, { compress: false, mtime, forceDosTimestamp: true });
  }
  archive.end();
  const chunks: Uint8Array[] = [];
  for await (const chunk of archive.outputStream) {
    if (typeof chunk !== 'string') chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

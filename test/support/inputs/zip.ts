/** Zip archives with whatever a test wants them to claim. */
import { crc32 } from 'node:zlib';

export interface ZipEntry {
  readonly name: string;
  /** As stored: compressed if `method` says so. */
  readonly data: Uint8Array;
  readonly method?: number;
  /** Claimed uncompressed size. */
  readonly size?: number;
  readonly crc?: number;
  readonly flags?: number;
  /** Claims the local header of an earlier entry, by position, and writes none. */
  readonly sharedWith?: number;
}

export function zipOf(entries: readonly ZipEntry[]): Buffer {
  const local: Buffer[] = [];
  const central: Buffer[] = [];
  const offsets: number[] = [];
  let end = 0;
  for (const entry of entries) {
    const { name, data, method = 0, size = data.length, crc = crc32(data), flags = 0x800, sharedWith } = entry;
    const fields = Buffer.alloc(26);
    fields.writeUInt16LE(20, 0);
    fields.writeUInt16LE(flags, 2);
    fields.writeUInt16LE(method, 4);
    fields.writeUInt32LE(crc, 10);
    fields.writeUInt32LE(data.length, 14);
    fields.writeUInt32LE(size, 18);
    fields.writeUInt16LE(name.length, 22);
    const header = Buffer.concat([Buffer.from('PK\x03\x04'), fields, Buffer.from(name), data]);
    const offset = sharedWith === undefined ? end : (offsets[sharedWith] ?? NaN);
    offsets.push(offset);
    if (sharedWith === undefined) {
      local.push(header);
      end += header.length;
    }
    const place = Buffer.alloc(14);
    place.writeUInt32LE(offset, 10);
    central.push(Buffer.from('PK\x01\x02\x14\x00'), fields, place, Buffer.from(name));
  }
  const directory = Buffer.concat(central);
  const tail = Buffer.alloc(22);
  tail.write('PK\x05\x06', 'latin1');
  tail.writeUInt16LE(entries.length, 8);
  tail.writeUInt16LE(entries.length, 10);
  tail.writeUInt32LE(directory.length, 12);
  tail.writeUInt32LE(end, 16);
  return Buffer.concat([...local, directory, tail]);
}

/**
 * A look over MessagePack bytes before they are decoded: a decoder allocates what a header asks for, and five bytes can ask
 * for an array of 2^32 values. This pass allocates nothing.
 *
 * Format: https://github.com/msgpack/msgpack/blob/master/spec.md
 */

const maxDepth = 8;
/** Values in all arrays and maps together: far more than a checkpoint has. */
const maxItems = 4096;

interface Cursor {
  readonly view: DataView;
  position: number;
  /** Values announced so far. */
  items: number;
}

/**
 * Whether the bytes are exactly one value, whose strings and binaries lie inside, whose arrays and maps are few, small
 * and not deeply nested, and which holds no extension type.
 */
export function isPlainMessagePack(bytes: Uint8Array): boolean {
  const cursor = { view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), position: 0, items: 0 };
  try {
    return skipValue(cursor, 0) && cursor.position === bytes.length;
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}

/** Moves past one value. A read beyond the end throws RangeError. */
function skipValue(cursor: Cursor, depth: number): boolean {
  if (depth > maxDepth) return false;
  const type = readLength(cursor, 1);
  if (type <= 0x7f || type >= 0xe0) return true;
  if (type <= 0x8f) return skipItems(cursor, (type & 0x0f) * 2, depth);
  if (type <= 0x9f) return skipItems(cursor, type & 0x0f, depth);
  if (type <= 0xbf) return skipBytes(cursor, type & 0x1f);
  switch (type) {
    case 0xc0: // nil, false, true
    case 0xc2:
    case 0xc3:
      return true;
    case 0xc4: // binary and string of 8, 16 and 32 bits of length
    case 0xd9:
      return skipBytes(cursor, readLength(cursor, 1));
    case 0xc5:
    case 0xda:
      return skipBytes(cursor, readLength(cursor, 2));
    case 0xc6:
    case 0xdb:
      return skipBytes(cursor, readLength(cursor, 4));
    case 0xca: // float32, float64
      return skipBytes(cursor, 4);
    case 0xcb:
      return skipBytes(cursor, 8);
    case 0xcc: // unsigned and signed integers of 8, 16, 32 and 64 bits
    case 0xd0:
      return skipBytes(cursor, 1);
    case 0xcd:
    case 0xd1:
      return skipBytes(cursor, 2);
    case 0xce:
    case 0xd2:
      return skipBytes(cursor, 4);
    case 0xcf:
    case 0xd3:
      return skipBytes(cursor, 8);
    case 0xdc: // arrays and maps of 16 and 32 bits of length
      return skipItems(cursor, readLength(cursor, 2), depth);
    case 0xdd:
      return skipItems(cursor, readLength(cursor, 4), depth);
    case 0xde:
      return skipItems(cursor, readLength(cursor, 2) * 2, depth);
    case 0xdf:
      return skipItems(cursor, readLength(cursor, 4) * 2, depth);
    default: // extension types, and 0xc1, which is never used
      return false;
  }
}

function readLength(cursor: Cursor, bytes: 1 | 2 | 4): number {
  const { view, position } = cursor;
  cursor.position += bytes;
  if (bytes === 1) return view.getUint8(position);
  return bytes === 2 ? view.getUint16(position) : view.getUint32(position);
}

function skipBytes(cursor: Cursor, length: number): boolean {
  cursor.position += length;
  return cursor.position <= cursor.view.byteLength;
}

function skipItems(cursor: Cursor, items: number, depth: number): boolean {
  cursor.items += items;
  if (cursor.items > maxItems) return false;
  for (let item = 0; item < items; item++) if (!skipValue(cursor, depth + 1)) return false;
  return true;
}

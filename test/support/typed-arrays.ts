/** Has equality of typed arrays go by their bytes: by its elements, as vitest takes it, a network's is a matter of seconds. */
import { expect } from 'vitest';

expect.addEqualityTesters([
  (one: unknown, other: unknown): boolean | undefined => {
    if (!ArrayBuffer.isView(one) || !ArrayBuffer.isView(other) || one.constructor !== other.constructor)
      return undefined;
    // Bytes that differ may be equal elements: there is more than one NaN.
    return bytesOf(one).equals(bytesOf(other)) ? true : undefined;
  },
]);

function bytesOf({ buffer, byteOffset, byteLength }: ArrayBufferView): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}

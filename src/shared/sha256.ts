/** SHA-256 by WebCrypto, which Node and browsers have alike. */

/** Of the bytes of `parts`, one after the other; they are read before the first wait. */
export async function sha256(...parts: readonly Uint8Array[]): Promise<Uint8Array> {
  // WebCrypto takes one piece, and none that lies in shared memory.
  const bytes = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
}

/** The same, in hex. */
export async function hexSha256(...parts: readonly Uint8Array[]): Promise<string> {
  const digest = await sha256(...parts);
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

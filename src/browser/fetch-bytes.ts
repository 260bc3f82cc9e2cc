/** Files of the page's own server. */
import { messageOf, OperationalError } from '../shared/errors.js';

/** The whole of a file. Throws DATA_MISSING where the server is gone or does not have it. */
export async function fetchBytes(path: string): Promise<Uint8Array<ArrayBuffer>> {
  let reason: string;
  try {
    const response = await fetch(path);
    if (response.ok) return new Uint8Array(await response.arrayBuffer());
    reason = `status ${String(response.status)}`;
  } catch (error) {
    reason = messageOf(error);
  }
  throw new OperationalError(
    'DATA_MISSING',
    `Cannot load ${path} (${reason}): start mnist-ddp demo again, and reload this page`,
  );
}

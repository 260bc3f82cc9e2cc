/** Serves a fixed list of files on loopback to browsers of this machine, and nothing else. */
import { once } from 'node:events';
import type { FileHandle } from 'node:fs/promises';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { usageError } from '../../shared/errors.js';

export interface ServedFile {
  /** Its media type. */
  readonly type: string;
  /** What is sent. */
  readonly contents: Uint8Array | OpenFile;
  /** Whether that is compressed with gzip, which the browser is told to undo. */
  readonly gzip: boolean;
}

/** A file that stays what it was when it was opened, whatever becomes of its name. Whoever opened it closes it. */
export interface OpenFile {
  readonly handle: FileHandle;
  /** Bytes that are sent; fewer in the file, which was cut since, end the connection. */
  readonly size: number;
}

export interface FileServer {
  readonly url: string;
  /** Ends all connections, and resolves when the port is free. To be called once. */
  readonly close: () => Promise<void>;
}

const loopback = '127.0.0.1';
const readBytes = 1 << 16;

/**
 * Cross-origin isolation, which browsers ask for before they give SharedArrayBuffers; and that the page may use its own files
 * and nothing else.
 */
const headers = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Content-Security-Policy': [
    "default-src 'none'",
    "script-src 'self' 'wasm-unsafe-eval'",
    "worker-src 'self'",
    "style-src 'self'",
    "connect-src 'self'",
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; '),
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cache-Control': 'no-store',
} as const;

/**
 * Serves `files`, by their paths such as `/page.js`.
 * @param port 0 for one that is free
 * @throws OperationalError USAGE where the port is taken or not allowed
 */
export async function serveFiles(files: ReadonlyMap<string, ServedFile>, port: number): Promise<FileServer> {
  // Here, since whoever imports this package would wait for it: Node's `http` takes 50 ms.
  const { createServer } = await import('node:http');
  const server = createServer((request, response) => {
    void answer(files, hostsOn(portOf(server)), request, response);
  });
  server.listen(port, loopback);
  try {
    await once(server, 'listening');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    const reason = code === 'EADDRINUSE' ? 'is in use' : `cannot be used (${code})`;
    throw usageError(
      `\`port\` ${String(port)} ${reason} on ${loopback}; choose another, or leave \`port\` out for a free one`,
    );
  }
  return {
    url: `http://${loopback}:${String(portOf(server))}/`,
    close: async () => {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}

/** What a browser of this machine asks for. A page elsewhere whose name leads here (DNS rebinding) has another host. */
export function hostsOn(port: number): readonly string[] {
  const names = [loopback, 'localhost'];
  const hosts = names.map((name) => `${name}:${String(port)}`);
  // Clients leave HTTP's own port out.
  return port === 80 ? [...names, ...hosts] : hosts;
}

async function answer(
  files: ReadonlyMap<string, ServedFile>,
  hosts: readonly string[],
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { method, url, headers: asked } = request;
  const file = files.get(url?.split('?')[0] ?? '');
  if (asked.host === undefined || !hosts.includes(asked.host)) refuse(response, 403, 'This host is not served here.');
  else if (method !== 'GET' && method !== 'HEAD') refuse(response, 405, 'Only GET and HEAD.', { Allow: 'GET, HEAD' });
  else if (file === undefined) refuse(response, 404, 'There is no such file.');
  else await send(response, file, method === 'HEAD');
}

function refuse(
  response: ServerResponse,
  status: number,
  text: string,
  more: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, { ...headers, ...more, 'Content-Type': 'text/plain; charset=utf-8' }).end(`${text}\n`);
}

async function send(response: ServerResponse, { type, contents, gzip }: ServedFile, headOnly: boolean): Promise<void> {
  response.writeHead(200, {
    ...headers,
    'Content-Type': type,
    'Content-Length': contents instanceof Uint8Array ? contents.length : contents.size,
    ...(gzip ? { 'Content-Encoding': 'gzip' } : {}),
  });
  if (headOnly) response.end();
  else if (contents instanceof Uint8Array) response.end(contents);
  else {
    try {
      await pipeline(chunksOf(contents), response);
    } catch {
      // The file was cut, or the reader went away: the page says what it misses.
      response.destroy();
    }
  }
}

/** Each reader has a position of its own. */
async function* chunksOf({ handle, size }: OpenFile): AsyncGenerator<Uint8Array, void> {
  for (let position = 0; position < size;) {
    const chunk = new Uint8Array(Math.min(readBytes, size - position));
    const { bytesRead } = await handle.read(chunk, 0, chunk.length, position);
    if (bytesRead === 0) throw new Error('the file was cut');
    yield chunk.subarray(0, bytesRead);
    position += bytesRead;
  }
}

/** Serves a fixed list of files on loopback to browsers of this machine, and nothing else. */
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { usageError } from '../shared/errors.js';

export interface ServedFile {
  /** Its media type. */
  readonly type: string;
  /** What is sent, or the path of the file that is. */
  readonly contents: Uint8Array | string;
  /** Whether that is compressed with gzip, which the browser is told to undo. */
  readonly gzip: boolean;
}

export interface FileServer {
  readonly url: string;
  /** Ends all connections, and resolves when the port is free. */
  readonly close: () => Promise<void>;
}

const loopback = '127.0.0.1';

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
      `--port ${String(port)} ${reason} on ${loopback}; choose another, or leave --port out for a free one`,
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
  try {
    const length = typeof contents === 'string' ? (await stat(contents)).size : contents.length;
    response.writeHead(200, {
      ...headers,
      'Content-Type': type,
      'Content-Length': length,
      ...(gzip ? { 'Content-Encoding': 'gzip' } : {}),
    });
    if (headOnly) response.end();
    else if (typeof contents === 'string') await pipeline(createReadStream(contents), response);
    else response.end(contents);
  } catch {
    // The file went away, or the reader did: the page says what it misses.
    if (response.headersSent) response.destroy();
    else refuse(response, 404, 'The file is not there any more.');
  }
}

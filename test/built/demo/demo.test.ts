/** The demo's server: its own files to browsers of this machine, and nothing else to anyone. */
import { once } from 'node:events';
import { mkdir, readdir, readFile, readlink, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { request, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { connect, createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { demo, type Demo } from '../../../src/index.js';
import { hostsOn } from '../../../src/library/demo/file-server.js';
import { cli } from '../../support/processes/cli.js';
import { operationalError } from '../../support/compute/errors.js';
import { temporaryDirectory, writeIdxSet } from '../../support/inputs/idx-files.js';

let directory: string;
let remove: () => Promise<void>;
let data: string;
let server: Demo;

beforeAll(async () => {
  ({ directory, remove } = await temporaryDirectory());
  data = join(directory, 'idx');
  await writeIdxSet(data, 32, 20, { gzip: true });
  server = await demo({ data, run: await fileOfWeights() });
});
afterAll(async () => {
  await server.close();
  await remove();
});

/** A network without a training of its own. */
async function fileOfWeights(): Promise<string> {
  const run = join(directory, 'run');
  const { code } = await cli(['train', '--data', data, '--batch-size', '16', '--max-steps', '1', '--out', run]);
  expect(code).toBe(0);
  const file = join(directory, 'weights.safetensors');
  await cli(['export', run, file, '--format', 'safetensors']);
  return file;
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** A request that is sent as written: neither path nor host are tidied up on the way. */
async function ask(path: string, options: { method?: string; host?: string } = {}): Promise<Answer> {
  const { hostname, port, host } = new URL(server.url);
  const sent = request({
    hostname,
    port,
    path,
    method: options.method ?? 'GET',
    headers: { host: options.host ?? host },
  });
  sent.end();
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return { status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) };
}

describe('the demo serves', () => {
  it.each([
    ['/', 'text/html; charset=utf-8'],
    ['/page.js', 'text/javascript; charset=utf-8'],
    ['/worker.js', 'text/javascript; charset=utf-8'],
    ['/style.css', 'text/css; charset=utf-8'],
    ['/kernels/wasm.wasm', 'application/wasm'],
    ['/facts.json', 'application/json'],
  ])('%s, isolated from other origins and without inline code', async (path, type) => {
    const { status, headers, body } = await ask(path);
    expect([status, headers['content-type']]).toEqual([200, type]);
    expect(body.length).toBe(Number(headers['content-length']));
    expect(headers['cross-origin-opener-policy']).toBe('same-origin');
    expect(headers['cross-origin-embedder-policy']).toBe('require-corp');
    expect(headers['content-security-policy']).toContain("default-src 'none'");
    expect(headers['content-security-policy']).not.toMatch(/unsafe-inline|'unsafe-eval'|https?:/);
  });

  it('a first paint of a few hundred kilobytes', async () => {
    const firstPaint = ['/', '/style.css', '/page.js', '/kernels/wasm.wasm'];
    const sizes = await Promise.all(firstPaint.map(async (path) => (await ask(path)).body.length));
    expect(sizes.reduce((sum, size) => sum + size)).toBeLessThan(300_000);
  });

  it('the data set as it is on disk, which the browser is told to decompress', async () => {
    const { headers, body } = await ask('/data/trainImages');
    expect(headers['content-encoding']).toBe('gzip');
    expect(body.equals(await readFile(join(data, 'train-images-idx3-ubyte.gz')))).toBe(true);
    expect(gunzipSync(body).length).toBe(16 + 32 * 784);
  });

  it('the network as float32, and whose it is', async () => {
    const facts = JSON.parse((await ask('/facts.json')).body.toString()) as Record<string, unknown>;
    expect(facts).toMatchObject({ trainCount: 32, network: { name: server.network, training: null } });
    expect((await ask('/network')).body.length).toBe(4 * (691_786 + 2 * 448));
  });

  it('HEAD without a body, and no other method', async () => {
    const head = await ask('/page.js', { method: 'HEAD' });
    expect([head.status, head.body.length]).toEqual([200, 0]);
    expect(Number(head.headers['content-length'])).toBeGreaterThan(10_000);
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS']) {
      const { status, headers } = await ask('/page.js', { method });
      expect([status, headers.allow]).toEqual([405, 'GET, HEAD']);
    }
  });
});

describe('the files of the data set', () => {
  let folder: string;
  let own: Demo;
  let images: Buffer;
  const path = (): string => join(folder, 'train-images-idx3-ubyte');

  beforeAll(async () => {
    folder = join(directory, 'held');
    await writeIdxSet(folder, 640, 20);
    images = await readFile(path());
    own = await demo({ data: folder });
  });

  const fetched = async (part: string): Promise<Buffer> =>
    Buffer.from(await (await fetch(`${own.url}data/${part}`)).arrayBuffer());

  it('are sent whole to several readers at once, each from its beginning', async () => {
    const readers = Array.from({ length: 8 }, () => fetched('trainImages'));
    for (const body of await Promise.all(readers)) expect(body.equals(images)).toBe(true);
  });

  it('are sent as they were, where others have taken their names, or nothing has', async () => {
    const labels = await readFile(join(folder, 't10k-labels-idx1-ubyte'));
    await writeFile(join(folder, 'other'), 'something else');
    await rename(join(folder, 'other'), path());
    await rm(join(folder, 't10k-labels-idx1-ubyte'));
    expect((await fetched('trainImages')).equals(images)).toBe(true);
    expect((await fetched('testLabels')).equals(labels)).toBe(true);
  });

  it('end the connection where they were cut, which no reader takes for the whole', async () => {
    await truncate(join(folder, 'train-labels-idx1-ubyte'), 100);
    await expect(fetched('trainLabels')).rejects.toThrow();
    expect((await fetch(own.url)).status).toBe(200);
  });

  it('are closed with the server, which every call of close awaits', async () => {
    const open = async (): Promise<string[]> => {
      const links = (await readdir('/proc/self/fd').catch(() => [])).map((fd) => readlink(`/proc/self/fd/${fd}`));
      return (await Promise.all(links.map((link) => link.catch(() => '')))).filter((name) => name.startsWith(folder));
    };
    if (process.platform === 'linux') expect(await open()).toHaveLength(4);
    const first = own.close();
    await own.close();
    expect(await open()).toEqual([]);
    await first;
    await expect(fetch(own.url)).rejects.toThrow();
  });
});

describe('the demo refuses', () => {
  it('every path that is not in its list, whatever is on disk', async () => {
    const paths = [
      ...['/index.html', '/page', '/data', '/data/', '/kernels/', '/package.json', '//page.js', '/./page.js'],
      ...['/../package.json', '/kernels/../page.js', '/%2e%2e/package.json', '/..%2fcli.js', '/data/..\\..\\cli.js'],
      ...['/__proto__', '/constructor', 'http://example.invalid/', '*'],
    ];
    for (const path of paths) expect((await ask(path)).status, path).toBe(404);
  });

  it('hosts of other names, which lead here by a foreign name server, and other ports', async () => {
    const { port } = new URL(server.url);
    expect((await ask('/', { host: `localhost:${port}` })).status).toBe(200);
    for (const host of [
      `evil.example:${port}`,
      'localhost',
      `127.0.0.1:${String(Number(port) + 1)}`,
      `0.0.0.0:${port}`,
    ]) {
      const { status, body } = await ask('/facts.json', { host });
      expect(status, host).toBe(403);
      expect(body.toString()).not.toContain('trainCount');
    }
  });

  it("no host without its port, but on HTTP's own, which clients leave out", () => {
    expect(hostsOn(80)).toEqual(['127.0.0.1', 'localhost', '127.0.0.1:80', 'localhost:80']);
    expect(hostsOn(8080)).toEqual(['127.0.0.1:8080', 'localhost:8080']);
  });

  it('a port in use, a port that is none, and a run that is not there, each in one line', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as AddressInfo;
    try {
      const error = await operationalError(() => demo({ data, port }));
      expect(error).toEqual({ code: 'USAGE', message: expect.stringContaining(`${String(port)} is in use`) as string });
    } finally {
      taken.close();
    }
    for (const bad of [-1, 65_536, 1.5])
      expect((await operationalError(() => demo({ data, port: bad }))).code).toBe('USAGE');
    const missing = await operationalError(() => demo({ data, run: join(directory, 'none') }));
    expect(missing.code).toBe('CHECKPOINT_MISSING');
    await writeFile(join(directory, 'text'), 'hello');
    expect((await operationalError(() => demo({ data, run: join(directory, 'text') }))).code).toBe('WEIGHTS_INVALID');
  });
});

describe('mnist-ddp demo', () => {
  it.each(['SIGINT', 'SIGTERM'] as const)(
    'prints its address, begins untrained without a run, and ends at %s',
    async (signal) => {
      const cwd = join(directory, signal);
      await mkdir(cwd);
      const { code, stdout, stderr } = await cli(['demo', '--data', data], {
        cwd,
        // Whoever is connected is sent away.
        onStart: (child) =>
          child.stdout?.once('data', (url: Buffer) => {
            const { port } = new URL(url.toString().trim());
            connect(Number(port), '127.0.0.1', () => child.kill(signal)).on('error', () => undefined);
          }),
      });
      expect(stdout).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/\n$/);
      expect(stderr).toMatch(/^open this page .* there is no run yet, so it begins untrained; Ctrl-C ends it\n$/);
      expect(code).toBe(0);
    },
  );

  it('says in one line what it cannot do', async () => {
    const { code, stderr } = await cli(['demo', join(directory, 'none'), '--data', data]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^mnist-ddp: there is no run or checkpoint at .*\n$/);
  });
});

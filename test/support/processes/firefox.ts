/**
 * A real browser for tests: Firefox at FIREFOX, else firefox-esr or firefox in /usr/bin or in PATH, else none. It is driven by
 * WebDriver BiDi (https://w3c.github.io/webdriver-bidi), which it speaks itself; Node has had the WebSocket for it since 22.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { isExecutable } from './chromium.js';

const patienceMs = 60_000;

/** Where Firefox is; null where there is none that can be driven, which is then said. */
export function findFirefox(test: string): string | null {
  const folders = ['/usr/bin', ...(process.env['PATH'] ?? '').split(delimiter)];
  const places = folders.flatMap((folder) => ['firefox-esr', 'firefox'].map((name) => join(folder, name)));
  const found = process.env['FIREFOX'] ?? places.find(isExecutable) ?? null;
  if (found === null) {
    console.warn(`${test}: skipped, for there is no Firefox: install one (Debian: firefox-esr), or set FIREFOX`);
  } else if (typeof WebSocket === 'undefined') {
    console.warn(`${test}: skipped, for this Node has no WebSocket to drive Firefox by: take Node 22 or later`);
    return null;
  }
  return found;
}

/** One of pointer actions, by https://w3c.github.io/webdriver-bidi/#command-input-performActions; places are CSS pixels. */
export type PointerAction =
  | { readonly type: 'pointerMove'; readonly x: number; readonly y: number }
  | { readonly type: 'pointerDown' | 'pointerUp'; readonly button: number };

interface Answer {
  readonly id?: number;
  readonly type: string;
  readonly message?: string;
  readonly result?: unknown;
  readonly method?: string;
  readonly params?: { readonly text?: string | null };
}

/** Firefox with one page. */
export class Firefox {
  /** What the page has complained of. */
  readonly complaints: string[] = [];
  readonly #process: ChildProcess;
  readonly #profile: string;
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  #commands = 0;
  #context = '';

  static async launch(executablePath: string): Promise<Firefox> {
    const profile = await mkdtemp(join(tmpdir(), 'mnist-ddp-firefox-'));
    const child = spawn(
      executablePath,
      ['--headless', '--no-remote', '--remote-debugging-port', '0', '--profile', profile],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    const firefox = new Firefox(child, profile, new WebSocket(await addressOf(child)));
    await firefox.#start();
    return firefox;
  }

  private constructor(child: ChildProcess, profile: string, socket: WebSocket) {
    this.#process = child;
    this.#profile = profile;
    this.#socket = socket;
    socket.addEventListener('message', ({ data }) => {
      const answer = JSON.parse(String(data)) as Answer;
      if (answer.method === 'log.entryAdded') this.complaints.push(answer.params?.text ?? '');
      if (answer.id !== undefined) this.#waiting.get(answer.id)?.(answer);
    });
  }

  async #start(): Promise<void> {
    if (this.#socket.readyState !== WebSocket.OPEN) await once(this.#socket, 'open');
    await this.#command('session.new', { capabilities: {} });
    await this.#command('session.subscribe', { events: ['log.entryAdded'] });
    const { contexts } = await this.#command<{ contexts: { context: string }[] }>('browsingContext.getTree', {});
    this.#context = contexts[0]?.context ?? '';
  }

  async goto(url: string): Promise<void> {
    await this.#command('browsingContext.navigate', { context: this.#context, url, wait: 'complete' });
  }

  /** The value of an expression in the page, by way of JSON. */
  async evaluate<T>(expression: string): Promise<T> {
    const { result, exceptionDetails } = await this.#command<{
      result: { value: string };
      exceptionDetails?: { text: string };
    }>('script.evaluate', {
      expression: `JSON.stringify((${expression}) ?? null)`,
      target: { context: this.#context },
      awaitPromise: true,
    });
    if (exceptionDetails !== undefined) throw new Error(exceptionDetails.text);
    return JSON.parse(result.value) as T;
  }

  /** Waits until an expression is true. */
  async waitFor(expression: string): Promise<void> {
    const end = Date.now() + patienceMs;
    while (!(await this.evaluate<boolean>(expression))) {
      if (Date.now() > end) {
        const status = await this.evaluate<string>("document.getElementById('status').textContent");
        throw new Error(`${expression} did not become true; the page says: ${[status, ...this.complaints].join('; ')}`);
      }
      await pause(50);
    }
  }

  /** By a mouse. */
  async point(actions: readonly PointerAction[]): Promise<void> {
    await this.#command('input.performActions', {
      context: this.#context,
      actions: [{ type: 'pointer', id: 'mouse', parameters: { pointerType: 'mouse' }, actions }],
    });
  }

  async close(): Promise<void> {
    const exited = once(this.#process, 'exit');
    this.#process.kill();
    await exited;
    await rm(this.#profile, { recursive: true, force: true, maxRetries: 5 });
  }

  async #command<T = unknown>(method: string, params: unknown): Promise<T> {
    const id = ++this.#commands;
    const answer = await new Promise<Answer>((resolve) => {
      this.#waiting.set(id, resolve);
      this.#socket.send(JSON.stringify({ id, method, params }));
    });
    this.#waiting.delete(id);
    if (answer.type === 'error') throw new Error(`${method}: ${answer.message ?? ''}`);
    return answer.result as T;
  }
}

/** Where Firefox listens, which it says once it does. */
async function addressOf(child: ChildProcess): Promise<string> {
  const lines: string[] = [];
  if (child.stderr !== null) {
    for await (const line of createInterface(child.stderr)) {
      const [, address] = /^WebDriver BiDi listening on (ws:\S+)/.exec(line) ?? [];
      if (address !== undefined) return `${address}/session`;
      lines.push(line);
    }
  }
  throw new Error(`Firefox ended before it listened: ${lines.join('; ')}`);
}

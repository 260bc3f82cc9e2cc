/** The demo in Chromium (see support/processes/chromium.ts; skipped without one, which is said): it draws, and trains Node's bits. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { demo, evaluate, predict, type Demo, type Summary } from '../../../src/index.js';
import { findChromium, launchChromium, poorContrasts } from '../../support/processes/chromium.js';
import { temporaryDirectory, writeIdxSet } from '../../support/inputs/idx-files.js';
import { trainRun } from '../../support/processes/runs.js';

const executablePath = findChromium('demo-browser');
const seed = 3;
const steps = 20;

describe.skipIf(executablePath === null)('the demo in a browser', () => {
  let directory: string;
  let remove: () => Promise<void>;
  let data: string;
  /** What Node makes of the seed. */
  let run: string;
  let node: Summary;
  let server: Demo;
  let browser: Browser;
  /** What pages complained of, and asked others for. */
  const events: string[] = [];

  beforeAll(async () => {
    ({ directory, remove } = await temporaryDirectory());
    [data, run] = [join(directory, 'idx'), join(directory, 'run')];
    await writeIdxSet(data, steps * 128, 500, { gzip: true });
    ({ summary: node } = await trainRun({ data, out: run, seed, maxSteps: steps, workers: 2 }));
    server = await demo({ data, run });
    browser = await launchChromium(executablePath);
  });
  afterAll(async () => {
    await browser.close();
    await server.close();
    await remove();
  });

  /** A page that is ready; `prepare` sees it before it loads. */
  async function open(
    options: BrowserContextOptions = {},
    prepare: (page: Page) => Promise<unknown> = () => Promise.resolve(),
  ): Promise<Page> {
    const page = await (await browser.newContext(options)).newPage();
    page.on('console', (message) => events.push(`console: ${message.text()}`));
    page.on('pageerror', (error) => events.push(`error: ${error.message}`));
    page.on('request', (request) => {
      if (!request.url().startsWith(server.url) && !/^(data|blob):/.test(request.url())) events.push(request.url());
    });
    await prepare(page);
    await page.goto(server.url);
    await page.locator('#network', { hasNotText: 'Loading' }).waitFor();
    return page;
  }

  /** A closed curve, by the mouse. */
  async function drawZero(page: Page): Promise<void> {
    const box = (await page.locator('#pad').boundingBox()) ?? { x: 0, y: 0, width: 0, height: 0 };
    const at = (angle: number): [number, number] => [
      box.x + box.width * (0.5 + 0.2 * Math.cos(angle)),
      box.y + box.height * (0.5 + 0.33 * Math.sin(angle)),
    ];
    await page.mouse.move(...at(0));
    await page.mouse.down();
    for (let i = 1; i <= 24; i++) await page.mouse.move(...at((2 * Math.PI * i) / 24));
    await page.mouse.up();
  }

  /** Trains and waits for the end. Returns what the page then says. */
  async function train(
    page: Page,
    workers: number,
    end = steps,
  ): Promise<Record<'hash' | 'node-hash' | 'verdict' | 'accuracy', string>> {
    await page.fill('#workers', String(workers));
    await page.fill('#seed', String(seed));
    await page.fill('#steps', String(end));
    await page.click('#start');
    return resultOf(page);
  }

  async function resultOf(page: Page): Promise<Record<'hash' | 'node-hash' | 'verdict' | 'accuracy', string>> {
    await page.locator('#status', { hasText: /^Trained/ }).waitFor({ timeout: 60_000 });
    await page.locator('#start:enabled').waitFor();
    const text = async (id: string): Promise<string> => (await page.textContent(`#${id}`)) ?? '';
    return {
      hash: await text('hash'),
      'node-hash': await text('node-hash'),
      verdict: await text('verdict'),
      accuracy: await text('accuracy'),
    };
  }

  it('reads what is drawn by mouse as predict does, and what is drawn by keys', async () => {
    const page = await open();
    await drawZero(page);
    await page.locator('#answer', { hasText: /^This is a 0, / }).waitFor();
    const picture = join(directory, 'drawing.png');
    // The ink alone: neither the canvas's border nor its rounded corners.
    const bytes = await page.evaluate<string>("document.getElementById('pad').toDataURL('image/png')");
    await writeFile(picture, Buffer.from(bytes.split(',')[1] ?? '', 'base64'));
    const [prediction] = await predict({ files: [picture], checkpoint: run });
    expect(prediction?.number).toBe('0');
    // The page reads the drawing at half its size.
    const shown = parseFloat((await page.textContent('#probabilities .best :last-child')) ?? '');
    expect(Math.abs(shown - 100 * (prediction?.digits[0]?.probabilities[0] ?? 0))).toBeLessThan(3);
    await page.focus('#pad');
    await page.keyboard.press('Delete');
    await page.locator('#answer', { hasText: 'Draw a digit' }).waitFor();
    await page.keyboard.press(' ');
    for (let i = 0; i < 16; i++) await page.keyboard.press('ArrowDown');
    await page.keyboard.press(' ');
    await page.locator('#answer', { hasText: /^This is a 1, / }).waitFor();
    await page.context().close();
  });

  it('trains to the hash of Node with 2 Web Workers, and Node reads its checkpoint to the same accuracy', async () => {
    const page = await open();
    const shown = await train(page, 2);
    expect(shown.hash).toBe(node.parametersSha256);
    expect(shown['node-hash']).toBe(node.parametersSha256);
    expect(shown.verdict).toMatch(/^Equal/);
    expect(await page.textContent('#command')).toBe('mnist-ddp train --seed 3 --max-steps 20 --data DIR');
    const downloading = page.waitForEvent('download');
    await page.click('#download');
    const checkpoint = join(directory, 'downloaded.msgpack');
    await (await downloading).saveAs(checkpoint);
    const evaluation = await evaluate({ checkpoint, data });
    expect(evaluation.parametersSha256).toBe(node.parametersSha256);
    expect(`${evaluation.accuracy.toFixed(2)} %`).toBe(shown.accuracy);
    await page.context().close();
  });

  it('trains by the recipe better to the hash of Node, and says how to do so there', async () => {
    const { summary } = await trainRun({ data, recipe: 'better', seed, maxSteps: 5, workers: 2 });
    const page = await open();
    await page.selectOption('#recipe', 'better');
    const shown = await train(page, 2, 5);
    expect(shown.hash).toBe(summary.parametersSha256);
    expect(shown.accuracy).toBe(`${summary.accuracy.toFixed(2)} %`);
    expect(await page.textContent('#command')).toBe(
      'mnist-ddp train --recipe better --seed 3 --max-steps 5 --data DIR',
    );
    await page.context().close();
  });

  it('pauses, goes on with another number of workers to the same bits, and says where they differ', async () => {
    // A run of another hash is told to the page: what it trains itself has to stand against it.
    const page = await open({}, (fresh) =>
      fresh.route('**/facts.json', async (route) => {
        const response = await route.fetch();
        const body = (await response.text()).replace(node.parametersSha256, '0'.repeat(64));
        await route.fulfill({ response, body });
      }),
    );
    await page.fill('#workers', '2');
    await page.fill('#seed', String(seed));
    await page.fill('#steps', String(steps));
    await page.click('#start');
    await page.locator('#step', { hasText: / of / }).waitFor();
    await page.click('#pause');
    await page.locator('#start', { hasText: 'Continue' }).waitFor();
    const paused = Number(await page.textContent('#result-step'));
    expect(paused).toBeGreaterThan(0);
    expect(paused).toBeLessThan(steps);
    const says = (how: string): string => `${how} after step ${String(paused)}; the network is in Draw.`;
    expect(await page.textContent('#status')).toBe(says('Paused'));
    expect(await page.title()).toMatch(/^Paused/);
    await page.fill('#workers', '1');
    await page.evaluate(`{
      const step = document.getElementById('step');
      window.seen = [];
      new MutationObserver(() => window.seen.push(parseInt(step.textContent))).observe(step, { childList: true });
    }`);
    await page.click('#start');
    const { hash, verdict } = await resultOf(page);
    // It went on, and did not train from the start to the same hash.
    expect(Math.min(...(await page.evaluate<number[]>('window.seen')))).toBeGreaterThan(paused);
    expect(hash).toBe(node.parametersSha256);
    expect(verdict).toMatch(/^Different/);
    // One for each 5 steps, those before the pause among them, as its place on the curve says.
    expect(await page.getAttribute('#curve .means', 'points')).toMatch(/^(\S+,\S+ ?){4}$/);
    await fitsAndIsLegible(page);
    await page.context().close();
  });

  it('says that it is paused where it can go on, before the first step too, and ended where it cannot', async () => {
    const page = await open();
    const status = page.locator('#status');
    // The data set comes when the run is told to pause.
    let send = (): void => undefined;
    const held = new Promise<void>((resolve) => (send = resolve));
    await page.route('**/data/testLabels', async (route) => {
      await held;
      await route.continue();
    });
    await page.fill('#workers', '1');
    await page.fill('#steps', '200');
    await page.click('#start');
    await page.click('#pause');
    send();
    await page.locator('#start', { hasText: 'Continue' }).waitFor();
    expect(await status.textContent()).toBe('Paused before the first step.');
    await page.click('#start');
    await page.locator('#step', { hasText: / of / }).waitFor();
    await page.click('#pause');
    await page.locator('#start', { hasText: 'Continue' }).waitFor();
    expect(await status.textContent()).toMatch(/^Paused after step \d+; the network is in Draw\.$/);
    await page.click('#stop');
    expect(await status.textContent()).toMatch(/^Ended after step \d+; the network is in Draw\.$/);
    expect(await page.textContent('#start')).toBe('Start');
    await page.click('#start');
    await page.locator('#step', { hasText: / of / }).waitFor();
    await page.click('#stop');
    await page.locator('#start', { hasText: 'Start' }).waitFor();
    await page.locator('#start:enabled').waitFor();
    expect(await status.textContent()).toMatch(/^Ended after step \d+; the network is in Draw\.$/);
    await page.context().close();
  });

  it('offers the last good step where workers fail again and again, and goes on from it to the same bits', async () => {
    const page = await open();
    // Each worker's 30th atomic addition is its last, for want of memory: a few steps a life.
    const failing = `let left = 29; const add = Atomics.add;
      const fail = () => { throw new RangeError('Array buffer allocation failed, on purpose'); };
      Atomics.add = (...args) => left-- === 0 ? fail() : add(...args);`;
    await page.route('**/worker.js', async (route) => {
      const response = await route.fetch();
      await route.fulfill({ response, body: `${failing}\n${await response.text()}` });
    });
    await page.fill('#workers', '2');
    await page.fill('#seed', String(seed));
    await page.fill('#steps', String(steps));
    await page.click('#start');
    await page.locator('#start', { hasText: 'Continue' }).waitFor({ timeout: 60_000 });
    const step = (await page.textContent('#result-step')) ?? '';
    expect(await page.textContent('#status')).toMatch(
      new RegExp(`Array buffer allocation failed, on purpose; gave up after 3 restarts; step ${step} is saved: `),
    );
    expect(await page.textContent('#status'), 'the page has neither options nor flags').not.toMatch(/`|--/);
    const downloading = page.waitForEvent('download');
    await page.click('#download');
    const checkpoint = join(directory, 'failed.msgpack');
    await (await downloading).saveAs(checkpoint);
    expect((await evaluate({ checkpoint, data })).step).toBe(Number(step));
    await page.unroute('**/worker.js');
    await page.click('#start');
    expect((await resultOf(page)).hash).toBe(node.parametersSha256);
    await page.context().close();
  });

  /** At every width, light and dark; the page has all of its parts by now. */
  async function fitsAndIsLegible(page: Page): Promise<void> {
    for (const width of [360, 768, 1280]) {
      for (const colorScheme of ['light', 'dark'] as const) {
        await page.setViewportSize({ width, height: 800 });
        await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
        const variant = `${String(width)} px, ${colorScheme}`;
        expect(await page.evaluate('document.scrollingElement.scrollWidth - innerWidth'), variant).toBeLessThanOrEqual(
          0,
        );
        const contrast = await page.evaluate<{ texts: number; poor: string[] }>(poorContrasts);
        expect(contrast.texts, variant).toBeGreaterThan(40);
        expect(contrast.poor, variant).toEqual([]);
      }
    }
  }

  it('draws with one thread and says so where there is no SharedArrayBuffer', async () => {
    const page = await open({}, (fresh) =>
      fresh.route('**/*', async (route) => {
        const response = await route.fetch();
        const kept = Object.entries(response.headers()).filter(
          ([name]) => !/^cross-origin-(opener|embedder)/.test(name),
        );
        await route.fulfill({ response, headers: Object.fromEntries(kept) });
      }),
    );
    expect(await page.evaluate('crossOriginIsolated')).toBe(false);
    expect(await page.textContent('#notice')).toContain('no SharedArrayBuffer');
    expect(await page.isDisabled('#start')).toBe(true);
    await drawZero(page);
    await page.locator('#answer', { hasText: /^This is a 0, / }).waitFor();
    await page.context().close();
  });

  it('says so where the browser cannot compile the kernels', async () => {
    const page = await open({}, (fresh) =>
      fresh.addInitScript("WebAssembly.compile = () => Promise.reject(new WebAssembly.CompileError('no SIMD'));"),
    );
    expect(await page.textContent('#notice')).toContain('WebAssembly with SIMD');
    expect(await page.isDisabled('#start')).toBe(true);
    await page.context().close();
  });

  it('has complained of nothing, and asked nobody else for anything', () => {
    expect(events).toEqual([]);
  });
});

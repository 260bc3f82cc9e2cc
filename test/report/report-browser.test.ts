/** The report in a browser: Chromium at CHROMIUM, else at /usr/bin/chromium or in PATH, else skipped, which is said. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { renderReport } from '../../src/report/report.js';
import { findChromium, launchChromium, poorContrasts } from '../support/processes/chromium.js';
import { temporaryDirectory } from '../support/inputs/idx-files.js';
import { exampleReport, exampleTest } from '../support/inputs/report-data.js';

const executablePath = findChromium('report-browser');

/** Texts of drawings that stick out of theirs, or lie over each other. */
const untidyLabels = `[...document.querySelectorAll('figure > svg')].flatMap((svg) => {
  const frame = svg.parentElement.getBoundingClientRect();
  const boxes = [...svg.querySelectorAll('text')].map((text) => [text.textContent, text.getBoundingClientRect()]);
  const outside = boxes.filter(([, box]) => box.left < frame.left || box.right > frame.right || box.bottom > frame.bottom);
  const overlaps = ([, a], [, b]) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
  const crossed = boxes.filter((box, i) => boxes.slice(0, i).some((other) => overlaps(box, other)));
  return [...outside, ...crossed].map(([text]) => text);
})`;

const variants = [360, 390, 1280].flatMap((width) =>
  (['light', 'dark'] as const).map((colorScheme) => ({ width, colorScheme })),
);
const longName = `runs/${'a-name-that-goes-on-'.repeat(12)}<script>`;
const reports = {
  whole: exampleReport(),
  'as bare as it gets': exampleReport({ steps: [], evaluations: [], machine: [], test: exampleTest(0, 1) }),
  'with long names': exampleReport({ run: longName, dataset: '5f'.repeat(32), command: `mnist-ddp train ${longName}` }),
};

describe.skipIf(executablePath === null)('report in a browser', () => {
  let browser: Browser;
  let directory: string;
  let remove: () => Promise<void>;

  beforeAll(async () => {
    ({ directory, remove } = await temporaryDirectory());
    browser = await launchChromium(executablePath);
  });
  afterAll(async () => {
    await browser.close();
    await remove();
  });

  /** Opens a report without network, shows all of it, and tells what the page asked for and complained of. */
  async function open(source: string, variant: (typeof variants)[number]): Promise<{ page: Page; events: string[] }> {
    const path = join(directory, 'report.html');
    await writeFile(path, source);
    const { width, colorScheme } = variant;
    const context = await browser.newContext({ viewport: { width, height: 800 }, colorScheme, offline: true });
    const page = await context.newPage();
    const events: string[] = [];
    const url = pathToFileURL(path).href;
    page.on('console', (message) => events.push(`console: ${message.text()}`));
    page.on('pageerror', (error) => events.push(`error: ${error.message}`));
    page.on('request', (request) => {
      if (request.url() !== url && !request.url().startsWith('data:')) events.push(`request: ${request.url()}`);
    });
    await page.goto(url);
    await page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })");
    return { page, events };
  }

  describe.each(Object.entries(reports))('%s', (_, data) => {
    it.each(variants)('fits $width px, is legible in $colorScheme, and asks for nothing', async (variant) => {
      const { page, events } = await open(await renderReport(data), variant);
      expect(await page.evaluate('document.scrollingElement.scrollWidth - innerWidth')).toBeLessThanOrEqual(0);
      const contrast = await page.evaluate<{ texts: number; poor: string[] }>(poorContrasts);
      expect(contrast.texts).toBeGreaterThan(50);
      expect(contrast.poor).toEqual([]);
      expect(await page.evaluate(untidyLabels)).toEqual([]);
      expect(await page.evaluate('[...document.images].filter((image) => image.naturalWidth !== 28).length')).toBe(0);
      expect(events).toEqual([]);
      await page.context().close();
    });
  });

  it('sees what it looks for: a request that the policy stops, poor contrast, and a page that is too wide', async () => {
    const spoilt = (await renderReport(exampleReport())).replace(
      '</main>',
      '<img src="https://example.invalid/x.png" alt=""><p style="color: #888; width: 2000px">grey</p></main>',
    );
    const { page, events } = await open(spoilt, { width: 390, colorScheme: 'light' });
    expect(events.join()).toContain('Content Security Policy');
    expect((await page.evaluate<{ poor: string[] }>(poorContrasts)).poor.join()).toContain('grey');
    expect(await page.evaluate('document.scrollingElement.scrollWidth - innerWidth')).toBeGreaterThan(0);
    await page.context().close();
  });
});

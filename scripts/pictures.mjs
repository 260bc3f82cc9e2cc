// The README's pictures in docs/pictures/: node scripts/pictures.mjs REPORT.html, or RUN for those of the demo.
//
// Needs Chromium: CHROMIUM names it, else /usr/bin/chromium or one in PATH. A report is opened from its file, without network;
// the demo is served with the run, is drawn on and trained for a while.
import { access, constants, mkdir, stat, writeFile } from 'node:fs/promises';
import { delimiter, dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';
import sharp from 'sharp';
import { demo } from '../dist/index.js';

const folder = join(dirname(fileURLToPath(import.meta.url)), '../docs/pictures');
const maxBytes = 200_000;

const schemes = ['light', 'dark'];
const width = 1200;
/** A picture of a report ends above its table. */
const reportEnd = 'details';
const demoSteps = '60';
/** A three, in shares of the canvas. */
const stroke = [
  ...[
    [0.32, 0.27],
    [0.42, 0.19],
    [0.56, 0.18],
    [0.66, 0.26],
    [0.66, 0.37],
    [0.57, 0.45],
    [0.47, 0.47],
  ],
  ...[
    [0.6, 0.51],
    [0.69, 0.6],
    [0.68, 0.73],
    [0.57, 0.82],
    [0.43, 0.82],
    [0.32, 0.75],
  ],
];

async function findChromium() {
  const inPath = (process.env.PATH ?? '').split(delimiter).map((path) => join(path, 'chromium'));
  const candidates = process.env.CHROMIUM ? [process.env.CHROMIUM] : ['/usr/bin/chromium', ...inPath];
  for (const path of candidates) {
    const found = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return path;
  }
  const places = process.env.CHROMIUM ? `at CHROMIUM, ${process.env.CHROMIUM}` : 'at /usr/bin/chromium nor in PATH';
  throw new Error(`no Chromium ${places}: install it (Debian: apt-get install chromium) or name it by CHROMIUM`);
}

async function takeReport(browser, report, colorScheme) {
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme, offline: true });
  const page = await context.newPage();
  await page.goto(pathToFileURL(report).href);
  const end = await page
    .locator(reportEnd)
    .first()
    .boundingBox({ timeout: 2000 })
    .catch(() => null);
  if (end === null) throw new Error(`${report} has no ${reportEnd} to end at: is it the report of a whole run?`);
  await save(page, `report-${colorScheme}.png`, Math.round(end.y));
  await context.close();
}

async function takeDemo(browser, run) {
  const { url, close } = await demo({ run });
  try {
    const page = await (await browser.newContext({ viewport: { width, height: 900 } })).newPage();
    await page.goto(url);
    await page.fill('#steps', demoSteps);
    await page.click('#start');
    await page.locator('#start:enabled').waitFor({ timeout: 300_000 });
    const box = await page.locator('#pad').boundingBox();
    const places = stroke.map(([x, y]) => [box.x + x * box.width, box.y + y * box.height]);
    await page.mouse.move(...places[0]);
    await page.mouse.down();
    for (const place of places) await page.mouse.move(...place, { steps: 4 });
    await page.mouse.up();
    await page.mouse.move(0, 0);
    await page.locator('#answer', { hasText: /^This (is|may be) a 3, / }).waitFor();
    for (const colorScheme of schemes) {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      await save(page, `demo-${colorScheme}.png`, await page.evaluate('document.scrollingElement.scrollHeight'));
    }
  } finally {
    await close();
  }
}

async function save(page, name, height) {
  const shot = await page.screenshot({ fullPage: true, clip: { x: 0, y: 0, width, height } });
  const png = await sharp(shot).png({ palette: true, colours: 128, compressionLevel: 9, effort: 10 }).toBuffer();
  if (png.length > maxBytes) throw new Error(`${name} has ${png.length} bytes, more than ${maxBytes}`);
  await writeFile(join(folder, name), png);
  console.log(`${name}: ${width}x${height}, ${png.length} bytes`);
}

async function main(source) {
  if (source === undefined) throw new Error('usage: node scripts/pictures.mjs REPORT.html|RUN (see mnist-ddp report)');
  const stats = await stat(source).catch(() => {
    throw new Error(`${source} is not there: make a report with mnist-ddp report, a run with mnist-ddp train`);
  });
  await mkdir(folder, { recursive: true });
  const quiet = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update'];
  const browser = await chromium.launch({ executablePath: await findChromium(), args: [...quiet, '--disable-sync'] });
  try {
    if (stats.isDirectory()) await takeDemo(browser, source);
    else for (const colorScheme of schemes) await takeReport(browser, resolve(source), colorScheme);
  } finally {
    await browser.close();
  }
}

await main(process.argv[2]).catch((error) => {
  console.error(`pictures: ${error.message}`);
  process.exitCode = 1;
});

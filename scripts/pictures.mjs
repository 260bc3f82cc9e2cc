// The README's pictures of a report: node scripts/pictures.mjs REPORT.html
//
// Makes those of the table below in docs/pictures/. Needs Chromium: CHROMIUM names it, else /usr/bin/chromium or one in PATH.
// The report is opened from its file, without network.
import { access, constants, mkdir, stat, writeFile } from 'node:fs/promises';
import { delimiter, dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';
import sharp from 'sharp';

const folder = join(dirname(fileURLToPath(import.meta.url)), '../docs/pictures');
const maxBytes = 200_000;

/** `until`: a selector of what comes after the picture, which ends above it. */
const pictures = [
  { name: 'report-light.png', colorScheme: 'light', width: 1200, until: 'details' },
  { name: 'report-dark.png', colorScheme: 'dark', width: 1200, until: 'details' },
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

async function take(browser, report, { name, colorScheme, width, until }) {
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme, offline: true });
  const page = await context.newPage();
  await page.goto(pathToFileURL(report).href);
  const end = await page
    .locator(until)
    .first()
    .boundingBox({ timeout: 2000 })
    .catch(() => null);
  if (end === null)
    throw new Error(`${report} has no ${until} for ${name} to end at: is it the report of a whole run?`);
  const shot = await page.screenshot({ fullPage: true, clip: { x: 0, y: 0, width, height: Math.round(end.y) } });
  await context.close();
  const png = await sharp(shot).png({ palette: true, colours: 128, compressionLevel: 9, effort: 10 }).toBuffer();
  if (png.length > maxBytes) throw new Error(`${name} has ${png.length} bytes, more than ${maxBytes}`);
  await writeFile(join(folder, name), png);
  console.log(`${name}: ${width}x${Math.round(end.y)}, ${png.length} bytes`);
}

async function main(report) {
  if (report === undefined) throw new Error('usage: node scripts/pictures.mjs REPORT.html (see mnist-ddp report)');
  await stat(report).catch(() => {
    throw new Error(`${report} is not there: make it with mnist-ddp report`);
  });
  await mkdir(folder, { recursive: true });
  const quiet = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update'];
  const browser = await chromium.launch({ executablePath: await findChromium(), args: [...quiet, '--disable-sync'] });
  try {
    for (const picture of pictures) await take(browser, resolve(report), picture);
  } finally {
    await browser.close();
  }
}

await main(process.argv[2]).catch((error) => {
  console.error(`pictures: ${error.message}`);
  process.exitCode = 1;
});

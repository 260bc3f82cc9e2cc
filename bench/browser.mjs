// Images per second of training in Chromium beside Node's on this machine, in turns: node bench/browser.mjs [ROUNDS]
//
// Needs Chromium: CHROMIUM names it, else /usr/bin/chromium. Prints the median of all rounds.
import { chromium } from 'playwright-core';
import { benchmark, demo } from '../dist/index.js';

const rounds = Number(process.argv[2] ?? 3);
const workers = [1, 2];
const nodeSteps = 20;
const warmUpMs = 3000;
const measureMs = 8000;
const sampleMs = 400;

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1];
}

/** Trains in a page for a while, and stops. */
async function inChromium(browser, url, count) {
  const page = await (await browser.newContext()).newPage();
  await page.goto(url);
  await page.locator('#start:enabled').waitFor();
  await page.fill('#workers', String(count));
  await page.click('#start');
  await page.locator('#speed', { hasText: /\d/ }).waitFor({ timeout: 120_000 });
  await page.waitForTimeout(warmUpMs);
  const samples = [];
  for (let ms = 0; ms < measureMs; ms += sampleMs) {
    samples.push(Number((await page.textContent('#speed')).replaceAll(',', '')));
    await page.waitForTimeout(sampleMs);
  }
  await page.context().close();
  return median(samples);
}

const measured = workers.map((count) => ({ count, chromium: [], node: [] }));
const { url, close } = await demo({});
const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] });
try {
  for (let round = 0; round < rounds; round++) {
    for (const one of measured) {
      one.chromium.push(await inChromium(browser, url, one.count));
      const [row] = await benchmark({ workers: [one.count], steps: nodeSteps });
      one.node.push(row.imagesPerSecond);
    }
  }
} finally {
  await browser.close();
  await close();
}
console.log('workers  Chromium  Node  images/s');
for (const { count, chromium: inPage, node } of measured) {
  const cells = [median(inPage), median(node)].map((speed) => speed.toFixed(0).padStart(8));
  console.log(`${String(count).padStart(7)}  ${cells.join('')}`);
}

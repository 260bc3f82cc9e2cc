// The README's plot of what a user would pick instead: node scripts/plot-benchmark.mjs COMPARISON.json [FOLDER]
//
// COMPARISON.json is written by npm run bench:compare -- --json COMPARISON.json. Makes compare-light.svg and
// compare-dark.svg in FOLDER, docs/pictures by default: a bar for ours and for each rival that could be measured, fastest first. They have no script and no style
// sheet, and load nothing.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';

const pictures = join(dirname(fileURLToPath(import.meta.url)), '../docs/pictures');

/** As src/report/style.ts has them. */
const schemes = {
  light: { ground: '#ffffff', ink: '#1b1e23', soft: '#575d66', line: '#dcddd8', accent: '#1f5fa8', rival: '#a9b3bf' },
  dark: { ground: '#1b1e23', ink: '#e9eaec', soft: '#a4abb5', line: '#33383f', accent: '#7fb2f0', rival: '#596370' },
};
const margins = { marginTop: 12, marginRight: 52, marginBottom: 44, marginLeft: 292 };
const [width, barHeight] = [800, 24];
const font = "-apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'Noto Sans', Arial, sans-serif";

async function readComparison(file) {
  if (file === undefined)
    throw new Error('usage: node scripts/plot-benchmark.mjs COMPARISON.json [FOLDER] (see bench/compare.mjs)');
  const text = await readFile(file, 'utf8').catch(() => {
    throw new Error(`${file} is not there: make it with npm run bench:compare -- --json ${file}`);
  });
  const comparison = JSON.parse(text);
  if (!Array.isArray(comparison.rivals)) throw new Error(`${file} is none of npm run bench:compare`);
  if (comparison.rivals.every(({ unavailable }) => unavailable !== undefined))
    throw new Error(`${file} has no figures`);
  return comparison;
}

function barsOf({ workers, imagesPerSecond, rivals }) {
  const ours = { name: `mnist-ddp, ${workers} worker${workers === 1 ? '' : 's'}`, imagesPerSecond, ours: true };
  const theirs = rivals
    .filter(({ unavailable }) => unavailable === undefined)
    .map(({ library, name, threads, imagesPerSecond: speed }) => ({
      name: `${library}, ${name}${threads < workers ? `, ${threads} thread${threads === 1 ? '' : 's'}` : ''}`,
      imagesPerSecond: speed,
    }));
  return [ours, ...theirs].sort((a, b) => b.imagesPerSecond - a.imagesPerSecond);
}

function draw(bars, { cpu, workers }, { ground, ink, soft, line, accent, rival }) {
  const { document } = parseHTML('<html></html>');
  const position = { x: 'imagesPerSecond', y: 'name' };
  const emphasis = (ours) => (ours ? 700 : 400);
  const labels = [true, false].flatMap((ours) => {
    const data = bars.filter((bar) => (bar.ours ?? false) === ours);
    const style = { fill: ink, fontWeight: emphasis(ours) };
    return [
      plot.text(data, { ...style, y: 'name', text: 'name', frameAnchor: 'left', textAnchor: 'end', dx: -8 }),
      plot.text(data, {
        ...style,
        ...position,
        text: ({ imagesPerSecond }) => speed(imagesPerSecond),
        textAnchor: 'start',
        dx: 6,
      }),
    ];
  });
  const svg = plot.plot({
    ...margins,
    ...{ width, height: margins.marginTop + margins.marginBottom + barHeight * bars.length, document },
    style: { fontFamily: font, fontSize: '13px' },
    ariaLabel: 'Training throughput, images per second',
    ariaDescription: bars.map(({ name, imagesPerSecond }) => `${name}: ${speed(imagesPerSecond)}`).join('; '),
    x: { label: null },
    y: { domain: bars.map(({ name }) => name), axis: null },
    marks: [
      plot.frame({ fill: ground, stroke: null, ...outset() }),
      plot.gridX({ stroke: line, strokeOpacity: 1 }),
      plot.axisX({
        color: soft,
        tickSize: 0,
        ticks: 6,
        label: `images/s, ${workers} cores of ${cpu}`,
        labelArrow: 'none',
      }),
      plot.barX(bars, { ...position, fill: ({ ours }) => (ours ? accent : rival), insetTop: 3, insetBottom: 3 }),
      ...labels,
    ],
  });
  svg.setAttribute('xmlns', 'http://www.w3.org/2000/svg');
  svg.setAttribute('role', 'img');
  svg.querySelector('style').remove();
  return svg.outerHTML.replace(/\d+\.\d{3,}/g, (digits) => String(Number(Number(digits).toFixed(2))));
}

/** The frame as large as the picture. */
function outset() {
  const { marginTop, marginRight, marginBottom, marginLeft } = margins;
  return { insetTop: -marginTop, insetRight: -marginRight, insetBottom: -marginBottom, insetLeft: -marginLeft };
}

function speed(imagesPerSecond) {
  return imagesPerSecond >= 100 ? String(Math.round(imagesPerSecond)) : String(Number(imagesPerSecond.toPrecision(2)));
}

async function main(file, folder = pictures) {
  const comparison = await readComparison(file);
  const bars = barsOf(comparison);
  await mkdir(folder, { recursive: true });
  for (const [name, colours] of Object.entries(schemes)) {
    const path = join(folder, `compare-${name}.svg`);
    await writeFile(path, `${draw(bars, comparison, colours)}\n`);
    console.log(path);
  }
}

await main(...process.argv.slice(2)).catch((error) => {
  console.error(`plot-benchmark: ${error.message}`);
  process.exitCode = 1;
});

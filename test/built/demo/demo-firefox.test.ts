/** The demo in Firefox (see support/processes/firefox.ts; skipped without one, which is said): it reads what is drawn, and trains Node's bits. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { demo, type Demo, type Summary } from '../../../src/index.js';
import { findFirefox, Firefox } from '../../support/processes/firefox.js';
import { temporaryDirectory, writeIdxSet } from '../../support/inputs/idx-files.js';
import { trainRun } from '../../support/processes/runs.js';

const executablePath = findFirefox('demo-firefox');
const seed = 3;
const steps = 10;

describe.skipIf(executablePath === null)('the demo in Firefox', () => {
  let remove: () => Promise<void>;
  let node: Summary;
  let server: Demo;
  let firefox: Firefox;

  beforeAll(async () => {
    let directory: string;
    ({ directory, remove } = await temporaryDirectory());
    const [data, run] = [join(directory, 'idx'), join(directory, 'run')];
    await writeIdxSet(data, steps * 128, 500, { gzip: true });
    ({ summary: node } = await trainRun({ data, out: run, seed, maxSteps: steps, workers: 2 }));
    server = await demo({ data, run });
    firefox = await Firefox.launch(executablePath ?? '');
    await firefox.goto(server.url);
    await firefox.waitFor(`!${textOf('network')}.startsWith('Loading')`);
  });
  afterAll(async () => {
    await firefox.close();
    await server.close();
    await remove();
  });

  it('reads what is drawn by mouse', async () => {
    const box = await firefox.evaluate<DOMRect>(`document.getElementById('pad').getBoundingClientRect()`);
    const ring = Array.from({ length: 25 }, (_, i) => {
      const angle = (2 * Math.PI * i) / 24;
      const x = Math.round(box.x + box.width * (0.5 + 0.2 * Math.cos(angle)));
      const y = Math.round(box.y + box.height * (0.5 + 0.33 * Math.sin(angle)));
      return { type: 'pointerMove', x, y } as const;
    });
    const [first, ...rest] = ring;
    if (first === undefined) throw new Error('a ring has points');
    await firefox.point([first, { type: 'pointerDown', button: 0 }, ...rest, { type: 'pointerUp', button: 0 }]);
    await firefox.waitFor(`${textOf('answer')}.includes(' a 0, ')`);
  });

  it('trains to the hash of Node with 2 Web Workers', async () => {
    await firefox.evaluate(`Object.entries({ workers: '2', seed: '${String(seed)}', steps: '${String(steps)}' }).map(
      ([id, value]) => (document.getElementById(id).value = value))`);
    await firefox.evaluate(`document.getElementById('start').click()`);
    await firefox.waitFor(`${textOf('status')}.startsWith('Trained') && ${textOf('start')} === 'Start'`);
    expect(await firefox.evaluate(textOf('hash'))).toBe(node.parametersSha256);
    expect(await firefox.evaluate(textOf('accuracy'))).toBe(`${node.accuracy.toFixed(2)} %`);
    expect(firefox.complaints).toEqual([]);
  });
});

function textOf(id: string): string {
  return `document.getElementById('${id}').textContent`;
}

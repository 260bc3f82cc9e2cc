/** The README's example of the library runs as it stands. */
import { execFile } from 'node:child_process';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { temporaryDirectory, writeIdxSet } from '../../support/inputs/idx-files.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
let directory: string;
let remove: () => Promise<void>;

beforeAll(async () => {
  ({ directory, remove } = await temporaryDirectory());
  // `data/` of the working folder is the default data set, so the example trains on a small one.
  await writeIdxSet(join(directory, 'data'), 3232, 20);
  await mkdir(join(directory, 'node_modules'));
  await symlink(root, join(directory, 'node_modules', 'mnist-ddp'), 'junction');
});
afterAll(async () => {
  await remove();
});

it('has a ```ts block that imports mnist-ddp, and it runs and prints its steps', async () => {
  const text = await readFile(join(root, 'README.md'), 'utf8');
  const blocks = [...text.matchAll(/```ts\n([\s\S]*?)```/g)].map((match) => match[1] ?? '');
  const example = blocks.find((block) => /from 'mnist-ddp'/.test(block));
  expect(example, "a ts block with an import from 'mnist-ddp'").toBeDefined();
  // The example has no types of its own, so it is JavaScript too.
  await writeFile(join(directory, 'example.mjs'), example ?? '');
  const { stdout } = await promisify(execFile)(process.execPath, ['example.mjs'], { cwd: directory, timeout: 110_000 });
  const lines = stdout.trimEnd().split('\n');
  expect(lines.map((line) => line.split(' ').length)).toEqual([3, 3, 2, 2]);
  expect(lines.slice(0, 2).map((line) => Number.parseInt(line, 10))).toEqual([100, 200]);
});

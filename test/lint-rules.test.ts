/** The rules that make breaking the architecture or exactness an error are in force: the repository's own configuration. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ESLint } from 'eslint';
import tseslint from 'typescript-eslint';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '..');
const eslint = new ESLint({
  cwd: root,
  // Types take seconds, and a snippet is not part of the TypeScript project under every name.
  overrideConfig: [tseslint.configs.disableTypeChecked, { linterOptions: { reportUnusedDisableDirectives: 'off' } }],
});
/** The rules of the architecture and of exactness; they need no types. */
const checked = ['no-restricted-syntax', 'no-restricted-imports', 'import-x/no-restricted-paths'];

/** What the rules say of code that would stand in this file of the repository (which exists). */
async function complaints(file: string, code: string): Promise<string[]> {
  const [result] = await eslint.lintText(code, { filePath: join(root, file) });
  return (result?.messages ?? []).filter(({ ruleId }) => checked.includes(ruleId ?? '')).map(({ message }) => message);
}

describe('arithmetic', () => {
  const computing = [
    'src/shared/model/schedule.ts',
    'src/worker/step.ts',
    'src/worker/engines/wasm/replica.ts',
    'src/coordinator/dataset/sampler.ts',
    'src/coordinator/session/initialisation.ts',
    'src/coordinator/checkpoint/batch-norm.ts',
  ];

  it.each(computing)('is exact in %s', async (file) => {
    const functions = ['exp', 'expm1', 'log', 'log2', 'pow', 'sqrt', 'cbrt', 'hypot', 'sin', 'cos', 'tanh', 'random'];
    const uses = [
      ...functions.map((name) => `Math.${name}(2)`),
      "Math['exp'](2)",
      'globalThis.Math.exp(2)',
      '[2].map(Math.exp)',
      'Math.PI',
      '2 ** 0.5',
    ];
    const found = await complaints(file, uses.map((use, i) => `export const x${String(i)} = ${use};`).join('\n'));
    expect(found.length).toBeGreaterThanOrEqual(uses.length);
    expect(await complaints(file, 'export const { exp } = Math;')).toHaveLength(1);
    expect(await complaints(file, 'let x = 2;\nx **= 0.5;\nexport { x };')).toHaveLength(1);
  });

  it('may use what is the same everywhere', async () => {
    const allowed = 'Math.fround(2) + Math.floor(2) + Math.imul(2, 3) + Math.max(1, 2) + Math.abs(1) * 2 / 3 - 1';
    expect(await complaints('src/shared/model/schedule.ts', `export const x = ${allowed};`)).toEqual([]);
  });

  it('comes from AssemblyScript in the kernels: the build passes no other Math, and no relaxed instructions', async () => {
    const build = await readFile(join(root, 'scripts/build.mjs'), 'utf8');
    expect(build).toContain('--enable=simd,threads,bulk-memory');
    expect(build).not.toMatch(/--use(?!',\s*`WIDE=)|JSMath|relaxed|fast-math/i);
  });
});

it.each([
  ['src/cli.ts', './coordinator/session/session.js'],
  ['src/commands/train.ts', '../coordinator/session/session.js'],
  ['src/commands/train.ts', '../library/train.js'],
  ['src/index.ts', './worker/rank.js'],
  ['src/library/train.ts', '../worker/rank.js'],
  ['src/library/train.ts', '../index.js'],
  ['src/interchange/weights.ts', '../coordinator/session/session.js'],
  ['src/report/report-data.ts', '../coordinator/session/session.js'],
  ['src/coordinator/session/session.ts', '../../worker/rank.js'],
  ['src/coordinator/session/session.ts', '../training/training.js'],
  ['src/coordinator/training/training.ts', '../node/run-folder.js'],
  ['src/coordinator/checkpoint/checkpoint-format.ts', '../session/session.js'],
  ['src/mpi/job.ts', '../coordinator/session/session.js'],
  ['src/files/regular-file.ts', '../coordinator/session/session.js'],
  ['src/interchange/weights.ts', '../files/regular-file.js'],
  ['src/coordinator/session/session.ts', '../../mpi/job.js'],
  ['src/worker/rank.ts', '../coordinator/session/session.js'],
  ['src/worker/engines/wasm/replica.ts', '../../rank.js'],
  ['src/shared/sums/tree.ts', '../../coordinator/session/session.js'],
  ['src/shared/sums/tree.ts', '../group/memory.js'],
  ['src/shared/model/network.ts', '../sums/tree.js'],
  ['src/shared/sums/tree.ts', 'node:fs'],
  ['src/coordinator/training/training.ts', 'node:fs'],
  ['src/coordinator/session/session.ts', 'piscina'],
  ['src/browser/page.ts', 'node:fs'],
  ['src/browser/page.ts', '../library/train.js'],
  ['src/browser/page.ts', '../commands/train.js'],
  ['src/browser/page.ts', '../commands/shell/output.js'],
  ['src/commands/shell/flags.ts', 'node:fs'],
  ['src/browser/worker.ts', '../worker/engines/registry.js'],
  ['src/library/demo/demo.ts', '../../browser/page.js'],
  ['src/worker/engines/wasm/replica.ts', 'node:os'],
])('%s may not import %s, nor later', async (file, imported) => {
  expect(await complaints(file, `import * as it from '${imported}';\nexport { it };`)).toHaveLength(1);
  expect(await complaints(file, `export const it = await import('${imported}');`)).toHaveLength(1);
});

it('the page may import the command line that it shows', async () => {
  const code = "import { trainCommandLine } from '../commands/shell/flags.js';\nexport { trainCommandLine };";
  expect(await complaints('src/browser/page.ts', code)).toEqual([]);
});

/**
 * Besides the usual: the architecture (which folder may import which) and exactness (which arithmetic may be used) are
 * rules here, so that breaking one is an error at once and not a matter of review.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import importX, { createNodeResolver } from 'eslint-plugin-import-x';
import { defineConfig } from 'eslint/config';
import tseslint from 'typescript-eslint';

/** A folder's sources, or a file. One that is not there, such as after a move, would be a rule without effect. */
function sources(path) {
  if (!existsSync(join(import.meta.dirname, path)))
    throw new Error(`eslint.config.js names ${path}, which is not there`);
  return path.endsWith('.ts') ? path : `${path}/**/*.ts`;
}

/** What runs in a browser too. */
const portable = [
  'src/shared',
  'src/browser',
  'src/commands/shell/flags.ts',
  'src/coordinator/session',
  'src/coordinator/dataset',
  'src/coordinator/metrics',
  'src/coordinator/training',
  'src/coordinator/checkpoint',
  'src/coordinator/validate.ts',
  'src/worker/rank.ts',
  'src/worker/step.ts',
  'src/worker/engines/registry.ts',
  'src/worker/engines/host',
  'src/worker/engines/reference',
  'src/worker/engines/wasm',
  'src/worker/engines/winograd',
  'src/images/ink',
  ...['grey', 'digits', 'centre'].map((name) => `src/images/${name}.ts`),
].map(sources);

/** What decides bits of the result. */
const exact = [
  'src/shared',
  'src/worker',
  'src/coordinator/dataset/sampler.ts',
  'src/coordinator/session/initialisation.ts',
  'src/coordinator/checkpoint/batch-norm.ts',
  'src/coordinator/session/row-loss.ts',
].map(sources);

/** Formulas over typed arrays. */
const numeric = [
  'src/worker/engines',
  'src/images',
  'src/shared/sums/rows.ts',
  'src/shared/model/philox.ts',
  'src/coordinator/dataset/sampler.ts',
  'src/coordinator/session/initialisation.ts',
  'src/coordinator/checkpoint/batch-norm.ts',
  'src/coordinator/session/evaluation.ts',
  'src/coordinator/session/row-loss.ts',
].map(sources);

/** IEEE 754 and ECMAScript give these the same bits everywhere; every other function of Math may differ. */
const exactMath = 'fround|f16round|floor|ceil|trunc|round|abs|sign|min|max|imul|clz32';
const inexact = 'differs between machines: take it from WebAssembly, or multiply repeatedly';

const runsInBrowser = 'this also runs in a browser: nothing of Node here';
const nodeModules = '^(node:|piscina|fs|os|path|worker_threads|crypto|child_process)';
const lateNodeImport = { selector: `ImportExpression[source.value=/${nodeModules}/]`, message: runsInBrowser };

export default defineConfig(
  { ignores: ['dist/', 'build/', 'coverage/', 'runs/', '.tfjs-node/', 'src/worker/engines/wasm/assembly/'] },
  tseslint.configs.strictTypeChecked,
  {
    plugins: { 'import-x': importX },
    languageOptions: {
      parserOptions: {
        project: ['./tsconfig.test.json', './tsconfig.browser.json'],
        tsconfigRootDir: import.meta.dirname,
      },
    },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    settings: {
      // Sources import the .js files that they will become.
      'import-x/resolver-next': [createNodeResolver({ extensionAlias: { '.js': ['.ts', '.js'] } })],
      'import-x/parsers': { '@typescript-eslint/parser': ['.ts'] },
    },
    rules: {
      eqeqeq: 'error',
      'no-empty': 'error',
      'no-fallthrough': 'error',
      'no-loss-of-precision': 'error',
      'no-self-assign': 'error',
      'no-unreachable': 'error',
      'no-useless-escape': 'error',
      'prefer-const': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-floating-promises': 'error',
      'import-x/no-cycle': 'error',
      'import-x/no-restricted-paths': ['error', { zones: layers() }],
    },
  },
  {
    files: ['**/*.js', '**/*.mjs'],
    extends: [tseslint.configs.disableTypeChecked],
    // Not part of the TypeScript project.
    languageOptions: { parserOptions: { project: null }, globals: node() },
    rules: { 'no-undef': 'error' },
  },
  {
    // Loops over typed arrays: an index in range is the loop's own business, and a check of each would hide the formula. What is
    // read beyond the end is no number, and what is computed of it none either, where a 0 in its place would be a wrong result.
    files: numeric,
    rules: { '@typescript-eslint/no-non-null-assertion': 'off' },
  },
  { files: portable, rules: portableRules() },
  // Engines that do not promise equal bits, and what they share.
  { files: exact, ignores: ['src/worker/engines/{reference,host,tfjs}/**'], rules: exactRules() },
);

/**
 * cli -> commands -> index -> library -> coordinator, interchange, images, report, mpi -> shared <- worker, and browser beside
 * the library; coordinator, images and library -> files; browser -> commands for one file. Each folder is listed with what of
 * the rest it may import; anyone may import shared.
 */
function layers() {
  const all = [
    ...[
      'cli.ts',
      'commands',
      'browser',
      'index.ts',
      'library',
      'coordinator',
      'interchange',
      'images',
      'report',
      'mpi',
      'files',
    ],
    'worker',
  ];
  const may = {
    'cli.ts': [['commands'], 'the command line uses the commands'],
    commands: [['index.ts'], 'commands use the library (index) and nothing below it'],
    'index.ts': [['library', 'coordinator', 'interchange'], 'the index names what the library offers'],
    library: [
      ['coordinator', 'interchange', 'images', 'report', 'mpi', 'files', 'worker'],
      'the library knows neither its commands nor the page',
    ],
    browser: [
      ['coordinator', 'images', 'worker', 'commands'],
      'the page is to coordinator and engine what the library is in Node',
    ],
    coordinator: [['files'], 'the coordinator imports files and shared only'],
    interchange: [[], 'file formats import shared only'],
    images: [['files'], 'pictures import files and shared only'],
    files: [[], 'opening files imports shared only'],
    mpi: [[], 'what calls MPI imports shared only'],
    report: [[], 'the report imports shared only: it is given all that it shows'],
    worker: [[], 'the worker imports shared only'],
    shared: [[], 'shared imports nothing of the rest'],
  };
  const zones = Object.entries(may).map(([folder, [allowed, message]]) => ({
    target: `./src/${folder}`,
    from: all.filter((other) => other !== folder && !allowed.includes(other)).map((other) => `./src/${other}`),
    message,
  }));
  return [
    ...zones,
    ...storeys('src/coordinator', ['node', 'training', 'metrics', 'session', 'checkpoint', 'dataset']),
    ...storeys('src/shared', ['group', 'sums', 'model']),
    {
      target: './src/library',
      from: './src/worker',
      except: ['./engines/registry.ts'],
      message: 'the library joins coordinator and engines: of the worker it may import the registry of engines only',
    },
    {
      target: './src/browser',
      from: './src/worker',
      except: ['./rank.ts', './engines/wasm'],
      message: 'of the worker, the page joins the loop of a rank and its one engine',
    },
    {
      target: './src/browser',
      from: './src/commands',
      except: ['./shell/flags.ts'],
      message: 'of the commands, the page shows the command line alone',
    },
    {
      target: './src/worker/engines',
      from: './src/worker',
      except: ['./engines'],
      message: 'an engine knows the contract in shared, and neither ranks nor workers',
    },
  ];
}

/** Folders of a house, from the top down: none imports one above it. */
function storeys(house, folders) {
  return folders.slice(1).map((folder, i) => ({
    target: `./${house}/${folder}`,
    from: folders.slice(0, i + 1).map((above) => `./${house}/${above}`),
    message: `${house} goes down from ${folders.join(' to ')}`,
  }));
}

function portableRules() {
  return {
    'no-restricted-imports': ['error', { patterns: [{ regex: nodeModules, message: runsInBrowser }] }],
    'no-restricted-syntax': ['error', lateNodeImport],
    'no-restricted-globals': [
      'error',
      ...['Buffer', 'process', 'require', '__dirname', 'setImmediate', 'global'].map((name) => ({
        name,
        message: runsInBrowser,
      })),
    ],
  };
}

function exactRules() {
  return {
    'no-restricted-syntax': [
      'error',
      {
        selector: `MemberExpression[object.name='Math'][property.name!=/^(${exactMath})$/]`,
        message: `this ${inexact}`,
      },
      { selector: "VariableDeclarator[init.name='Math']", message: 'name Math at each use, so that it can be checked' },
      { selector: "MemberExpression[property.name='Math']", message: 'name Math itself, so that it can be checked' },
      { selector: "BinaryExpression[operator='**']", message: `** ${inexact}` },
      { selector: "AssignmentExpression[operator='**=']", message: `**= ${inexact}` },
      // The rule of this name takes the place of the one for what runs in a browser.
      lateNodeImport,
    ],
  };
}

function node() {
  const names = ['process', 'console', 'performance', 'URL', 'AbortController', 'WebAssembly'];
  return Object.fromEntries(names.map((name) => [name, 'readonly']));
}

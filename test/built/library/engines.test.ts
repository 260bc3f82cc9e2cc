/** Which engine computes: where its packages are found, what a trial of it says, and what is chosen. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { refuseOtherBits } from '../../../src/coordinator/training/resume.js';
import type { EngineChoice } from '../../../src/index.js';
import { adapterDetail } from '../../../src/library/engines/adapter.js';
import { statusOf } from '../../../src/library/devices/engine-status.js';
import { autoChoice, selectEngine, selectEngineToResume } from '../../../src/library/engines/engines.js';
import { findLibraries, folderVariable } from '../../../src/library/engines/packages.js';
import { operationalError } from '../../support/compute/errors.js';
import { temporaryDirectory } from '../../support/inputs/idx-files.js';
import { installPackage, tensorFlowSource } from '../../support/compute/packages.js';

let directory: string;
let remove: () => Promise<void>;
let folders = 0;
beforeAll(async () => {
  ({ directory, remove } = await temporaryDirectory());
});
afterAll(async () => {
  await remove();
});

function newFolder(): string {
  const folder = join(directory, String(folders++));
  mkdirSync(folder);
  return folder;
}

const node = '@tensorflow/tfjs-node';
const webgpu = ['webgpu', '@tensorflow/tfjs', '@tensorflow/tfjs-backend-webgpu'] as const;

describe('the packages of tfjs-node', () => {
  const places = (): { cwd: string; ownFolder: string; environment: Record<string, string> } => {
    return { cwd: newFolder(), ownFolder: newFolder(), environment: {} };
  };

  it("are looked for in mnist-ddp's own folder, the working folder, and the .tfjs-node of each, in that order", () => {
    const surroundings = places();
    const { cwd, ownFolder } = surroundings;
    const ordered = [ownFolder, cwd, join(ownFolder, '.tfjs-node'), join(cwd, '.tfjs-node')];
    // From the last to the first, so that each one found hides those before.
    for (const [i, place] of ordered.reverse().entries()) {
      const version = `4.0.${String(i)}`;
      const entry = installPackage(place, node, { version });
      expect(findLibraries('tfjs-node', surroundings)).toEqual({ found: true, version, libraries: [entry] });
    }
  });

  it('are looked for in the folder that the variable names and nowhere else', () => {
    const surroundings = places();
    const named = newFolder();
    installPackage(surroundings.cwd, node);
    const environment = { [folderVariable]: named };
    const search = findLibraries('tfjs-node', { ...surroundings, environment });
    expect(search).toMatchObject({ found: false, version: null });
    expect(search).toHaveProperty('why', expect.stringContaining(`not installed in ${named} (from ${folderVariable})`));
    const entry = installPackage(named, node);
    expect(findLibraries('tfjs-node', { ...surroundings, environment })).toMatchObject({ libraries: [entry] });
    expect(findLibraries('tfjs-node', { ...surroundings, environment: { [folderVariable]: '' } }).found).toBe(true);
  });

  it('are found above a place, as Node finds them', () => {
    const surroundings = places();
    const entry = installPackage(surroundings.cwd, node);
    const below = join(surroundings.cwd, 'a', 'b');
    expect(findLibraries('tfjs-node', { ...surroundings, cwd: below })).toMatchObject({ libraries: [entry] });
  });

  it.each([
    { what: 'without its addon', options: { addon: false }, says: `${node} is installed without its native addon` },
    { what: 'without its entry', options: { source: null }, says: `${node} is damaged: its entry is missing` },
  ])('are of no use $what, unless another place has them whole', ({ options, says }) => {
    const surroundings = places();
    installPackage(surroundings.cwd, node, { ...options, version: '4.1.0' });
    const search = findLibraries('tfjs-node', surroundings);
    expect(search).toMatchObject({ found: false, version: '4.1.0' });
    expect(search).toHaveProperty('why', expect.stringMatching(new RegExp(`^${says}[^\\n]*: npm install ${node}`)));
    const entry = installPackage(join(surroundings.cwd, '.tfjs-node'), node);
    expect(findLibraries('tfjs-node', surroundings)).toMatchObject({ found: true, libraries: [entry] });
  });

  it('that are not installed are named, with how to get them', () => {
    const search = findLibraries('tfjs-node', places());
    expect(search).toEqual({
      found: false,
      version: null,
      why: `${node} is not installed: npm install ${node}, or in a checkout npm run setup:tfjs-node`,
    });
  });

  it('are not mistaken for those of tfjs-node-gpu', () => {
    const surroundings = places();
    installPackage(surroundings.cwd, node);
    expect(findLibraries('tfjs-node-gpu', surroundings)).toMatchObject({ found: false, version: null });
  });
});

describe('the packages of tfjs-webgpu', () => {
  it('come in the order of their imports, all from one place, whatever the variable says', () => {
    const [cwd, ownFolder] = [newFolder(), newFolder()];
    const surroundings = { cwd, ownFolder, environment: { [folderVariable]: newFolder() } };
    for (const name of webgpu.slice(0, 2)) installPackage(ownFolder, name);
    installPackage(cwd, webgpu[2]);
    const apart = findLibraries('tfjs-webgpu', surroundings);
    expect(apart).toHaveProperty('why', expect.stringMatching(/^@tensorflow\/tfjs-backend-webgpu is not installed: /));
    for (const name of webgpu.slice(0, 2)) installPackage(cwd, name);
    const libraries = webgpu.map((name) => pathToFileURL(join(cwd, 'node_modules', name, 'dist', 'index.js')).href);
    expect(findLibraries('tfjs-webgpu', surroundings)).toEqual({ found: true, version: '4.22.0', libraries });
  });

  it('that are missing are all named', () => {
    const surroundings = { cwd: newFolder(), ownFolder: newFolder(), environment: {} };
    installPackage(surroundings.cwd, webgpu[1]);
    const { why } = findLibraries('tfjs-webgpu', surroundings) as { why: string };
    expect(why).toMatch(/^webgpu and @tensorflow\/tfjs-backend-webgpu are not installed: npm install webgpu /);
  });

  it('are entered where import enters them', () => {
    const [cwd, ownFolder] = [newFolder(), newFolder()];
    const entries = [
      { '.': { types: './t.d.ts', require: './no.cjs', import: './yes.mjs' } },
      './yes.mjs',
      { node: { default: './yes.mjs' }, default: './no.js' },
    ];
    webgpu.forEach((name, i) => installPackage(cwd, name, { manifest: { exports: entries[i] } }));
    const libraries = webgpu.map((name) => pathToFileURL(join(cwd, 'node_modules', name, 'yes.mjs')).href);
    expect(findLibraries('tfjs-webgpu', { cwd, ownFolder, environment: {} })).toMatchObject({ libraries });
  });
});

describe('with packages in the folder that the variable names', () => {
  let folder: string;
  let before: string | undefined;
  beforeEach(() => {
    folder = newFolder();
    before = process.env[folderVariable];
    process.env[folderVariable] = folder;
  });
  afterEach(() => {
    if (before === undefined) Reflect.deleteProperty(process.env, folderVariable);
    else process.env[folderVariable] = before;
  });

  describe('a trial', () => {
    it('tells what computes', async () => {
      const source = tensorFlowSource({ gpu: false, version: '2.15.1' });
      installPackage(folder, node, { version: '4.21.0', source });
      expect(await statusOf('tfjs-node')).toEqual({
        name: 'tfjs-node',
        version: '4.21.0',
        available: true,
        exact: false,
        device: 'cpu',
        detail: 'TensorFlow 2.15.1 on the CPU',
        simd: null,
      });
    });

    it.each([
      {
        what: 'throws',
        source: "throw new Error('no libtensorflow.so.2\\nmore')",
        says: /cannot be loaded \(no libtensorflow/,
      },
      { what: 'crashes', source: 'process.abort()', says: /^loading it ended the process with SIGABRT/ },
      {
        what: 'exits',
        source: "console.error('no\\nsuch cpu'); process.exit(3)",
        says: /with exit code 3 \(such cpu\)$/,
      },
      { what: 'hangs', source: 'for (;;);', says: /^loading it took more than 1 s$/ },
    ])('of a package that $what says so in one line, and harms nobody', async ({ source, says }) => {
      installPackage(folder, node, { source });
      const { available, version, detail } = await statusOf('tfjs-node', { timeoutMs: 1000 });
      expect([available, version]).toEqual([false, '4.22.0']);
      expect(detail).toMatch(says);
      expect(detail).not.toContain('\n');
    });

    it('is not made of what is not there', async () => {
      expect(await statusOf('tfjs-node')).toMatchObject({ available: false, version: null, device: null });
    });
  });

  describe('auto', () => {
    const options = { workers: 2, onNote: () => undefined };

    it('takes the embedded engine, and says that there is no GPU', async () => {
      expect(await selectEngine(undefined, options)).toMatchObject({
        engine: { name: 'wasm' },
        libraries: [],
        device: 'cpu',
        why: expect.stringMatching(/^no GPU: .*libOpenCL/) as string,
        pool: null,
      });
    });

    it('takes the embedded engine, and says why, where TensorFlow finds no GPU', async () => {
      installPackage(folder, '@tensorflow/tfjs-node-gpu', { source: tensorFlowSource({ gpu: false }) });
      const { engine, why } = await selectEngine('auto', options);
      expect(engine.name).toBe('wasm');
      expect(why).toMatch(/^tfjs-node-gpu does not work here: TensorFlow finds no CUDA GPU/);
    });

    it('takes tfjs-node-gpu where TensorFlow finds a GPU', async () => {
      installPackage(folder, '@tensorflow/tfjs-node-gpu', { source: tensorFlowSource({ gpu: true }) });
      const status = await statusOf('tfjs-node-gpu');
      expect(status).toMatchObject({ available: true, device: 'gpu', detail: 'TensorFlow 2.9.1 on a CUDA GPU' });
      const opencl = { found: false, version: null, why: 'koffi is not installed' } as const;
      expect(autoChoice(opencl, status)).toEqual({ engine: 'tfjs-node-gpu', why: status.detail });
    });

    it('does not take tfjs-node, which wasm beats', async () => {
      installPackage(folder, node, { source: tensorFlowSource({ gpu: false }) });
      expect((await selectEngine('auto', options)).engine.name).toBe('wasm');
    });

    it('stays on processors where `devices` names them', async () => {
      installPackage(folder, '@tensorflow/tfjs-node-gpu', { source: 'process.abort()' });
      const { engine, why } = await selectEngine('auto', { ...options, devices: [{ kind: 'cpu', core: null }] });
      expect([engine.name, why]).toEqual(['wasm', '`devices` names processors']);
    });

    it('goes on with the engine of the run to resume, and with no other unless it may', async () => {
      const wasm = await selectEngineToResume('wasm', false, 'auto', options);
      expect([wasm.engine.name, wasm.why]).toEqual(['wasm', 'as in the run to resume']);
      const error = await operationalError(() => selectEngineToResume('tfjs-node', false, undefined, options));
      expect(error.code).toBe('CONFIGURATION_CHANGED');
      expect(error.message).toMatch(/trained by engine tfjs-node, .*not installed.*; or add `override: \['engine'\]`$/);
      expect((await selectEngineToResume('tfjs-node', true, 'auto', options)).engine.name).toBe('wasm');
      // An engine that is asked for is taken: whether it may go on is the business of whoever knows the checkpoint.
      expect((await selectEngineToResume('tfjs-node', false, 'wasm', options)).engine.name).toBe('wasm');
    });
  });

  it.each([
    ['tfjs-node', [null, 3], 'write cpu with `engine` tfjs-node'],
    ['tfjs-node-gpu', [null], 'leave `devices` out'],
    ['tfjs-webgpu', [null], 'leave `devices` out'],
  ] as const)('%s refuses devices that it would not keep to: cores %j', async (choice, cores, says) => {
    const devices = cores.map((core) => ({ kind: 'cpu', core }) as const);
    const select = () => selectEngine(choice, { workers: cores.length, devices, onNote: () => undefined });
    const { code, message } = await operationalError(select);
    expect([code, message]).toEqual(['USAGE', expect.stringContaining(says)]);
  });

  it('an engine by name that does not work is an error with the reason', async () => {
    const options = { workers: 1, onNote: () => undefined };
    const one = await operationalError(() => selectEngine('tfjs-node', options));
    expect(one.code).toBe('ENGINE_UNAVAILABLE');
    expect(one.message).toMatch(/^`engine` tfjs-node: @tensorflow\/tfjs-node is not installed in /);
    installPackage(folder, '@tensorflow/tfjs-node-gpu', { source: tensorFlowSource({ gpu: false }) });
    const other = await operationalError(() => selectEngine('tfjs-node-gpu', options));
    expect(other.code).toBe('ENGINE_UNAVAILABLE');
    expect(other.message).toMatch(/^`engine` tfjs-node-gpu: TensorFlow finds no CUDA GPU: /);
  });
});

it('an engine that there is not is refused by a message that lists those that there are', async () => {
  const select = () => selectEngine('tpu' as EngineChoice, { workers: 1, onNote: () => undefined });
  expect(await operationalError(select)).toEqual({
    code: 'USAGE',
    message: '`engine` must be auto, wasm, opencl, tfjs, tfjs-node-gpu, tfjs-node, tfjs-webgpu, not "tpu"',
  });
});

it('a software adapter is named as one', () => {
  const adapter = {
    vendor: 'google',
    architecture: 'swift',
    device: 'swiftshader-',
    description: '5.0',
    software: true,
  };
  expect(adapterDetail(adapter)).toBe('WebGPU on a software adapter, far slower than wasm: swiftshader, 5.0');
  expect(adapterDetail({ ...adapter, software: false })).toBe('WebGPU on swiftshader, 5.0');
  expect(adapterDetail({ ...adapter, device: '', description: '', software: false })).toBe('WebGPU on swift');
});

describe('a run goes on from a checkpoint', () => {
  const checkpoint = { dataset: 'mnist', engine: 'wasm', arithmetic: 'aa' };
  const other = { dataset: 'mnist', engine: 'tfjs-node', arithmetic: null };

  it('of the same data, engine and arithmetic', () => {
    expect(() => {
      refuseOtherBits(checkpoint, checkpoint, []);
    }).not.toThrow();
  });

  it.each([
    { run: { ...checkpoint, dataset: 'x' }, override: ['engine', 'kernels'], says: 'data set mnist, but this is x' },
    { run: { ...checkpoint, arithmetic: 'bb' }, override: ['engine', 'data'], says: "add `override: ['kernels']`" },
    {
      run: other,
      override: ['kernels', 'data'],
      says:
        'the checkpoint was trained by engine wasm, this is tfjs-node: its bits will differ; use `engine` wasm, or add ' +
        "`override: ['engine']`",
    },
  ])('and of no other unless it is overridden: $says', async ({ run, override, says }) => {
    const refused = () => {
      refuseOtherBits(checkpoint, run, override);
    };
    const { code, message } = await operationalError(refused);
    expect([code, message]).toEqual(['CONFIGURATION_CHANGED', expect.stringContaining(says)]);
    expect(() => {
      refuseOtherBits(checkpoint, run, ['data', 'engine', 'kernels']);
    }).not.toThrow();
  });

  it('of another engine with the same arithmetic, as exact ones have', () => {
    expect(() => {
      refuseOtherBits(checkpoint, { ...checkpoint, engine: 'opencl' }, []);
      refuseOtherBits({ ...checkpoint, engine: 'opencl' }, checkpoint, []);
    }).not.toThrow();
    expect(() => {
      refuseOtherBits({ ...other, engine: 'tfjs-webgpu' }, other, []);
    }).toThrow("add `override: ['engine']`");
  });

  it('of another engine with one override: kernels are part of an engine', () => {
    expect(() => {
      refuseOtherBits(checkpoint, other, ['engine']);
    }).not.toThrow();
  });
});

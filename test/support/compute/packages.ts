/** Made-up npm packages: just enough of TensorFlow.js for what looks for it and loads it. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

export interface PackageOptions {
  readonly version?: string;
  /** The text of its CommonJS entry; null leaves the file out. */
  readonly source?: string | null;
  /** Whether its native addon was built. */
  readonly addon?: boolean;
  /** Further fields of its package.json. */
  readonly manifest?: object;
}

/** Installs a package under `folder/node_modules`. Returns the file URL of its entry. */
export function installPackage(folder: string, name: string, options: PackageOptions = {}): string {
  const { version = '4.22.0', source = '', addon = true, manifest = {} } = options;
  const directory = join(folder, 'node_modules', name);
  mkdirSync(join(directory, 'dist'), { recursive: true });
  const fields = { name, version, main: 'dist/index.js', ...manifest };
  writeFileSync(join(directory, 'package.json'), JSON.stringify(fields));
  const entry = join(directory, 'dist', 'index.js');
  if (source !== null) writeFileSync(entry, source);
  if (addon && name.startsWith('@tensorflow/tfjs-node')) {
    mkdirSync(join(directory, 'lib', 'napi-v8'), { recursive: true });
    writeFileSync(join(directory, 'lib', 'napi-v8', 'tfjs_binding.node'), '');
  }
  return pathToFileURL(entry).href;
}

/** A package that says of itself what TensorFlow.js says, and computes nothing. */
export function tensorFlowSource({ gpu, version = '2.9.1' }: { gpu: boolean; version?: string }): string {
  return `
    module.exports = {
      getBackend: () => 'tensorflow',
      backend: () => ({ isUsingGpuDevice: ${String(gpu)}, binding: { TF_Version: ${JSON.stringify(version)} } }),
      enableProdMode: () => undefined,
      version: { tfjs: '4.22.0' },
    };`;
}

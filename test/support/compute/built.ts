import { dirname, join } from 'node:path';
import type { Plugin } from 'vitest/config';

const root = join(import.meta.dirname, '../../..');
const source = join(root, 'src/');

/** Tests import `src`; with this they meet what was built of it. */
export const built: Plugin = {
  name: 'built',
  enforce: 'pre',
  resolveId(specifier, importer) {
    if (importer === undefined || !specifier.startsWith('.')) return null;
    const path = join(dirname(importer), specifier);
    if (!path.startsWith(source) || !path.endsWith('.js')) return null;
    return join(root, 'dist', path.slice(source.length));
  },
};

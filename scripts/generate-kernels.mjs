// Writes what the kernels import of generated AssemblyScript. Needs dist/ of tsc; asc comes after.
import { mkdirSync, writeFileSync } from 'node:fs';
import { tilesSource } from '../dist/worker/engines/wasm/tiles/emit-tiles.js';
import { transformsSource } from '../dist/worker/engines/wasm/transforms/emit-transforms.js';

const folder = new URL('../src/worker/engines/wasm/assembly/generated/', import.meta.url);
mkdirSync(folder, { recursive: true });
writeFileSync(new URL('tiles.ts', folder), tilesSource());
writeFileSync(new URL('transforms.ts', folder), transformsSource());

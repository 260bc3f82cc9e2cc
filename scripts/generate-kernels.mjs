// Writes the AssemblyScript that the kernels import, and TypeScript's view of what they export. Needs dist/ of tsc; asc comes
// after. Exits with 3 where that view is another one than was compiled: then tsc has to run again.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { layersSource } from '../dist/worker/engines/wasm/emitters/emit-layers.js';
import { segmentsSource } from '../dist/worker/engines/wasm/emitters/emit-segments.js';
import { signaturesSource } from '../dist/worker/engines/wasm/emitters/emit-signatures.js';
import { tilesSource } from '../dist/worker/engines/wasm/emitters/emit-tiles.js';
import { transformsSource } from '../dist/worker/engines/wasm/emitters/emit-transforms.js';

const assembly = new URL('../src/worker/engines/wasm/assembly/', import.meta.url);
const generated = new URL('generated/', assembly);
const sources = { layers: layersSource, segments: segmentsSource, tiles: tilesSource, transforms: transformsSource };
mkdirSync(generated, { recursive: true });
for (const [name, source] of Object.entries(sources)) writeFileSync(new URL(`${name}.ts`, generated), source());

const signatures = new URL('../kernel-signatures.ts', assembly);
const text = signaturesSource((path) => readFileSync(new URL(path, assembly), 'utf8'));
if (text !== readFileSync(signatures, 'utf8')) {
  writeFileSync(signatures, text);
  process.exitCode = 3;
}

// Writes the Winograd transforms in AssemblyScript, which the kernels import. Needs dist/ of tsc; asc comes after.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { transformsSource } from '../dist/worker/engines/wasm/transforms/emit-transforms.js';

const target = fileURLToPath(new URL('../src/worker/engines/wasm/assembly/generated/transforms.ts', import.meta.url));
mkdirSync(dirname(target), { recursive: true });
writeFileSync(target, transformsSource());

// Builds dist/: TypeScript, the WebAssembly kernels of the engines, and the demo's page.
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const require = createRequire(import.meta.url);
const run = (script, args) => execFileSync(process.execPath, [script, ...args], { cwd: root, stdio: 'inherit' });

rmSync(join(root, 'dist'), { recursive: true, force: true });
run(require.resolve('typescript/bin/tsc'), ['-p', 'tsconfig.json']);

try {
  run(join(root, 'scripts/generate-kernels.mjs'), []);
} catch (error) {
  if (error.status !== 3) throw error;
  run(require.resolve('typescript/bin/tsc'), ['-p', 'tsconfig.json']);
}
mkdirSync(join(root, 'dist/kernels'), { recursive: true });
// One source in two widths: for vectors of 128 bits, and for those of 256 that V8 makes of pairs, see docs/architecture.md.
for (const [file, wide] of [
  ['wasm.wasm', 0],
  ['wasm-wide.wasm', 1],
]) {
  run(require.resolve('assemblyscript/bin/asc.js'), [
    'src/worker/engines/wasm/assembly/index.ts',
    `--outFile=dist/kernels/${file}`,
    '--use',
    `WIDE=${wide}`,
    '-O3',
    '--runtime=stub',
    '--noAssert',
    '--enable=simd,threads,bulk-memory',
    '--importMemory',
    '--sharedMemory',
    // The real size is the coordinator's: a module accepts any memory at least as large as `initial`, up to `maximum`.
    '--initialMemory=1',
    '--maximumMemory=65536',
    // Where static data may lie below 1024, asc moves constants of addresses that small into the offsets of loads and
    // stores; V8 then no longer sees that two of them are neighbours, and makes no pair of them.
    '--memoryBase=1024',
  ]);
}

run(require.resolve('typescript/bin/tsc'), ['-p', 'tsconfig.browser.json']);
await build({
  entryPoints: ['page', 'worker'].map((name) => join(root, `src/browser/${name}.ts`)),
  outdir: join(root, 'dist/demo'),
  bundle: true,
  minify: true,
  format: 'esm',
  target: 'es2023',
  logLevel: 'warning',
});
copyFileSync(join(root, 'src/browser/index.html'), join(root, 'dist/demo/index.html'));
const { colours } = await import('../dist/report/style.js');
writeFileSync(
  join(root, 'dist/demo/style.css'),
  `${colours}\n${readFileSync(join(root, 'src/browser/style.css'), 'utf8')}`,
);

chmodSync(join(root, 'dist/cli.js'), 0o755);

// Builds dist/: TypeScript, then the WebAssembly kernels of the engines.
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const require = createRequire(import.meta.url);
const run = (script, args) => execFileSync(process.execPath, [script, ...args], { cwd: root, stdio: 'inherit' });

rmSync(join(root, 'dist'), { recursive: true, force: true });
run(require.resolve('typescript/bin/tsc'), ['-p', 'tsconfig.json']);

run(join(root, 'scripts/generate-transforms.mjs'), []);
mkdirSync(join(root, 'dist/kernels'), { recursive: true });
run(require.resolve('assemblyscript/bin/asc.js'), [
  'src/worker/engines/wasm/assembly/index.ts',
  '--outFile=dist/kernels/wasm.wasm',
  '-O3',
  '--runtime=stub',
  '--noAssert',
  '--enable=simd,threads,bulk-memory',
  '--importMemory',
  '--sharedMemory',
  // The real size is the coordinator's: a module accepts any memory at least as large as `initial`, up to `maximum`.
  '--initialMemory=1',
  '--maximumMemory=65536',
]);

chmodSync(join(root, 'dist/cli.js'), 0o755);

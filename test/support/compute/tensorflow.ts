/** TensorFlow.js where this machine has it, for tests that use the real thing. */
import { existsSync } from 'node:fs';
import { findLibraries } from '../../../src/library/engines/packages.js';
import type { TensorFlowName } from '../../../src/shared/engine.js';

export interface Libraries {
  /** As `ReplicaBinding.libraries`. */
  readonly libraries: readonly string[];
  /** Why there are none, or null: a test that is left out says it in its title. */
  readonly missing: string | null;
}

// As `train` sets them before it loads TensorFlow.
process.env['TF_CPP_MIN_LOG_LEVEL'] ??= '2';
process.env['TF_NUM_INTRAOP_THREADS'] ??= '1';

export function findTensorFlow(name: TensorFlowName): Libraries {
  const search = findLibraries(name);
  if (search.found) return { libraries: search.libraries, missing: null };
  console.warn(`TESTS LEFT OUT: engine ${name}: ${search.why}`);
  return { libraries: [], missing: search.why };
}

const swiftShader = { folder: '/usr/lib/chromium', driver: '/usr/lib/chromium/vk_swiftshader_icd.json' };

/**
 * The environment in which a process finds a Vulkan driver: its own where one is named, else that of Debian's chromium
 * package, which has a software adapter. It must be set before the process starts.
 */
export function webGpuEnvironment(): NodeJS.ProcessEnv {
  if (process.env['VK_ICD_FILENAMES'] !== undefined || !existsSync(swiftShader.driver)) return { ...process.env };
  const paths = [swiftShader.folder, process.env['LD_LIBRARY_PATH']].filter(
    (path) => path !== undefined && path !== '',
  );
  return { ...process.env, LD_LIBRARY_PATH: paths.join(':'), VK_ICD_FILENAMES: swiftShader.driver };
}

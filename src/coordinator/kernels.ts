/**
 * An engine's kernels, compiled: 256 bits wide where the host can and the engine finds that they give the bits of the narrow
 * ones, which every machine runs. A pass of V8 that is an experiment is never trusted blindly.
 */
import type { Engine } from '../shared/engine.js';
import { OperationalError } from '../shared/errors.js';
import type { Host, HostSimd, Simd } from './host.js';

export interface LoadedKernels {
  /** Workers run this very code: threads share what was compiled. */
  readonly module: WebAssembly.Module;
  readonly simd: Simd;
  /** One line, where kernels that should be wide are not. */
  readonly warning: string | null;
}

/**
 * Loads and compiles the kernels of an engine; null for an engine without.
 * @throws OperationalError ENGINE_UNAVAILABLE where they are missing, or this machine cannot run them; as `Host.simd`
 */
export async function loadKernels(engine: Engine, host: Host): Promise<LoadedKernels | null> {
  const { kernels } = engine;
  if (kernels === null) return null;
  const simd = await host.simd();
  try {
    const narrow = await WebAssembly.compile(await host.readKernels(kernels.narrow));
    if (simd.compileWide === null) return { module: narrow, simd: plain(simd), warning: null };
    const wide = simd.compileWide(await host.readKernels(kernels.wide));
    const different = kernels.firstDifference(narrow, wide);
    if (different === null) return { module: wide, simd: plain(simd), warning: null };
    const why = `256-bit kernels give other bits here (${different})`;
    return {
      module: narrow,
      simd: { bits: 128, why, advice: null },
      warning: `warning: ${why}: computing with 128 bits; please report it with your processor and Node version`,
    };
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new OperationalError(
      'ENGINE_UNAVAILABLE',
      `cannot load the kernels of the engine ${engine.name} (${reason}): install the package again`,
      { cause },
    );
  }
}

/** What is worth a record: without the host's compiler. */
function plain({ bits, why, advice }: HostSimd): Simd {
  return { bits, why, advice };
}

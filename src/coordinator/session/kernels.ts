/**
 * An engine's kernels, compiled: 256 bits wide where the host can and the engine finds that they give the bits of the narrow
 * ones, which every machine runs. A pass of V8 that is an experiment is never trusted blindly.
 */
import type { Engine, KernelModules } from '../../shared/engine.js';
import { OperationalError } from '../../shared/errors.js';
import type { Host, HostSimd, Simd } from './host.js';

export interface LoadedKernels {
  /** Workers run this very code: threads share what was compiled. */
  readonly module: WebAssembly.Module;
  readonly simd: Simd;
  /** One line, where kernels that should be wide are not. */
  readonly warning: string | null;
}

/**
 * Loads and compiles the kernels of an engine; null for an engine without. Wide ones that cannot be had are warned of and no
 * more: the narrow ones give the same bits.
 * @throws OperationalError ENGINE_UNAVAILABLE where the narrow ones are missing or damaged, or this machine cannot run them; as
 *   `Host.simd` and `Host.readKernels`
 */
export async function loadKernels(engine: Engine, host: Host): Promise<LoadedKernels | null> {
  const { kernels } = engine;
  if (kernels === null) return null;
  const simd = await host.simd();
  const module = await loadNarrow(kernels, engine.name, host);
  if (simd.compileWide === null) return { module, simd: plain(simd), warning: null };
  const wide = await loadWide(kernels, module, host, simd.compileWide);
  if ('module' in wide) return { module: wide.module, simd: plain(simd), warning: null };
  const warning = `warning: ${wide.why}: computing with 128 bits; ${wide.advice}`;
  return { module, simd: { bits: 128, why: wide.why, advice: null }, warning };
}

async function loadNarrow(kernels: KernelModules, name: string, host: Host): Promise<WebAssembly.Module> {
  try {
    return complete(kernels, await WebAssembly.compile(await host.readKernels(kernels.narrow)));
  } catch (cause) {
    if (cause instanceof OperationalError) throw cause;
    const what = `the kernels of the engine ${name} cannot be loaded from ${host.kernelsPath(kernels.narrow)}`;
    throw new OperationalError('ENGINE_UNAVAILABLE', `${what} (${reasonOf(cause)}): ${again}`, { cause });
  }
}

type Wide = { readonly module: WebAssembly.Module } | { readonly why: string; readonly advice: string };

async function loadWide(
  kernels: KernelModules,
  narrow: WebAssembly.Module,
  host: Host,
  compile: NonNullable<HostSimd['compileWide']>,
): Promise<Wide> {
  try {
    const module = complete(kernels, compile(await host.readKernels(kernels.wide)));
    const different = kernels.firstDifference(narrow, module);
    if (different === null) return { module };
    const why = `256-bit kernels give other bits here (${different})`;
    return { why, advice: 'please report it with your processor and Node version' };
  } catch (cause) {
    const why = `256-bit kernels cannot be loaded from ${host.kernelsPath(kernels.wide)} (${reasonOf(cause)})`;
    return { why, advice: again };
  }
}

const again = 'install the package again';

/** A file that was cut short may be a module all the same. */
function complete({ names }: KernelModules, module: WebAssembly.Module): WebAssembly.Module {
  const exported = new Set(WebAssembly.Module.exports(module).map(({ name }) => name));
  const lacking = names.find((name) => !exported.has(name));
  if (lacking !== undefined) throw new Error(`it lacks ${lacking}`);
  return module;
}

/** The code alone of a failed system call, whose message has the path once more. */
function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  return 'code' in cause ? String(cause.code) : cause.message;
}

/** What is worth a record: without the host's compiler. */
function plain({ bits, why, advice }: HostSimd): Simd {
  return { bits, why, advice };
}

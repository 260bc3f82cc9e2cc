/**
 * Proof, before training, that a device gives the bits of the CPU: the arithmetic that kernels are made of, then each kernel beside
 * its counterpart in WebAssembly. The promise of equal bits rests on it.
 */
import { Context } from '../driver/context.js';
import { lacksOf, type DeviceFacts } from '../driver/facts.js';
import type { OpenCl } from '../driver/library.js';
import { buildOptions, kernelsSource } from '../kernels/source.js';
import { blockSideOf } from '../kernels/products.js';
import { firstWrongAnswer } from './probes.js';
import { trialsFor } from './trials.js';
import { Workbench } from './workbench.js';

/**
 * @param module the compiled kernels of the wasm engine
 * @param rewrite what is made of the kernels' text first: tests break it
 * @returns null where the device is exact; else what failed, in a few words
 * @throws OpenClError where it does not compile or run the kernels
 */
export function proveDevice(
  cl: OpenCl,
  device: DeviceFacts,
  module: WebAssembly.Module,
  rewrite = (source: string): string => source,
): string | null {
  const lacks = lacksOf(device);
  if (lacks.length > 0) return lacks.join(', ');
  const float64 = device.float64 !== null;
  const context = new Context(cl, device);
  try {
    const source = rewrite(kernelsSource({ side: blockSideOf(device), float64 }));
    const bench = new Workbench(context, context.program(source, buildOptions), module);
    const wrong = firstWrongAnswer(context, bench.program, bench.wasm);
    if (wrong !== null) return `is not exact: ${wrong}`;
    const failed = Object.entries(trialsFor({ float64 })).find(([, trial]) => !bench.agrees(trial));
    return failed === undefined ? null : `does not give the bits of the processor: ${failed[0]}`;
  } finally {
    context.release();
  }
}

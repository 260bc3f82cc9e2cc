/**
 * Every kernel beside its counterpart in WebAssembly, on the same data, in which there are infinities, subnormals and zeros of both
 * signs.
 */
import { classifierTrials, lossTrials } from './classifier-trials.js';
import { convolutionTrials } from './convolution-trials.js';
import { gradientTrials } from './gradient-trials.js';
import { normSumTrials, normTrials } from './norm-trials.js';
import type { Trials } from './trial-shape.js';

/** By what they prove, for a device with float64 or without: what needs it is then not the device's. */
export function trialsFor({ float64 }: { readonly float64: boolean }): Trials {
  const others = { ...convolutionTrials, ...normTrials, ...classifierTrials, ...gradientTrials };
  return float64 ? { ...others, ...normSumTrials, ...lossTrials } : others;
}

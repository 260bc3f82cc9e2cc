/**
 * Every kernel beside its counterpart in WebAssembly, on the same data, in which there are infinities, subnormals and zeros of both
 * signs.
 */
import { classifierTrials } from './classifier-trials.js';
import { convolutionTrials } from './convolution-trials.js';
import { gradientTrials } from './gradient-trials.js';
import { normTrials } from './norm-trials.js';
import type { Trials } from './trial-shape.js';

/** By what they prove. */
export const trials: Trials = { ...convolutionTrials, ...normTrials, ...classifierTrials, ...gradientTrials };

/** The source text of all kernels of the engine, and what it is compiled with. */
import { arithmeticSource } from './arithmetic.js';
import { classifierSource, lossSource } from './classifier.js';
import { convolutionsSource } from './convolutions.js';
import { float64Source } from './float64.js';
import { gradientsSource } from './gradients.js';
import { imagesSource } from './images.js';
import { normalisationSource, normSumsSource } from './normalisation.js';
import { optimiserSource } from './optimiser.js';
import { productsSource, type BlockSide } from './products.js';
import { transformsSource } from './transforms.js';

/** In which division and square root of float32 are correctly rounded; nothing that makes arithmetic faster than exact. */
export const buildOptions = '-cl-std=CL1.2 -cl-fp32-correctly-rounded-divide-sqrt';

export interface SourceOptions {
  /** Of a product's block: what the device allows, see products.ts. */
  readonly side: BlockSide;
  /** Whether the device has it; without it nothing in the text needs it. */
  readonly float64: boolean;
  /** See `ReplicaBinding`. */
  readonly inputDivisor?: number;
}

export function kernelsSource({ side, float64, inputDivisor = 1 }: SourceOptions): string {
  return [
    headSource(float64, inputDivisor),
    arithmeticSource,
    ...(float64 ? [float64Source, normSumsSource, lossSource] : []),
    transformsSource,
    imagesSource,
    convolutionsSource,
    productsSource(side),
    normalisationSource,
    classifierSource,
    gradientsSource,
    optimiserSource,
  ].join('\n');
}

/** The sums that the batch norms' gradients are rounded from, which the host has rounded where the device has no float64. */
export function headSource(float64: boolean, inputDivisor = 1): string {
  return `#define INPUT_DIVISOR ${inputDivisor.toFixed(1)}f\n#define LEAF_SUM ${float64 ? 'double' : 'float'}`;
}

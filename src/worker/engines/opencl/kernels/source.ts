/** The source text of all kernels of the engine, and what it is compiled with. */
import { arithmeticSource } from './arithmetic.js';
import { classifierSource } from './classifier.js';
import { convolutionsSource } from './convolutions.js';
import { gradientsSource } from './gradients.js';
import { imagesSource } from './images.js';
import { normalisationSource } from './normalisation.js';
import { optimiserSource } from './optimiser.js';
import { productsSource, type BlockSide } from './products.js';
import { transformsSource } from './transforms.js';

/** In which division and square root of float32 are correctly rounded; nothing that makes arithmetic faster than exact. */
export const buildOptions = '-cl-std=CL1.2 -cl-fp32-correctly-rounded-divide-sqrt';

/**
 * @param side of a product's block: what the device allows, see products.ts
 * @param inputDivisor see `ReplicaBinding`
 */
export function kernelsSource(side: BlockSide, inputDivisor = 1): string {
  return [
    `#define INPUT_DIVISOR ${inputDivisor.toFixed(1)}f`,
    arithmeticSource,
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

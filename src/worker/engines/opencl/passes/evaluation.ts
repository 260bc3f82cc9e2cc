/** Evaluation on the device: test rows go there as they are asked for, so that a split may change between two calls. */
import type { ReplicaBinding } from '../../../../shared/engine.js';
import { batchNormChannels, classes, imagePixels } from '../../../../shared/model/network.js';
import type { Kernel } from '../driver/program.js';
import { floatBytes } from '../../winograd/geometry.js';
import { forwardParts } from './forward.js';
import { evaluationKernel } from './norms.js';
import type { Pass } from './pass.js';

export class Evaluation {
  readonly #pass: Pass;
  readonly #binding: ReplicaBinding;
  /** All launches for so many rows by that state set. */
  readonly #known = new Map<string, readonly Kernel[]>();

  constructor(pass: Pass, binding: ReplicaBinding) {
    this.#pass = pass;
    this.#binding = binding;
  }

  /** See `Replica.evaluate`. */
  run(start: number, end: number, set: 0 | 1): void {
    const { memory, shape, evaluationStatistics } = this.#binding;
    const { queue } = this.#pass.context;
    const statistics = new Float32Array(memory.buffer, evaluationStatistics, 2 * batchNormChannels);
    queue.write(this.#pass.arrays.evaluationStatistics, 0, statistics);
    for (let first = start; first < end; first += shape.rows) this.#rows(first, Math.min(shape.rows, end - first), set);
    queue.finish();
  }

  #rows(first: number, rows: number, set: 0 | 1): void {
    const { memory, test, probabilities } = this.#binding;
    const { arrays, context } = this.#pass;
    const images = new Uint8Array(memory.buffer, test.images + first * imagePixels, rows * imagePixels);
    context.queue.write(arrays.testImages, 0, images);
    for (const kernel of this.#kernelsOf(rows, set)) context.queue.launch(kernel);
    const target = new Float32Array(memory.buffer, probabilities + first * classes * floatBytes, rows * classes);
    context.queue.read(arrays.probabilities, 0, target);
  }

  #kernelsOf(rows: number, set: 0 | 1): readonly Kernel[] {
    const key = `${String(rows)} ${String(set)}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const pass = this.#pass;
    const { arrays } = pass;
    const { parameters } = arrays.sets[set];
    const { testImages: images, testRows: rowNumbers } = arrays;
    const { toNorm2, toNorm4, toNorm5, toLogits } = forwardParts(pass, { images, rowNumbers, parameters, rows });
    const made = [
      ...(['bn2', 'bn4', 'bn5'] as const).map((name) => evaluationKernel(pass, name, parameters)),
      ...[...toNorm2, ...toNorm4, ...toNorm5, ...toLogits],
      pass.items('softmax', [arrays.outputs.linear2, parameters, arrays.probabilities, { int32: rows }], rows),
    ];
    this.#known.set(key, made);
    return made;
  }
}

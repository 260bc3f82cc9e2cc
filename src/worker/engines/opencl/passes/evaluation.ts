/** Evaluation on the device: test rows go there as they are asked for, so that a split may change between two calls. */
import type { ReplicaBinding } from '../../../../shared/engine.js';
import { batchNormChannels, classes, imagePixels } from '../../../../shared/model/network.js';
import { parametersOn } from '../arrays.js';
import type { DeviceBuffer } from '../driver/buffer.js';
import type { Kernel } from '../driver/program.js';
import { floatBytes } from '../../winograd/geometry.js';
import { forwardParts } from './forward.js';
import { evaluationKernel } from './norms.js';
import type { Pass } from './pass.js';

export class Evaluation {
  readonly #pass: Pass;
  readonly #binding: ReplicaBinding;
  /** All launches by parameters, for so many rows. */
  readonly #known = new Map<DeviceBuffer, Map<number, readonly Kernel[]>>();

  constructor(pass: Pass, binding: ReplicaBinding) {
    this.#pass = pass;
    this.#binding = binding;
  }

  /** See `Replica.evaluate`. */
  run(start: number, end: number, set: 0 | 1, averaged: boolean): void {
    const { memory, shape, evaluationStatistics } = this.#binding;
    const { queue } = this.#pass.context;
    const statistics = new Float32Array(memory.buffer, evaluationStatistics, 2 * batchNormChannels);
    queue.write(this.#pass.arrays.evaluationStatistics, 0, statistics);
    const parameters = parametersOn(this.#pass.arrays.sets[set], averaged);
    for (let first = start; first < end; first += shape.rows)
      this.#rows(first, Math.min(shape.rows, end - first), parameters);
    queue.finish();
  }

  #rows(first: number, rows: number, parameters: DeviceBuffer): void {
    const { memory, test, probabilities } = this.#binding;
    const { arrays, context } = this.#pass;
    const images = new Uint8Array(memory.buffer, test.images + first * imagePixels, rows * imagePixels);
    context.queue.write(arrays.testImages, 0, images);
    for (const kernel of this.#kernelsOf(rows, parameters)) context.queue.launch(kernel);
    const target = new Float32Array(memory.buffer, probabilities + first * classes * floatBytes, rows * classes);
    context.queue.read(arrays.probabilities, 0, target);
  }

  #kernelsOf(rows: number, parameters: DeviceBuffer): readonly Kernel[] {
    const own = this.#known.get(parameters) ?? new Map<number, readonly Kernel[]>();
    this.#known.set(parameters, own);
    const known = own.get(rows);
    if (known !== undefined) return known;
    const pass = this.#pass;
    const { arrays } = pass;
    const { testImages: images, testRows: rowNumbers } = arrays;
    const { toNorm2, toNorm4, toNorm5, toLogits } = forwardParts(pass, {
      ...{ images, rowNumbers, parameters, rows },
      transforms: null,
    });
    const made = [
      ...(['bn2', 'bn4', 'bn5'] as const).map((name) => evaluationKernel(pass, name, parameters)),
      ...[...toNorm2, ...toNorm4, ...toNorm5, ...toLogits],
      pass.items('softmax', [arrays.outputs.linear2, parameters, arrays.probabilities, { int32: rows }], rows),
    ];
    own.set(rows, made);
    return made;
  }
}

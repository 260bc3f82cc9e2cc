/** Evaluation on the device: test rows go there as they are asked for, so that a split may change between two calls. */
import type { ReplicaBinding } from '../../../../shared/engine.js';
import { batchNormChannels, imagePixels } from '../../../../shared/model/network.js';
import { parametersOn } from '../arrays.js';
import type { DeviceBuffer } from '../driver/buffer.js';
import type { Kernel } from '../driver/program.js';
import type { EvaluationWork, Float64Work } from './float64.js';
import { forwardParts } from './forward.js';
import type { Pass } from './pass.js';

/** All launches between pixels and logits, and what needs float64 before and behind them. */
interface Launches {
  readonly kernels: readonly Kernel[];
  readonly float64: EvaluationWork;
}

export class Evaluation {
  readonly #pass: Pass;
  readonly #binding: ReplicaBinding;
  readonly #float64: Float64Work;
  /** By parameters, for so many rows. */
  readonly #known = new Map<DeviceBuffer, Map<number, Launches>>();

  constructor(pass: Pass, binding: ReplicaBinding, float64: Float64Work) {
    this.#pass = pass;
    this.#binding = binding;
    this.#float64 = float64;
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
    const { memory, test } = this.#binding;
    const { arrays, context } = this.#pass;
    const images = new Uint8Array(memory.buffer, test.images + first * imagePixels, rows * imagePixels);
    context.queue.write(arrays.testImages, 0, images);
    const { kernels, float64 } = this.#launchesOf(rows, parameters);
    float64.normForward();
    for (const kernel of kernels) context.queue.launch(kernel);
    float64.softmax(first);
  }

  #launchesOf(rows: number, parameters: DeviceBuffer): Launches {
    const own = this.#known.get(parameters) ?? new Map<number, Launches>();
    this.#known.set(parameters, own);
    const known = own.get(rows);
    if (known !== undefined) return known;
    const { testImages: images, testRows: rowNumbers } = this.#pass.arrays;
    const { toNorm2, toNorm4, toNorm5, toLogits } = forwardParts(this.#pass, {
      ...{ images, rowNumbers, parameters, rows },
      transforms: null,
    });
    const kernels = [...toNorm2, ...toNorm4, ...toNorm5, ...toLogits];
    const made = { kernels, float64: this.#float64.ofEvaluation(parameters, rows) };
    own.set(rows, made);
    return made;
  }
}

/** A network that reads one digit at a time, on the page's own thread: that works without cross-origin isolation too. */
import { isAnswer } from '../../coordinator/session/evaluation.js';
import { loadKernels } from '../../coordinator/session/kernels.js';
import { TrainingState } from '../../coordinator/session/state.js';
import type { NetworkState } from '../../coordinator/checkpoint/trained-network.js';
import { defaultConfig } from '../../shared/model/config.js';
import type { UnitReplica } from '../../shared/engine.js';
import { allocateMemory, bindReplica, planMemory } from '../../shared/group/memory.js';
import { batchNormChannels, classes, imagePixels } from '../../shared/model/network.js';
import { wasmEngine } from '../../worker/engines/wasm/wasm-engine.js';
import { pageHost } from '../page-host.js';

export class DigitReader {
  readonly #replica: UnitReplica;
  readonly #state: TrainingState;
  readonly #image: Uint8Array;
  readonly #statistics: Float32Array;
  readonly #probabilities: Float32Array;

  /** Loads the engine. Throws OperationalError where this browser cannot run it. */
  static async open(): Promise<DigitReader> {
    const kernels = await loadKernels(wasmEngine, pageHost);
    const { microBatch } = defaultConfig;
    const shape = { groupSize: 1, shardRows: 1, subtrees: 1, microBatch, trainCount: 0, testCount: 1 };
    const layout = planMemory(wasmEngine, shape);
    const memory = allocateMemory(layout);
    const replica = await wasmEngine.createReplica(
      bindReplica(layout, defaultConfig, memory, kernels?.module ?? null, [], 0),
    );
    return new DigitReader(replica, memory.buffer, layout);
  }

  private constructor(replica: UnitReplica, buffer: ArrayBufferLike, layout: ReturnType<typeof planMemory>) {
    this.#replica = replica;
    this.#state = new TrainingState(buffer, layout);
    this.#image = new Uint8Array(buffer, layout.test.images, imagePixels);
    this.#statistics = new Float32Array(buffer, layout.evaluationStatistics, 2 * batchNormChannels);
    this.#probabilities = new Float32Array(buffer, layout.probabilities, classes);
  }

  /** Reads with that network from now on; it is copied. */
  use(network: NetworkState): void {
    this.#state.startFrom(network);
    for (let unit = 0; unit < wasmEngine.units.length; unit++) this.#replica.prepare(unit, 0);
    this.#statistics.set(network.runningStatistics);
  }

  /**
   * The probabilities of the ten digits; null where the network computes infinite values or NaN.
   * @param row uint8 [784], bright on black, as MNIST's are
   */
  async read(row: Uint8Array): Promise<readonly number[] | null> {
    this.#image.set(row);
    await this.#replica.evaluate(0, 1, 0);
    return isAnswer(this.#probabilities) ? [...this.#probabilities] : null;
  }
}

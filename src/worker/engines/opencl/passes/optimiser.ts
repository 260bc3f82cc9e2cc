/** The optimiser's step on the device: the tree over subtrees, Adam on all parameters, and what is prepared of them. */
import type { AdamScalars, DeviceStep, SumTree } from '../../../../shared/engine.js';
import { batchNormChannels, parameterCount } from '../../../../shared/model/network.js';
import type { Kernels } from '../../wasm/kernels.js';
import { parametersOn, type DeviceSet } from '../arrays.js';
import type { DeviceBuffer } from '../driver/buffer.js';
import type { Mark } from '../driver/mark.js';
import type { Kernel } from '../driver/program.js';
import { floatBytes } from '../../winograd/geometry.js';
import { accumulatorLength } from '../../winograd/units.js';
import { updateKernels } from '../kernels/optimiser.js';
import type { Pass } from './pass.js';
import { each, updateWork, worked } from '../works.js';

const accumulatorBytes = accumulatorLength * floatBytes;

/** The launches of a step on sums that lie in one place, from one state set into the other. */
interface UpdateKernels {
  readonly merges: readonly Kernel[];
  readonly scalars: Kernel;
  readonly updates: readonly Kernel[];
  /** Of the weights and of the running statistics; none where none are taken. */
  readonly averages: readonly Kernel[];
}

/** Where nodes of a tree that are not the device's own wait for it. */
interface Nodes {
  readonly buffer: DeviceBuffer;
  readonly count: number;
}

export class Optimiser {
  readonly #pass: Pass;
  readonly #memory: WebAssembly.Memory;
  readonly #wasm: Roots;
  /** By tree, for each set that is read. */
  readonly #known = new Map<SumTree, readonly [UpdateKernels, UpdateKernels]>();
  readonly #prepares: readonly [readonly Kernel[], readonly Kernel[]];
  readonly #averagePrepares = new Map<DeviceBuffer, readonly Kernel[]>();
  readonly #received: Mark;
  #nodes: Nodes | null = null;

  constructor(pass: Pass, memory: WebAssembly.Memory, wasm: Roots) {
    this.#pass = pass;
    this.#wasm = wasm;
    this.#memory = memory;
    const { sets } = pass.arrays;
    this.#prepares = [this.#prepareKernels(sets[0].parameters), this.#prepareKernels(sets[1].parameters)];
    this.#received = pass.context.queue.newMark();
  }

  /** Derives from a state set what the passes need. */
  prepare(set: 0 | 1): void {
    for (const kernel of this.#prepares[set]) this.#pass.context.queue.launch(kernel);
  }

  /** Derives it from the averages of a state set, for evaluation. */
  prepareAverage(set: 0 | 1): void {
    const parameters = parametersOn(this.#pass.arrays.sets[set], true);
    const kernels = this.#averagePrepares.get(parameters) ?? this.#prepareKernels(parameters);
    this.#averagePrepares.set(parameters, kernels);
    for (const kernel of kernels) this.#pass.context.queue.launch(kernel);
  }

  /** Returns when the sums that are not the device's own are there; it takes the step meanwhile. */
  update(sums: SumTree, { step, from, globalRows, adam }: DeviceStep): void {
    const { queue } = this.#pass.context;
    const foreign = sums.nodes.some((node) => node !== null);
    const { merges, scalars, updates, averages } = this.#kernelsOf(sums, foreign)[from];
    if (foreign) this.#receive(sums);
    for (const kernel of merges) queue.launch(kernel);
    setScalars(scalars, this.#wasm, step, adam);
    queue.launch(scalars);
    for (const kernel of updates) queue.launch(kernel.setFloat(divisorArgument, globalRows));
    for (const kernel of averages) queue.launch(setDecay(kernel, adam));
    if (foreign) this.#received.wait();
  }

  #receive({ nodes }: SumTree): void {
    const { queue } = this.#pass.context;
    const target = this.#nodesOf(nodes.length);
    let own = 0;
    nodes.forEach((node, position) => {
      const at = position * accumulatorBytes;
      if (node === null) {
        queue.copy(this.#pass.arrays.accumulators, own * accumulatorBytes, target, at, accumulatorBytes);
        own++;
      } else {
        queue.write(target, at, new Float32Array(this.#memory.buffer, node, accumulatorLength));
      }
    });
    this.#received.set();
  }

  #nodesOf(count: number): DeviceBuffer {
    const known = this.#nodes;
    if (known !== null && known.count >= count) return known.buffer;
    // Kernels of other trees were made for the buffer that goes.
    this.#known.clear();
    known?.buffer.release();
    const buffer = this.#pass.context.buffer(count * accumulatorBytes);
    this.#nodes = { buffer, count };
    return buffer;
  }

  #kernelsOf(sums: SumTree, foreign: boolean): readonly [UpdateKernels, UpdateKernels] {
    const { arrays } = this.#pass;
    const place = foreign ? this.#nodesOf(sums.nodes.length) : arrays.accumulators;
    const known = this.#known.get(sums);
    if (known !== undefined) return known;
    const made = [this.#updateKernels(sums, place, 0), this.#updateKernels(sums, place, 1)] as const;
    this.#known.set(sums, made);
    return made;
  }

  #updateKernels({ merges }: SumTree, place: DeviceBuffer, from: 0 | 1): UpdateKernels {
    const { arrays, program } = this.#pass;
    const [old, next] = from === 0 ? arrays.sets : [arrays.sets[1], arrays.sets[0]];
    const state = [
      ...[old.parameters, old.firstMoments, old.secondMoments],
      ...[next.parameters, next.firstMoments, next.secondMoments, arrays.prepared, arrays.scalars],
    ];
    const length = { int32: accumulatorLength / 4 };
    return {
      merges: merges.map(({ target, source }) =>
        this.#pass.items('addNode', [place, { int32: target }, { int32: source }, length], accumulatorLength / 4),
      ),
      scalars: program.kernel('adamScalars', [arrays.scalars, arrays.notFinite]).setSize([1]),
      updates: updateKernels.map(({ name, lanes, count }) =>
        worked(
          this.#pass.lines(`${name}Update`, [place, ...state, { float32: 1 }, arrays.notFinite], lanes, count),
          updateWork(name),
        ),
      ),
      averages: this.#averageKernels(old, next),
    };
  }

  #averageKernels(old: DeviceSet, next: DeviceSet): Kernel[] {
    if (old.average === null || next.average === null) return [];
    const { scalars } = this.#pass.arrays;
    const kernel = (average: DeviceBuffer, values: DeviceBuffer, to: DeviceBuffer, length: number): Kernel => {
      const list = [average, values, to, scalars, { float32: 0 }, { float32: 0 }, { int32: length }];
      return worked(this.#pass.items('averageOf', list, length), each(length, 3, 3 * floatBytes));
    };
    const statistics = 'runningStatistics';
    return [
      kernel(old.average.parameters, next.parameters, next.average.parameters, parameterCount),
      kernel(old.average[statistics], next[statistics], next.average[statistics], 2 * batchNormChannels),
    ];
  }

  #prepareKernels(parameters: DeviceBuffer): readonly Kernel[] {
    const { prepared } = this.#pass.arrays;
    return updateKernels.map(({ name, lanes, count }) =>
      this.#pass.lines(`${name}Prepare`, [parameters, prepared], lanes, count),
    );
  }
}

/** Of the kernels of a step: the rows that the sums are divided by. */
const divisorArgument = 9;

/** The root of the wasm kernels: JavaScript promises no exact one. */
export type Roots = Pick<Kernels, 'probeDoubleRoot'>;

/** The arguments of `adamScalars` that change from step to step: computed in float64, and rounded as the wasm kernels round them. */
export function setScalars(kernel: Kernel, wasm: Roots, step: number, adam: AdamScalars): Kernel {
  const { learningRate, beta1, beta2, epsilon, beta1Power, beta2Power } = adam;
  kernel.setInt(2, step);
  kernel.setFloat(3, beta1).setFloat(4, 1 - beta1);
  kernel.setFloat(5, beta2).setFloat(6, 1 - beta2);
  kernel.setFloat(7, learningRate / (1 - beta1Power)).setFloat(8, wasm.probeDoubleRoot(1 - beta2Power));
  return kernel.setFloat(9, epsilon);
}

/** The arguments of `averageOf` that change from step to step. */
function setDecay(kernel: Kernel, { averageDecay }: AdamScalars): Kernel {
  const decay = averageDecay ?? 0;
  return kernel.setFloat(4, decay).setFloat(5, 1 - decay);
}

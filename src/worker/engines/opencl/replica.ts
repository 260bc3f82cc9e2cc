/** A replica of the `opencl` engine: both state sets and all passes on one device, for one rank. */
import type { DeviceTime } from '../../../shared/compute-device.js';
import type {
  DeviceReplica,
  DeviceShape,
  DeviceStep,
  NotFinite,
  ReplicaBinding,
  Shard,
  StatisticsExchange,
  SumTree,
} from '../../../shared/engine.js';
import { at } from '../../../shared/errors.js';
import { batchNormChannels, parameterCount } from '../../../shared/model/network.js';
import { subtreesOf } from '../../../shared/sums/tree.js';
import { instantiateKernels, type Kernels } from '../wasm/kernels.js';
import { doubleBytes, floatBytes } from '../winograd/geometry.js';
import { sumLosses } from '../winograd/losses.js';
import { accumulatorLength, units } from '../winograd/units.js';
import { allocateArrays } from './arrays.js';
import type { DeviceBuffer } from './driver/buffer.js';
import { Context } from './driver/context.js';
import { factsOf } from './driver/device.js';
import { loadOpenCl } from './driver/library.js';
import type { Mark } from './driver/mark.js';
import { Ledger } from './driver/owned.js';
import { DeviceFloat64 } from './passes/device-float64.js';
import { Evaluation } from './passes/evaluation.js';
import { HostFloat64 } from './passes/host-float64.js';
import { keptSteps, planHostMemory, type HostMemory } from './host-memory.js';
import { allFinite } from './kernels/optimiser.js';
import { blockSideOf } from './kernels/products.js';
import { buildOptions, kernelsSource } from './kernels/source.js';
import { Optimiser } from './passes/optimiser.js';
import { Pass } from './passes/pass.js';
import { ShardPass } from './passes/shard-pass.js';

export async function createOpenClReplica(binding: ReplicaBinding): Promise<DeviceReplica> {
  const { device, module, libraries } = binding;
  if (device === null || module === null) throw new Error('the opencl engine needs a device and the wasm kernels');
  const cl = await loadOpenCl(libraries);
  const facts = factsOf(cl, device.handle, device.index);
  const context = new Context(cl, facts, { profiling: device.profiling, ledger: new Ledger(device.ledger) });
  try {
    return new OpenClReplica(context, binding, instantiateKernels(module, binding.memory));
  } catch (error) {
    context.release();
    throw error;
  }
}

class OpenClReplica implements DeviceReplica {
  readonly keepsState = true;
  readonly #context: Context;
  readonly #binding: ReplicaBinding;
  readonly #host: HostMemory;
  readonly #wasm: Pick<Kernels, 'add'>;
  readonly #pass: Pass;
  readonly #shards: ShardPass;
  readonly #optimiser: Optimiser;
  readonly #evaluation: Evaluation;
  /** By step: the losses of its rows, and its shard. */
  readonly #losses: readonly Float64Array[];
  readonly #kept: Shard[] = [];
  readonly #notFinite: Int32Array;
  /** Behind the last two steps: a driver's queue is not endless, and what lies in it blocks the thread where it is full. */
  readonly #steps: readonly [Mark, Mark];
  #last: Shard | null = null;

  constructor(context: Context, binding: ReplicaBinding, wasm: Kernels) {
    const { memory, shape, train, test, accumulators } = binding;
    const { queue } = context;
    const deviceShape: DeviceShape = {
      ...shape,
      subtrees: accumulators.length,
      nodes: 0,
      averages: binding.sets[0].average !== null,
      trainCount: train.count,
      testCount: test.count,
    };
    const side = blockSideOf(context.device);
    const { inputDivisor, device } = binding;
    const float64 = device?.float64 === true;
    const program = context.program(kernelsSource({ side, float64, inputDivisor }), buildOptions);
    this.#context = context;
    this.#binding = binding;
    this.#host = planHostMemory(shape, binding.workspace);
    this.#wasm = wasm;
    this.#pass = new Pass(context, program, allocateArrays(context, deviceShape), deviceShape, side);
    const doubles = float64
      ? new DeviceFloat64(this.#pass, binding, this.#host)
      : new HostFloat64(this.#pass, binding, this.#host, wasm);
    this.#shards = new ShardPass(this.#pass, binding, this.#host, doubles);
    this.#optimiser = new Optimiser(this.#pass, memory, wasm);
    this.#evaluation = new Evaluation(this.#pass, binding, doubles);
    this.#losses = Array.from({ length: keptSteps }, (_, slot) => {
      return new Float64Array(memory.buffer, this.#host.losses + slot * shape.rows * doubleBytes, shape.rows);
    });
    this.#notFinite = new Int32Array(memory.buffer, this.#host.notFinite, 2);
    this.#steps = [queue.newMark(), queue.newMark()];
    const rows = new Uint32Array(memory.buffer, this.#host.testRows, shape.rows);
    for (let row = 0; row < rows.length; row++) rows[row] = row;
    queue.write(this.#pass.arrays.testRows, 0, rows);
    queue.finish();
  }

  add(target: number, source: number, length: number): void {
    this.#wasm.add(target, source, length);
  }

  load(set: 0 | 1): void {
    const { queue } = this.#context;
    const { arrays } = this.#pass;
    const own = arrays.sets[set];
    const { parameters, firstMoments, secondMoments, runningStatistics, average } = this.#binding.sets[set];
    queue.write(own.parameters, 0, this.#floats(parameters, parameterCount));
    queue.write(own.firstMoments, 0, this.#floats(firstMoments, parameterCount));
    queue.write(own.secondMoments, 0, this.#floats(secondMoments, parameterCount));
    queue.write(own.runningStatistics, 0, this.#floats(runningStatistics, 2 * batchNormChannels));
    if (own.average !== null && average !== null) {
      queue.write(own.average.parameters, 0, this.#floats(average.parameters, parameterCount));
      queue.write(own.average.runningStatistics, 0, this.#floats(average.runningStatistics, 2 * batchNormChannels));
    }
    this.#notFinite.fill(allFinite);
    queue.write(arrays.notFinite, 0, this.#notFinite);
    this.#optimiser.prepare(set);
    queue.finish();
  }

  prepareAverage(set: 0 | 1): void {
    this.#optimiser.prepareAverage(set);
    this.#context.queue.finish();
  }

  forwardBackward(shard: Shard, exchange: StatisticsExchange): void {
    this.#shards.run(shard, exchange);
    this.#last = shard;
  }

  shareSums(): void {
    const { queue } = this.#context;
    if (this.#last === null) return;
    subtreesOf(this.#last.leaves).forEach((_, position) => {
      const target = this.#floats(at(this.#binding.accumulators, position), accumulatorLength);
      queue.read(this.#pass.arrays.accumulators, position * accumulatorLength * floatBytes, target);
    });
    queue.finish();
  }

  update(sums: SumTree, step: DeviceStep): void {
    this.#optimiser.update(sums, step);
    const mark = this.#steps[step.from];
    mark.wait();
    mark.set();
  }

  keepLosses(step: number): void {
    if (this.#last === null) return;
    const slot = step % keptSteps;
    this.#kept[slot] = this.#last;
    const { rows } = this.#last;
    if (rows > 0) this.#context.queue.read(this.#pass.arrays.losses, 0, at(this.#losses, slot).subarray(0, rows));
  }

  losses(step: number): readonly number[] {
    const slot = step % keptSteps;
    const { rows, leaves } = at(this.#kept, slot);
    return rows === 0 ? [] : sumLosses(at(this.#losses, slot), rows, leaves, this.#binding.shape.microBatch);
  }

  store(set: 0 | 1, all: boolean): void {
    const own = this.#pass.arrays.sets[set];
    const { parameters, firstMoments, secondMoments, runningStatistics, average } = this.#binding.sets[set];
    if (all) {
      this.#read(own.parameters, parameters, parameterCount);
      this.#read(own.firstMoments, firstMoments, parameterCount);
      this.#read(own.secondMoments, secondMoments, parameterCount);
    }
    this.#read(own.runningStatistics, runningStatistics, 2 * batchNormChannels);
    if (own.average !== null && average !== null) {
      if (all) this.#read(own.average.parameters, average.parameters, parameterCount);
      this.#read(own.average.runningStatistics, average.runningStatistics, 2 * batchNormChannels);
    }
    this.#context.queue.finish();
  }

  notFinite(): NotFinite | null {
    this.#context.queue.read(this.#pass.arrays.notFinite, 0, this.#notFinite);
    this.#context.queue.finish();
    const [parameter, step] = this.#notFinite as unknown as [number, number];
    if (parameter === allFinite) return null;
    const unit = units.findIndex(({ parameters }) =>
      parameters.some(({ offset, length }) => parameter >= offset && parameter < offset + length),
    );
    return { unit, step };
  }

  evaluate(start: number, end: number, set: 0 | 1, averaged = false): void {
    this.#evaluation.run(start, end, set, averaged);
  }

  takeTimes(): readonly DeviceTime[] {
    return this.#context.queue.takeTimes();
  }

  release(): void {
    this.#context.release();
  }

  #floats(address: number, length: number): Float32Array {
    return new Float32Array(this.#binding.memory.buffer, address, length);
  }

  #read(source: DeviceBuffer, target: number, length: number): void {
    this.#context.queue.read(source, 0, this.#floats(target, length));
  }
}

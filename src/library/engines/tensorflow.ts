/** TensorFlow's native library in this process: how it is set up before worker threads use it. */
import { describeMachine } from '../../coordinator/node/machine.js';
import { physicalCores } from '../../coordinator/node/topology.js';
import type { Engine, StatisticsExchange, TensorFlowName } from '../../shared/engine.js';
import { defaultConfig } from '../../shared/model/config.js';
import { assert } from '../../shared/errors.js';
import { allocateMemory, bindReplica, planMemory } from '../../shared/group/memory.js';
import { loadTensorFlow, type TensorFlow } from '../../worker/engines/registry.js';

const rehearsed = new Set<TensorFlow['tf']>();

/**
 * Loads tfjs-node or tfjs-node-gpu in this thread, where it stays: Node unloads an addon when the last thread that has it
 * ends, which TensorFlow does not survive. Call it before the workers start.
 * @param workers among whom TensorFlow's own threads are shared out; the first call in a process decides
 * @throws OperationalError ENGINE_UNAVAILABLE
 */
export async function holdTensorFlow(
  engine: Engine,
  name: Exclude<TensorFlowName, 'tfjs-webgpu'>,
  libraries: readonly string[],
  workers: number,
): Promise<TensorFlow> {
  process.env['TF_NUM_INTRAOP_THREADS'] ??= String(Math.max(1, Math.floor(physicalCores() / workers)));
  process.env['TF_CPP_MIN_LOG_LEVEL'] ??= '2';
  const tensorFlow = await loadTensorFlow(name, libraries);
  if (!rehearsed.has(tensorFlow.tf)) await rehearse(engine, libraries);
  rehearsed.add(tensorFlow.tf);
  return tensorFlow;
}

/**
 * One step and one evaluation of two empty rows. The addon that npm downloads keeps the names of attributes in one table for
 * all threads, and two threads that add to it at once crash: after this, all names are there.
 */
async function rehearse(engine: Engine, libraries: readonly string[]): Promise<void> {
  const rows = 2;
  const shape = { groupSize: 1, shardRows: rows, subtrees: 1, microBatch: rows, trainCount: rows, testCount: rows };
  const layout = planMemory(engine, shape);
  const memory = allocateMemory(layout);
  const replica = await engine.createReplica(bindReplica(layout, defaultConfig, memory, null, libraries, 0));
  assert(!replica.keepsState, 'TensorFlow.js computes on the state in shared memory');
  for (let unit = 0; unit < engine.units.length; unit++) replica.prepare(unit, 0);
  const exchange: StatisticsExchange = {
    rows,
    withinShard: true,
    reduce: (leaves, length, total) => {
      total.set(leaves.subarray(0, length));
    },
  };
  const shard = {
    from: 0,
    to: 1,
    rowNumbers: layout.permutation,
    rows,
    transforms: null,
    leaves: { start: 0, end: 1 },
  } as const;
  await replica.forwardBackward(shard, exchange);
  await replica.evaluate(0, rows, 0);
}

/** What to know where there are several GPUs; null with one. */
export async function severalGpus(): Promise<string | null> {
  const visible = process.env['CUDA_VISIBLE_DEVICES'];
  if (visible !== undefined && !visible.includes(',')) return null;
  const { gpus } = await describeMachine({ thorough: true });
  const count = (gpus ?? []).filter(({ vendor }) => vendor === 'NVIDIA').length;
  if (count < 2) return null;
  return `tfjs-node-gpu computes on one of the ${String(count)} GPUs, whatever the number of workers: CUDA_VISIBLE_DEVICES chooses which`;
}

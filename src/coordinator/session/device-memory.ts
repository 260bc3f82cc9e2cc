/** Whether what ranks need fits into the memory of their devices, and if not, which batch does. */
import type { ComputeDevice } from '../../shared/compute-device.js';
import type { DeviceShape, Engine } from '../../shared/engine.js';
import { at, OperationalError } from '../../shared/errors.js';
import type { MemoryShape } from '../../shared/group/memory.js';
import type { TrainConfig } from '../../shared/model/config.js';
import type { JobPosition } from '../../shared/sums/tree.js';
import { counted } from '../../shared/text.js';
import type { OpenDataset } from '../dataset/dataset-parts.js';
import { memoryShape } from './memory-shape.js';

/** A driver needs some of it for itself. */
const usable = 0.9;
const gibibyte = 2 ** 30;

export interface DeviceDemand {
  readonly engine: Engine;
  readonly config: TrainConfig;
  readonly dataset: Pick<OpenDataset, 'trainCount' | 'testCount'>;
  /** Of each rank. */
  readonly devices: readonly ComputeDevice[];
  readonly position: JobPosition;
}

/** @throws OperationalError MEMORY_EXCEEDED, naming the device and the batch that would fit */
export function checkDeviceMemory(demand: DeviceDemand): void {
  const { config, devices } = demand;
  const [lacking] = exceeded(demand, config.batchSize);
  if (lacking === undefined) return;
  const { device, ranks, needs } = lacking;
  const fits = largestBatch(demand);
  const what = `\`batchSize\` ${String(config.batchSize)} with ${counted(ranks, 'worker')} on ${device.title}`;
  const smaller = fits === null ? 'nothing fits: take another device' : `\`batchSize\` ${String(fits)} fits`;
  const fewer = ranks > 1 && devices.length > 1 ? ', and so may fewer `workers` on it' : '';
  throw new OperationalError('MEMORY_EXCEEDED', `${what} ${needs}: ${smaller}${fewer}`);
}

interface Lacking {
  readonly device: ComputeDevice;
  readonly ranks: number;
  /** What it takes, and what there is, in words. */
  readonly needs: string;
}

/** Devices whose ranks need more than there is, in all or in one buffer. */
function exceeded({ engine, config, dataset, devices, position }: DeviceDemand, batchSize: number): Lacking[] {
  const shape = memoryShape({ ...config, batchSize }, devices.length, dataset, position);
  const { total, largest } = engine.deviceBytes?.(deviceShapeOf(shape)) ?? { total: 0, largest: 0 };
  return [...new Set(devices.map(({ handle }) => handle))].flatMap((handle) => {
    const own = devices.filter((device) => device.handle === handle);
    const [device, ranks, bytes] = [at(own, 0), own.length, own.length * total];
    const room = usable * device.memoryBytes;
    if (bytes > room) {
      const needs = `needs ${gibibytes(bytes)} of its memory, of which ${gibibytes(room)} can be used`;
      return [{ device, ranks, needs }];
    }
    if (largest <= device.bufferBytes) return [];
    const needs = `needs ${gibibytes(largest)} in one buffer, of which it gives ${gibibytes(device.bufferBytes)} at most`;
    return [{ device, ranks, needs }];
  });
}

function deviceShapeOf({
  shardRows,
  microBatch,
  subtrees,
  trainCount,
  testCount,
  groupSize,
  averages = false,
  job,
}: MemoryShape): DeviceShape {
  const all = groupSize > 1 ? groupSize * subtrees : 0;
  const nodes = job === undefined ? all : 1;
  return { rows: shardRows, microBatch, subtrees, nodes, averages, trainCount, testCount };
}

/** In whole micro-batches; null where not even the smallest batch with one for each rank fits. */
function largestBatch(demand: DeviceDemand): number | null {
  const { config, devices, position } = demand;
  const { microBatch } = config;
  const fits = (leaves: number): boolean => exceeded(demand, leaves * microBatch).length === 0;
  let [low, high] = [devices.length * position.processes, Math.ceil(config.batchSize / microBatch)];
  if (low >= high || !fits(low)) return null;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (fits(middle)) low = middle;
    else high = middle;
  }
  return low * microBatch;
}

function gibibytes(bytes: number): string {
  return `${(bytes / gibibyte).toFixed(1)} GiB`;
}

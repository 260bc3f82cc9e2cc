/** From a request to a running group: data set, memory, kernels and worker threads, in that order. */
import type { TrainConfig } from '../shared/config.js';
import type { Engine } from '../shared/engine.js';
import type { Job } from '../shared/job.js';
import { allocateMemory, planMemory, type MemoryLayout, type MemoryShape } from '../shared/memory.js';
import type { Device } from '../shared/protocol.js';
import { alone, leafCount, rowsOf, sharesOf, shardWithin, subtreesOf, type Place } from '../shared/tree.js';
import { together } from './agreement.js';
import type { OpenDataset } from './dataset-parts.js';
import { arithmeticOf } from './golden-hashes.js';
import type { Host, Simd } from './host.js';
import { loadKernels } from './kernels.js';
import { fillPermutation } from './sampler.js';
import { TrainingState } from './state.js';
import { checkBatchNormRows } from './validate.js';
import { WorkerGroup } from './worker-group.js';

export interface LaunchRequest {
  readonly host: Host;
  readonly engine: Engine;
  /** What the engine imports on each thread, see `ReplicaBinding`. */
  readonly libraries: readonly string[];
  readonly config: TrainConfig;
  readonly worldSize: number;
  /** One for each rank, or null for any core. */
  readonly devices: readonly Device[] | null;
  readonly dataset: OpenDataset;
  /** Whether batches will be trained on, so that their shards must suit the batch norms. */
  readonly trains: boolean;
  /** How long a rank may keep the others waiting. */
  readonly timeoutMs: number;
  /** The other processes that train with this one, where there are any. */
  readonly job?: Job | null;
  readonly onNote: (text: string) => void;
}

/** A group that waits for commands, with what it works on. Close `group` in the end. */
export interface Launched {
  /** The group of now; `restart` replaces it. */
  readonly group: WorkerGroup;
  /** Ends all threads and starts new ones, which go on from the committed step. */
  restart(): Promise<void>;
  /** Writes the permutation of that epoch (from 0) where the ranks find their rows. No rank may be in a step. */
  shuffle(epoch: number): void;
  readonly state: TrainingState;
  readonly layout: MemoryLayout;
  readonly buffer: ArrayBufferLike;
  readonly dataset: string;
  readonly job: Job | null;
  /** How wide the vectors of the engine's kernels are; null for an engine without. */
  readonly simd: Simd | null;
}

/**
 * Launches a group in each process of a job, where there is one, and sees to it that all have the same.
 * @throws CommonEnd, where there is a job, with what one of them failed with or PROCESSES_DIFFER
 */
export async function launchTogether(request: LaunchRequest): Promise<Launched> {
  const { job = null, engine, config } = request;
  let own: Launched | null = null;
  try {
    return await together(
      job,
      async () => (own = await launch(request)),
      // Not how wide the kernels are: processors of each kind may train together.
      ({ dataset }) => ({
        'data set': dataset,
        engine: engine.name,
        'golden hash': arithmeticOf(engine) ?? 'none',
        configuration: JSON.stringify(config),
      }),
    );
  } catch (error) {
    await (own as Launched | null)?.group.close();
    throw error;
  }
}

export async function launch(request: LaunchRequest): Promise<Launched> {
  const { host, engine, config, worldSize, devices, dataset, job } = request;
  if (request.trains) checkBatchNormRows(config, dataset.trainCount, worldSize);
  const layout = planMemory(engine, memoryShape(config, worldSize, dataset, job ?? alone));
  const memory = allocateMemory(layout);
  const buffer = memory.buffer as unknown as SharedArrayBuffer;
  const { train, test } = layout;
  const offsets = {
    trainImages: train.images,
    trainLabels: train.labels,
    testImages: test.images,
    testLabels: test.labels,
  };
  const kernels = await loadKernels(engine, host);
  if (typeof kernels?.warning === 'string') request.onNote(kernels.warning);
  await job?.attach(memory, layout);
  const startGroup = (): WorkerGroup =>
    new WorkerGroup({
      host,
      worldSize,
      engine: engine.name,
      libraries: request.libraries,
      config,
      layout,
      memory,
      module: kernels?.module ?? null,
      mailbox: job?.mailbox.buffer ?? null,
      cores: devices?.map((device) => device.core) ?? [],
      timeoutMs: request.timeoutMs,
      onNote: request.onNote,
    });
  // The threads start while the data are read.
  let group = startGroup();
  const name = await dataset.load(buffer, offsets).catch(async (error: unknown) => {
    await group.close();
    throw error;
  });
  if (job !== undefined && job !== null) {
    job.onFailure = (error) => {
      group.fail(error);
    };
  }
  return {
    get group() {
      return group;
    },
    restart: async () => {
      await group.close();
      group.control.reset();
      group = startGroup();
      await group.run({ name: 'prepare', first: 0, end: 0 });
    },
    shuffle: (epoch) => {
      const { trainCount } = layout.shape;
      fillPermutation(new Uint32Array(buffer, layout.permutation, trainCount), config.seed, epoch);
    },
    state: new TrainingState(buffer, layout),
    layout,
    buffer,
    dataset: name,
    job: job ?? null,
    simd: kernels?.simd ?? null,
  };
}

function memoryShape(
  config: TrainConfig,
  worldSize: number,
  { trainCount, testCount }: OpenDataset,
  { process, processes }: Place,
): MemoryShape {
  const { batchSize, microBatch } = config;
  let [shardRows, subtrees, nodes, roots] = [0, 0, 0, 0];
  for (const rows of new Set([Math.min(batchSize, trainCount), trainCount % batchSize || batchSize])) {
    const shares = sharesOf(leafCount(rows, microBatch), processes);
    const counts = shares.map((share) => subtreesOf(share).length);
    nodes = Math.max(
      nodes,
      counts.reduce((sum, count) => sum + count),
    );
    roots = Math.max(roots, ...counts);
    const share = shares[process] ?? { start: 0, end: 0 };
    for (let rank = 0; rank < worldSize; rank++) {
      const shard = shardWithin(share, rank, worldSize);
      const range = rowsOf(shard, rows, microBatch);
      shardRows = Math.max(shardRows, range.end - range.start);
      subtrees = Math.max(subtrees, subtreesOf(shard).length);
    }
  }
  const shape = { worldSize, shardRows, subtrees, microBatch, trainCount, testCount };
  return processes === 1 ? shape : { ...shape, job: { process, processes, nodes, roots } };
}

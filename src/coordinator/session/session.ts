/** A running group with all that it works on: threads, shared memory, data set and training state. */
import type { ComputeDevice, DevicePool } from '../../shared/compute-device.js';
import type { TrainConfig } from '../../shared/model/config.js';
import type { Engine } from '../../shared/engine.js';
import { assert, at } from '../../shared/errors.js';
import type { Job } from '../../shared/group/job.js';
import { allocateMemory, lossSlots, planMemory, type MemoryLayout } from '../../shared/group/memory.js';
import type { RankReport } from '../../shared/group/protocol.js';
import { ofPlainPixels } from '../../shared/model/input-scale.js';
import { stepsPerEpoch } from '../../shared/model/schedule.js';
import { alone } from '../../shared/sums/tree.js';
import { sumOver, together } from './agreement.js';
import { synchroniseStatistics } from '../checkpoint/batch-norm.js';
import { networkSha256, type Checkpoint } from '../checkpoint/checkpoint.js';
import type { OpenDataset } from '../dataset/dataset-parts.js';
import { checkDeviceMemory } from './device-memory.js';
import { evaluateGroup, placeHeldOut, testSplit, type Accuracy, type Split, type TestSplit } from './evaluation.js';
import { arithmeticOf } from '../checkpoint/golden-hashes.js';
import type { Host, Simd } from './host.js';
import { loadKernels, type LoadedKernels } from './kernels.js';
import { memoryShape } from './memory-shape.js';
import { fillPermutation, holdOut, type HeldOut } from '../dataset/sampler.js';
import { TrainingState, type SavedState } from './state.js';
import type { NetworkState } from '../checkpoint/trained-network.js';
import { checkBatchNormRows } from '../validate.js';
import { WorkerGroup } from './worker-group.js';

/** What a session computes with, and how it tells what is no result. */
export interface SessionOptions {
  readonly host: Host;
  readonly engine: Engine;
  /** What the engine imports on each thread, see `ReplicaBinding`. */
  readonly libraries: readonly string[];
  /** Gives each rank a device besides the processor; null, the default, where the engine needs none. */
  readonly pool?: DevicePool | null;
  readonly config: TrainConfig;
  readonly dataset: OpenDataset;
  /** How long a rank may keep the others waiting. */
  readonly timeoutMs: number;
  readonly onNote: (text: string) => void;
}

export interface SessionRequest extends SessionOptions {
  readonly groupSize: number;
  /** Core of each rank, null for any; none, the default, pins no rank. */
  readonly cores?: readonly (number | null)[];
  /** Whether batches will be trained on, so that their shards must suit the batch norms. */
  readonly trains: boolean;
  /** The other processes that train with this one; null, the default, where there are none. */
  readonly job?: Job | null;
}

/** What a checkpoint holds that the session does not know. */
export type RunHistory = Pick<Checkpoint, 'init' | 'overridden' | 'losses' | 'keepBest' | 'best'>;

const noHistory: RunHistory = { init: null, overridden: [], losses: null, keepBest: false, best: null };

/** What came of steps that were trained. */
export interface Trained {
  /** Mean loss of the last step's global batch; null where there was no step. */
  readonly loss: number | null;
  /** Of each rank, about the steps of the last epoch among them. */
  readonly reports: readonly RankReport[];
}

/**
 * One run's group and state. Begin with `initialise`, `startFrom` or `restore`, and close it in the end. Calls must not overlap,
 * but for `requestStop`, `fail` and `close`. In a job all processes make the same calls in the same order.
 */
export class Session {
  readonly config: TrainConfig;
  readonly engine: Engine;
  readonly job: Job | null;
  readonly groupSize: number;
  readonly layout: MemoryLayout;
  readonly buffer: SharedArrayBuffer;
  readonly perEpoch: number;
  /** How wide the vectors of the engine's kernels are; null for an engine without, or that computes elsewhere. */
  readonly simd: Simd | null;
  readonly #request: SessionRequest;
  readonly #memory: WebAssembly.Memory;
  readonly #module: WebAssembly.Module | null;
  readonly #devices: readonly ComputeDevice[] | null;
  readonly #state: TrainingState;
  /** `MemoryLayout.stepLosses` */
  readonly #stepLosses: Float64Array;
  #group: WorkerGroup;
  #dataset = '';
  #allWorkers: number;
  /** Null for a session that neither trains nor scores rows that are held out. */
  #rows: HeldOut | null = null;
  /** Epoch whose permutation is in shared memory. */
  #shuffledEpoch = -1;

  /**
   * Starts a group, in each process of a job, and sees to it that all have the same.
   * @throws OperationalError, in a job CommonEnd with what one of the processes failed with or PROCESSES_DIFFER
   */
  static async open(request: SessionRequest): Promise<Session> {
    const { job = null, engine, config, groupSize } = request;
    let own: Session | null = null;
    try {
      const session = await together(
        job,
        async () => (own = await Session.#openHere(request)),
        // Not how wide the kernels are: processors of each kind may train together.
        ({ dataset }) => ({
          'data set': dataset,
          engine: engine.name,
          'golden hash': arithmeticOf(engine) ?? 'none',
          configuration: JSON.stringify(config),
        }),
      );
      session.#allWorkers = await sumOver(job, groupSize);
      return session;
    } catch (error) {
      await (own as Session | null)?.close();
      throw error;
    }
  }

  static async #openHere(request: SessionRequest): Promise<Session> {
    const { host, engine, config, groupSize, dataset, job, trains, onNote } = request;
    if (trains) checkBatchNormRows(config, dataset.trainCount, groupSize);
    const devices = request.pool?.take(groupSize) ?? null;
    const position = job ?? alone;
    if (devices !== null) checkDeviceMemory({ engine, config, dataset, devices, position });
    const hostFloat64 = devices?.some(({ float64 }) => !float64) ?? false;
    const layout = planMemory(engine, { ...memoryShape(config, groupSize, dataset, position), hostFloat64 });
    const memory = allocateMemory(layout);
    const kernels = await loadKernels(engine, host);
    if (typeof kernels?.warning === 'string') onNote(kernels.warning);
    await job?.attach(memory, layout);
    const session = new Session(request, layout, memory, kernels, devices);
    try {
      // The threads start meanwhile.
      await session.#loadDataset();
      return session;
    } catch (error) {
      await session.close();
      throw error;
    }
  }

  private constructor(
    request: SessionRequest,
    layout: MemoryLayout,
    memory: WebAssembly.Memory,
    kernels: LoadedKernels | null,
    devices: readonly ComputeDevice[] | null,
  ) {
    const { config, engine, groupSize, job = null } = request;
    this.#request = request;
    this.config = config;
    this.engine = engine;
    this.job = job;
    this.groupSize = groupSize;
    this.#allWorkers = groupSize;
    this.layout = layout;
    this.#memory = memory;
    this.buffer = memory.buffer as unknown as SharedArrayBuffer;
    this.perEpoch = stepsPerEpoch(config, layout.shape.trainCount);
    this.#module = kernels?.module ?? null;
    this.simd = devices === null ? (kernels?.simd ?? null) : null;
    this.#devices = devices;
    this.#state = new TrainingState(this.buffer, layout);
    this.#stepLosses = new Float64Array(this.buffer, layout.stepLosses, lossSlots);
    this.#group = this.#startGroup();
    if (job !== null) {
      job.onFailure = (error) => {
        this.fail(error);
      };
    }
  }

  /** Name of the data set: `mnist`, or a hash. */
  get dataset(): string {
    return this.#dataset;
  }

  /** Steps since training began; the state is that after the last of them. */
  get step(): number {
    return this.#group.control.committed;
  }

  /** Worker threads of all processes. */
  get allWorkers(): number {
    return this.#allWorkers;
  }

  /** The unit whose values ceased to be finite in the step after `step`, which was not applied; null where none did. */
  get notFinite(): string | null {
    const index = this.#group.control.notFinite;
    return index === null ? null : (this.engine.units[index]?.name ?? 'a unit');
  }

  /** Whether the group decided, with all processes of a job, that `step` is its last, after a request to stop. */
  get stopped(): boolean {
    return this.#group.control.stoppedAt(this.step);
  }

  /** Begins with the parameters of a seed. */
  async initialise(seed: number): Promise<void> {
    this.#state.initialise(seed);
    await this.#begin(0);
  }

  /** Begins with a trained network of plain pixels, of which the optimiser knows nothing. */
  async startFrom(network: NetworkState): Promise<void> {
    const { parameters, runningStatistics } = network;
    this.#state.startFrom({ parameters: ofPlainPixels(parameters, this.config), runningStatistics });
    await this.#begin(0);
  }

  /** Goes on from a saved state. */
  async restore(saved: SavedState & Pick<Checkpoint, 'step'>): Promise<void> {
    this.#state.restore(saved, saved.step);
    await this.#begin(saved.step);
  }

  /** Trains until `end` steps are done, or fewer where a stop was requested or a value ceased to be finite. */
  async trainTo(end: number): Promise<Trained> {
    const begun = this.step;
    let reports: RankReport[] = [];
    for (;;) {
      const first = this.step;
      const until = Math.min(end, first - (first % this.perEpoch) + this.perEpoch);
      if (first >= end) break;
      this.#shuffle(Math.floor(first / this.perEpoch));
      reports = await this.#group.run({ name: 'train', first, end: until });
      if (this.step < until) break;
    }
    return { loss: this.step === begun ? null : this.lossOf(this.step - 1), reports };
  }

  /** Mean loss of the global batch of a step, counted from 0: one of the last `lossSlots` that were committed. */
  lossOf(step: number): number {
    return at(this.#stepLosses, step % lossSlots);
  }

  /**
   * Scores the network, or the average of its weights where one is taken, on the test split or on the rows that are held out.
   * @returns null where a stop was requested before the end
   * @throws OperationalError NOT_FINITE
   */
  async evaluate(split: Split = 'test'): Promise<Accuracy | null> {
    const statistics = this.#state.evaluatedStatistics(this.step).slice(0, this.groupSize);
    const averages = this.config.averageDecay > 0;
    if (averages) await this.#group.run({ name: 'prepareAverage', first: 0, end: 0 });
    const accuracy = await evaluateGroup(this, this.#group, synchroniseStatistics(this.config, statistics), split);
    if (averages) await this.#prepare();
    return accuracy;
  }

  /** Views of the test split, with the probabilities of the last evaluation. */
  get test(): TestSplit {
    return testSplit(this);
  }

  /** A private copy of the state. */
  save(): SavedState {
    return this.#state.save(this.step, this.config.batchNorm === 'sync' ? 1 : this.groupSize);
  }

  /** A private copy of the state with all that it takes to go on from it. */
  async checkpoint(history: RunHistory = noHistory): Promise<Checkpoint> {
    const { config, dataset, engine, step } = this;
    const saved = this.save();
    return {
      config,
      dataset,
      engine: engine.name,
      arithmetic: arithmeticOf(engine),
      step,
      worldSize: this.allWorkers,
      ...history,
      ...saved,
      parametersSha256: await networkSha256({ config, ...saved }),
    };
  }

  /** Ends all threads and starts new ones, which go on from `step`: nothing is left of a step that was not committed. */
  async restart(): Promise<void> {
    await this.close();
    this.#group.control.reset();
    this.#group = this.#startGroup();
    await this.#prepare();
  }

  /** Asks the group to end after the step that it is in, and an evaluation soon; it stays asked. */
  requestStop(): void {
    this.#group.control.requestStop();
  }

  /** Ends what the group does with an error from outside of it. */
  fail(error: Error): void {
    this.#group.fail(error);
  }

  /** Ends every thread, and resolves when they are gone. What is in memory stays. */
  async close(): Promise<void> {
    await this.#group.close();
    if (this.#devices !== null) this.#request.pool?.reclaim(this.#devices);
  }

  async #begin(step: number): Promise<void> {
    this.#group.control.startFrom(step);
    await this.#prepare();
  }

  /** Has the ranks derive what they need of the state. */
  async #prepare(): Promise<void> {
    await this.#group.run({ name: 'prepare', first: 0, end: 0 });
  }

  /** Writes the permutation of that epoch (from 0) where the ranks find their rows. */
  #shuffle(epoch: number): void {
    if (epoch === this.#shuffledEpoch) return;
    assert(this.#rows !== null, 'a session that trains');
    const { trained } = this.#rows;
    const target = new Uint32Array(this.buffer, this.layout.permutation, trained.length);
    fillPermutation(target, trained, this.config.seed, epoch);
    this.#shuffledEpoch = epoch;
  }

  #startGroup(): WorkerGroup {
    const { host, engine, libraries, config, groupSize, cores = [], timeoutMs, onNote, job } = this.#request;
    return new WorkerGroup({
      host,
      groupSize,
      engine: engine.name,
      libraries,
      config,
      layout: this.layout,
      memory: this.#memory,
      module: this.#module,
      mailbox: job?.mailbox.buffer ?? null,
      cores,
      devices: this.#devices,
      timeoutMs,
      onNote,
    });
  }

  async #loadDataset(): Promise<void> {
    const { train, test, shape } = this.layout;
    this.#dataset = await this.#request.dataset.load(this.buffer, {
      trainImages: train.images,
      trainLabels: train.labels,
      testImages: test.images,
      testLabels: test.labels,
    });
    if (!this.#request.trains && this.config.validation === 0) return;
    this.#rows = holdOut(shape.trainCount, this.config.validation, this.config.seed);
    placeHeldOut(this, this.#rows.heldOut);
  }
}

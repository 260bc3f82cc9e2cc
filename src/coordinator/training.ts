/** A training run: commands runs of steps to the group, and writes down what comes of them. */
import { OperationalError } from '../shared/errors.js';
import { planBatch } from '../shared/collectives.js';
import type { RankReport } from '../shared/protocol.js';
import { learningRateAt, positionOf, stepsPerEpoch } from '../shared/schedule.js';
import { leafCount } from '../shared/tree.js';
import { CommonEnd, together } from './agreement.js';
import { parametersSha256, stateSha256, type Checkpoint } from './checkpoint-format.js';
import { synchroniseStatistics } from './batch-norm.js';
import { evaluateGroup, type Accuracy } from './evaluation.js';
import { arithmeticOf } from './golden-hashes.js';
import { launchTogether, type Launched } from './launch.js';
import type { EvaluationMetric, InitialWeights, Progress, StartMetric, StepMetric, Summary } from './metrics.js';
import type { TrainMetric } from './metrics.js';
import { refuseOtherBits } from './resume.js';
import { RunRecorder } from './run-recorder.js';
import { stopOnSignal } from './stop-signal.js';
import type { TrainingRequest } from './training-request.js';

/** Steps between two lines of the log. */
const logEvery = 100;
/** How often progress is told: a run of steps ends there, which costs the group one wake-up. */
const progressMs = 400;

/**
 * Trains to the end, yielding metrics on the way; the last is the summary. Ending the iteration early, an abort or an error
 * ends the workers; after an abort a checkpoint is written first and the signal's reason is thrown.
 */
export async function* runTraining(request: TrainingRequest): AsyncGenerator<TrainMetric, void, undefined> {
  const { signal, job } = request;
  signal?.throwIfAborted();
  const launched = await launchTogether({ ...request, trains: true });
  const release = stopOnSignal(request, launched);
  try {
    const run = new TrainingRun(request, launched);
    await together(job, () => run.start());
    yield await run.startMetric();
    while (run.step < run.lastStep) {
      await run.throwIfAborted();
      yield* run.advance();
    }
    if (run.accuracy === null) yield await run.evaluate();
    yield await run.summary();
  } finally {
    release();
    await launched.group.close();
  }
}

class TrainingRun {
  step: number;
  readonly lastStep: number;
  accuracy: Accuracy | null = null;
  readonly #request: TrainingRequest;
  readonly #launched: Launched;
  readonly #perEpoch: number;
  readonly #recorder: RunRecorder;
  #loss: number | null = null;
  #trainMs = 0;
  #images = 0;
  #restarts = 0;
  #lastLog = { images: 0, trainMs: 0 };
  /** Epoch whose permutation is in shared memory. */
  #shuffledEpoch = -1;
  /** Of the last few steps: what progress shows, and how many steps go between two reports of it. */
  #recent = { imagesPerSecond: 0, stepMs: progressMs };

  constructor(request: TrainingRequest, launched: Launched) {
    const { config, resume, maxSteps } = request;
    const { layout } = launched;
    this.#request = request;
    this.#launched = launched;
    this.#recorder = new RunRecorder(request.folder, request.onNote);
    this.#perEpoch = stepsPerEpoch(config, layout.shape.trainCount);
    this.step = resume?.step ?? 0;
    this.lastStep = Math.min(this.#perEpoch * config.epochs, maxSteps ?? Infinity);
  }

  /** Sets the state up and has the ranks derive what they need of it. */
  async start(): Promise<void> {
    const { engine, resume, init, config, folder, override } = this.#request;
    const { state, group, dataset } = this.#launched;
    if (resume === null) {
      if (init === null) state.initialise(config.seed);
      else state.startFrom(init);
    } else {
      refuseOtherBits(resume, { dataset, engine: engine.name, arithmetic: arithmeticOf(engine) }, override);
      state.restore(resume, resume.step);
      // The evaluation of that very step is one of this run only where an epoch ends, and is not to be made once more.
      const evaluated = this.step % this.#perEpoch === 0 && this.step < this.lastStep;
      await folder?.cutMetrics(resume.step, evaluated ? undefined : 'evaluation');
    }
    group.control.startFrom(this.step);
    await group.run({ name: 'prepare', first: 0, end: 0 });
  }

  /** Writes down and returns what the run starts on. */
  async startMetric(): Promise<StartMetric> {
    const { engine, why, device, hosts, allWorkers, folder, machine } = this.#request;
    const metric: StartMetric = {
      kind: 'start',
      device,
      workers: allWorkers,
      hosts,
      engine: engine.name,
      why,
      simd: this.#launched.simd,
      dataset: this.#launched.dataset,
      out: folder?.directory ?? '',
      step: this.step,
      time: new Date().toISOString(),
      machine: await machine,
      init: this.#init(),
    };
    await this.#recorder.metric({ ...metric });
    return metric;
  }

  /** Trains up to the next line of the log, checkpoint or end of an epoch, and does what is due there. */
  async *advance(): AsyncGenerator<TrainMetric, void, undefined> {
    const { checkpointEvery } = this.#request;
    const end = this.#nextStop();
    await this.#train(end);
    if (this.step < end) {
      await this.throwIfAborted();
      throw new Error(`the group stopped at step ${String(this.step)} unasked`);
    }
    const stepInEpoch = this.step % this.#perEpoch;
    this.#tell('training');
    if (stepInEpoch !== 0 && stepInEpoch % logEvery === 0) yield await this.#log(stepInEpoch);
    if (stepInEpoch === 0 || this.step === this.lastStep) {
      const evaluation = await this.evaluate();
      if (this.step === this.lastStep) await this.#recorder.lastCheckpoint(await this.#checkpoint());
      else await this.#recorder.checkpoint(await this.#checkpoint());
      yield evaluation;
    } else if (checkpointEvery !== undefined && this.step % checkpointEvery === 0) {
      await this.#recorder.checkpoint(await this.#checkpoint());
    }
  }

  /**
   * After an abort: sees to it that a checkpoint of this step is there, and throws the signal's reason. The processes of a
   * job end together, after a step in which they told each other.
   */
  async throwIfAborted(): Promise<void> {
    const { signal, job } = this.#request;
    const aborted = signal?.aborted === true;
    if (job === null ? !aborted : !this.#launched.group.control.stoppedAt(this.step)) return;
    if (this.#recorder.savedStep !== this.step) await this.#recorder.lastCheckpoint(await this.#checkpoint());
    const reason: unknown = aborted
      ? signal.reason
      : new OperationalError('ABORTED', `another process was told to end, after step ${String(this.step)}`);
    throw this.#commonEnd(reason);
  }

  async evaluate(): Promise<EvaluationMetric> {
    const { config, worldSize } = this.#request;
    const statistics = this.#launched.state.runningStatistics(this.step).slice(0, worldSize);
    const synchronised = synchroniseStatistics(config, statistics);
    this.#tell('evaluation');
    this.accuracy = await this.#withRestarts(() => evaluateGroup(this.#launched, synchronised));
    const epoch = Math.ceil(this.step / this.#perEpoch);
    const metric: EvaluationMetric = { kind: 'evaluation', step: this.step, epoch, ...this.accuracy };
    await this.#recorder.metric({ ...metric });
    return metric;
  }

  /** Writes the summary and returns it. */
  async summary(): Promise<Summary> {
    const { config, engine, worldSize, allWorkers, folder, job } = this.#request;
    const { state, dataset, simd } = this.#launched;
    if (this.accuracy === null) throw new Error('a summary needs an evaluation');
    const saved = state.save(this.step, config.batchNorm === 'sync' ? 1 : worldSize);
    const summary: Summary = {
      kind: 'summary',
      ...this.accuracy,
      dataset,
      step: this.step,
      steps: this.step,
      epochs: config.epochs,
      workers: allWorkers,
      processes: job?.processes ?? 1,
      engine: engine.name,
      simdBits: simd?.bits ?? null,
      batchNorm: config.batchNorm,
      batchSize: config.batchSize,
      microBatch: config.microBatch,
      learningRate: config.learningRate,
      seed: config.seed,
      imagesPerSecond: this.#trainMs === 0 ? 0 : (1000 * this.#images) / this.#trainMs,
      trainSeconds: this.#trainMs / 1000,
      traffic: (await job?.traffic()) ?? null,
      finalLoss: this.#loss,
      parametersSha256: await parametersSha256(saved.parameters),
      stateSha256: await stateSha256({ step: this.step, ...saved }),
      out: folder?.directory ?? '',
    };
    await this.#recorder.summary({ ...summary });
    return summary;
  }

  #nextStop(): number {
    const { checkpointEvery, onProgress } = this.#request;
    const epochStart = this.step - (this.step % this.#perEpoch);
    const nextLog = epochStart + (Math.floor((this.step - epochStart) / logEvery) + 1) * logEvery;
    const nextCheckpoint =
      checkpointEvery === undefined ? Infinity : (Math.floor(this.step / checkpointEvery) + 1) * checkpointEvery;
    const slice = Math.max(1, Math.round(progressMs / this.#recent.stepMs));
    const nextProgress = onProgress === undefined ? Infinity : this.step + slice;
    return Math.min(nextLog, nextCheckpoint, nextProgress, epochStart + this.#perEpoch, this.lastStep);
  }

  /** Trains steps [this.step, end), fewer where the group was asked to stop. */
  async #train(end: number): Promise<void> {
    const { config } = this.#request;
    const { trainCount } = this.#launched.layout.shape;
    this.accuracy = null;
    this.#shuffle();
    const start = performance.now();
    const reports = await this.#withRestarts(() => {
      const { group } = this.#launched;
      return group.run({ name: 'train', first: group.control.committed, end });
    });
    const ms = performance.now() - start;
    const { committed } = this.#launched.group.control;
    this.#throwIfNotFinite(committed);
    let images = 0;
    for (let step = this.step; step < committed; step++) images += positionOf(config, trainCount, step).rows;
    if (committed > this.step) {
      this.#loss = this.#lossOf(committed - 1, reports);
      this.#recent = { imagesPerSecond: (1000 * images) / ms, stepMs: ms / (committed - this.step) };
    }
    this.#trainMs += ms;
    this.#images += images;
    this.step = committed;
  }

  #shuffle(): void {
    const { epoch } = positionOf(this.#request.config, this.#launched.layout.shape.trainCount, this.step);
    if (epoch === this.#shuffledEpoch) return;
    this.#launched.shuffle(epoch);
    this.#shuffledEpoch = epoch;
  }

  #tell(phase: Progress['phase']): void {
    const { config, onProgress } = this.#request;
    if (onProgress === undefined) return;
    const epoch = Math.max(1, Math.ceil(this.step / this.#perEpoch));
    onProgress({
      phase,
      step: this.step,
      lastStep: this.lastStep,
      epoch,
      epochs: config.epochs,
      stepInEpoch: this.step - (epoch - 1) * this.#perEpoch,
      stepsPerEpoch: this.#perEpoch,
      loss: this.#loss,
      learningRate: learningRateAt(config, this.step),
      imagesPerSecond: this.#recent.imagesPerSecond,
    });
  }

  /**
   * Does `work` again on new workers when a rank fails: nothing of a step that was not committed is left. With other
   * processes the run ends instead: they may have committed the step that this one has to do again.
   */
  async #withRestarts<T>(work: () => Promise<T>): Promise<T> {
    const { onNote, job } = this.#request;
    const maxRestarts = job === null ? this.#request.maxRestarts : 0;
    for (let lost = false; ; lost = true) {
      try {
        if (lost) await this.#launched.restart();
        return await work();
      } catch (error) {
        if (!isLoss(error)) throw error;
        if (this.#restarts === maxRestarts) throw await this.#giveUp(error);
        this.#restarts++;
        onNote(`${error.message}; starting the workers again (${String(this.#restarts)} of ${String(maxRestarts)})`);
      }
    }
  }

  /** Writes the last good step down and returns the error to end with. */
  async #giveUp(error: OperationalError): Promise<OperationalError> {
    const { folder, job } = this.#request;
    await this.#launched.group.close();
    this.step = this.#launched.group.control.committed;
    const checkpoint = await this.#checkpoint();
    const saved = await this.#recorder.lastCheckpoint(checkpoint).then(
      () => (folder === null ? '' : `; step ${String(this.step)} is saved: go on with --resume ${folder.directory}`),
      (failure: unknown) => `; step ${String(this.step)} is not saved: ${messageOf(failure)}`,
    );
    const restarts = job === null ? `; gave up after ${String(this.#restarts)} restarts` : '';
    const message = `${error.message}${restarts}${saved}`;
    return new OperationalError(error.code, message, {
      cause: error,
      ...(error.rank === undefined ? {} : { rank: error.rank }),
    });
  }

  /** Mean loss of a step's batch, from the ranks' sums over their subtrees. */
  #lossOf(step: number, reports: readonly RankReport[]): number {
    const { config, worldSize, job } = this.#request;
    const { rows } = positionOf(config, this.#launched.layout.shape.trainCount, step);
    const sums = reports.flatMap((report) => report.losses);
    // Rank 0 of a process of a job has the whole sum.
    const merges = job === null ? planBatch(rows, leafCount(rows, config.microBatch), 0, worldSize).merges : [];
    for (const { target, source } of merges) sums[target] = (sums[target] ?? 0) + (sums[source] ?? 0);
    return (sums[0] ?? 0) / rows;
  }

  #throwIfNotFinite(step: number): void {
    const { engine, folder, resume } = this.#request;
    const index = this.#launched.group.control.notFinite;
    if (index === null) return;
    const name = engine.units[index]?.name ?? 'a unit';
    const none = this.#recorder.savedStep === null && resume === null;
    const left = none ? 'there is no checkpoint yet' : `the last checkpoint in ${folder?.directory ?? ''} is whole`;
    const error = new OperationalError(
      'NOT_FINITE',
      `the gradient or the parameters of ${name} became infinite or NaN in step ${String(step + 1)}; the step was not ` +
        `applied, and ${left}: try a smaller --lr`,
    );
    throw this.#commonEnd(error);
  }

  /** What to throw for a reason that all processes have. */
  #commonEnd(reason: unknown): unknown {
    return this.#request.job === null ? reason : new CommonEnd(reason);
  }

  async #log(stepInEpoch: number): Promise<StepMetric> {
    const { config } = this.#request;
    const images = this.#images - this.#lastLog.images;
    const ms = this.#trainMs - this.#lastLog.trainMs;
    this.#lastLog = { images: this.#images, trainMs: this.#trainMs };
    const metric: StepMetric = {
      kind: 'step',
      step: this.step,
      epoch: Math.floor(this.step / this.#perEpoch) + 1,
      epochs: config.epochs,
      stepInEpoch,
      stepsPerEpoch: this.#perEpoch,
      loss: this.#loss ?? NaN,
      learningRate: learningRateAt(config, this.step),
      imagesPerSecond: (1000 * images) / ms,
    };
    await this.#recorder.metric({ ...metric });
    return metric;
  }

  /** The committed state, as a checkpoint. */
  async #checkpoint(): Promise<Checkpoint> {
    const { config, engine, worldSize, allWorkers } = this.#request;
    const { state, dataset } = this.#launched;
    const saved = state.save(this.step, config.batchNorm === 'sync' ? 1 : worldSize);
    const sha256 = await parametersSha256(saved.parameters);
    const { step } = this;
    const [name, arithmetic, init] = [engine.name, arithmeticOf(engine), this.#init()];
    const where = { config, dataset, engine: name, arithmetic, step, worldSize: allWorkers, init };
    return { ...where, ...saved, parametersSha256: sha256 };
  }

  #init(): InitialWeights | null {
    const { resume, init } = this.#request;
    if (resume !== null) return resume.init;
    return init === null ? null : { file: init.file, parametersSha256: init.parametersSha256 };
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function isLoss(error: unknown): error is OperationalError {
  const losses = ['RANK_FAILED', 'RANK_STALLED', 'THREADS_EXCEEDED', 'PROCESS_LOST'];
  return error instanceof OperationalError && losses.includes(error.code);
}

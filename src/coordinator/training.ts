/** A training run: commands runs of steps to the group, and writes down what comes of them. */
import { OperationalError } from '../shared/errors.js';
import { planBatch } from '../shared/collectives.js';
import { classes } from '../shared/network.js';
import type { RankReport } from '../shared/protocol.js';
import { learningRateAt, positionOf, stepsPerEpoch } from '../shared/schedule.js';
import { counted, shellWord } from '../shared/text.js';
import { leafCount } from '../shared/tree.js';
import { CommonEnd, fromFirst, together } from './agreement.js';
import { parametersSha256, stateSha256, unsoundField, type Checkpoint } from './checkpoint-format.js';
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
/** What equal probabilities of the classes come to, but for rounding. */
const chanceLoss = 0.999 * Math.log(classes);
/** How often progress is told: a run of steps ends there, which costs the group one wake-up. */
const progressMs = 400;

/**
 * Trains to the end, yielding metrics on the way; the last is the summary. Ending the iteration early, an abort or an error
 * ends the workers; after an abort a checkpoint is written first, and ABORTED is thrown, see `abortOf`.
 */
export async function* runTraining(request: TrainingRequest): AsyncGenerator<TrainMetric, void, undefined> {
  const { signal, job } = request;
  if (signal?.aborted === true) throw abortOf(signal, 'before it began');
  const launched = await launchTogether({ ...request, trains: true });
  const release = stopOnSignal(request, launched);
  try {
    const run = new TrainingRun(request, launched);
    await together(job, () => run.start());
    yield await run.startMetric();
    if (await fromFirst(job, () => Promise.resolve(run.owesEvaluation))) yield await run.evaluate();
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
  /** Whether the run to go on with ended between the checkpoint of an epoch and its evaluation. */
  owesEvaluation = false;
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
      const evaluated = this.step > 0 && this.step % this.#perEpoch === 0 && this.step < this.lastStep;
      const missing = await folder?.cutMetrics(resume.step, evaluated ? undefined : 'evaluation');
      this.owesEvaluation = evaluated && missing === true;
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
      // The checkpoint comes first: an evaluation may take long, and what comes in it must not cost the epoch.
      const unsaved = await this.#saveEpoch();
      yield await this.evaluate();
      if (unsaved !== null) throw unsaved;
    } else if (checkpointEvery !== undefined && this.step % checkpointEvery === 0) {
      await this.#recorder.checkpoint(await this.#checkpoint());
    }
  }

  /** @returns why the checkpoint of the last step is not written; before that one this is only a warning */
  async #saveEpoch(): Promise<OperationalError | null> {
    const checkpoint = await this.#checkpoint();
    if (this.step < this.lastStep) {
      await this.#recorder.checkpoint(checkpoint);
      return null;
    }
    try {
      await this.#recorder.lastCheckpoint(checkpoint);
      return null;
    } catch (error) {
      if (error instanceof OperationalError) return error;
      throw error;
    }
  }

  /** Throws ABORTED after an abort. The processes of a job end together, after a step in which they told each other. */
  async throwIfAborted(): Promise<void> {
    const { signal, job } = this.#request;
    const aborted = job === null ? signal?.aborted === true : this.#launched.group.control.stoppedAt(this.step);
    if (aborted) throw await this.#abort();
  }

  /** Sees to it that a checkpoint of this step is there, and returns what to throw. */
  async #abort(): Promise<unknown> {
    const { signal } = this.#request;
    if (this.#recorder.savedStep !== this.step) await this.#recorder.lastCheckpoint(await this.#checkpoint());
    const after = `after step ${String(this.step)}`;
    const reason =
      signal?.aborted === true
        ? abortOf(signal, after)
        : new OperationalError('ABORTED', `another process was told to end, ${after}`);
    return this.#commonEnd(reason);
  }

  async evaluate(): Promise<EvaluationMetric> {
    const { config, worldSize } = this.#request;
    const statistics = this.#launched.state.runningStatistics(this.step).slice(0, worldSize);
    const synchronised = synchroniseStatistics(config, statistics);
    this.#tell('evaluation');
    const accuracy = await this.#withRestarts(() => evaluateGroup(this.#launched, synchronised));
    if (accuracy === null) throw await this.#abort();
    this.accuracy = accuracy;
    const epoch = Math.ceil(this.step / this.#perEpoch);
    const metric: EvaluationMetric = { kind: 'evaluation', step: this.step, epoch, ...accuracy };
    await this.#recorder.metric({ ...metric });
    return metric;
  }

  /** Writes the summary and returns it. */
  async summary(): Promise<Summary> {
    const { config, engine, worldSize, allWorkers, folder, job, onNote } = this.#request;
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
    if (folder !== null && this.step >= logEvery && (this.#loss ?? 0) >= chanceLoss) {
      onNote(
        `warning: the loss of the last batch, ${summary.finalLoss?.toFixed(4) ?? ''}, is that of guessing: the network has ` +
          'learned nothing; try a smaller learning rate',
      );
    }
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
    const saving = this.#checkpoint().then((checkpoint) => this.#recorder.lastCheckpoint(checkpoint));
    const saved = await saving.then(
      () =>
        folder === null
          ? ''
          : `; step ${String(this.step)} is saved: go on with --resume ${shellWord(folder.directory)}`,
      (failure: unknown) => `; step ${String(this.step)} is not saved: ${messageOf(failure)}`,
    );
    const restarts = job === null ? `; gave up after ${counted(this.#restarts, 'restart')}` : '';
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
    const index = this.#launched.group.control.notFinite;
    if (index === null) return;
    const name = this.#request.engine.units[index]?.name ?? 'a unit';
    const what = `the gradient or the parameters of ${name} became infinite or NaN in step ${String(step + 1)}`;
    throw this.#commonEnd(this.#diverged(`${what}; the step was not applied`));
  }

  #diverged(what: string): OperationalError {
    const { folder, resume } = this.#request;
    const none = this.#recorder.savedStep === null && resume === null;
    const left = none ? 'there is no checkpoint yet' : `the last checkpoint in ${folder?.directory ?? ''} is whole`;
    return new OperationalError('NOT_FINITE', `${what}, and ${left}: try a smaller --lr`);
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
    const unsound = unsoundField(saved);
    if (unsound !== null) {
      const what = `the training state (${unsound}) ceased to be finite by step ${String(this.step)}`;
      throw this.#commonEnd(this.#diverged(what));
    }
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

/**
 * What an aborted run throws: the signal's reason where that is an OperationalError, else ABORTED, with the reason as its cause.
 * @param when goes on from "training was aborted"
 */
function abortOf({ reason }: AbortSignal, when: string): OperationalError {
  if (reason instanceof OperationalError) return reason;
  return new OperationalError('ABORTED', `training was aborted ${when}`, { cause: reason });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function isLoss(error: unknown): error is OperationalError {
  const losses = ['RANK_FAILED', 'RANK_STALLED', 'THREADS_EXCEEDED', 'PROCESS_LOST'];
  return error instanceof OperationalError && losses.includes(error.code);
}

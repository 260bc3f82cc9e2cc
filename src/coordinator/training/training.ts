/** A training run: commands stretches of steps to the group, and writes down what comes of them. */
import { messageOf, OperationalError } from '../../shared/errors.js';
import { classes } from '../../shared/model/network.js';
import { learningRateAt, positionOf } from '../../shared/model/schedule.js';
import { counted, shellWord } from '../../shared/text.js';
import { CommonEnd, fromFirst, together } from '../session/agreement.js';
import { parametersSha256, stateSha256, unsoundField, type Checkpoint } from '../checkpoint/checkpoint-format.js';
import type { Accuracy } from '../session/evaluation.js';
import { arithmeticOf } from '../checkpoint/golden-hashes.js';
import type { EvaluationMetric, InitialWeights, Progress, StartMetric, StepMetric, Summary } from './metrics.js';
import type { TrainMetric } from './metrics.js';
import { LostRank, Restarts } from './restarts.js';
import { refuseOtherBits } from './resume.js';
import { RunRecorder } from './run-recorder.js';
import { Session } from '../session/session.js';
import { stopOnSignal } from './stop-signal.js';
import type { TrainingRequest } from './training-request.js';

/** Steps between two lines of the log. */
const logEvery = 100;
/** What equal probabilities of the classes come to, but for rounding. */
const chanceLoss = 0.999 * Math.log(classes);
/** How often progress is told: a stretch of steps ends there, which costs the group one wake-up. */
const progressMs = 400;

/**
 * Trains to the end, yielding metrics on the way; the last is the summary. Ending the iteration early, an abort or an error
 * ends the workers; after an abort a checkpoint is written first, and ABORTED is thrown, see `abortOf`.
 */
export async function* runTraining(request: TrainingRequest): AsyncGenerator<TrainMetric, void, undefined> {
  const { signal, job } = request;
  if (signal?.aborted === true) throw abortOf(signal, 'before it began');
  const session = await Session.open({ ...request, trains: true });
  let release = (): void => undefined;
  try {
    release = stopOnSignal(request, session);
    const run = new TrainingRun(request, session);
    await together(job, () => run.start());
    yield await run.startMetric();
    if (await fromFirst(job, () => Promise.resolve(run.owesEvaluation))) yield await run.evaluate();
    while (session.step < run.lastStep) {
      await run.throwIfAborted();
      yield* run.advance();
    }
    if (run.accuracy === null) yield* run.endWhereItBegan();
    yield await run.summary();
  } finally {
    release();
    await session.close();
  }
}

/** What a run does between its steps: it decides when to log, to save, to evaluate and to give up. */
class TrainingRun {
  readonly lastStep: number;
  accuracy: Accuracy | null = null;
  /** Whether the run to go on with ended between the checkpoint of an epoch and its evaluation. */
  owesEvaluation = false;
  readonly #request: TrainingRequest;
  readonly #session: Session;
  readonly #recorder: RunRecorder;
  readonly #restarts: Restarts;
  #loss: number | null = null;
  #trainMs = 0;
  #images = 0;
  #lastLog = { images: 0, trainMs: 0 };
  /** Of the last few steps: what progress shows, and how many steps go between two reports of it. */
  #recent = { imagesPerSecond: 0, stepMs: progressMs };

  constructor(request: TrainingRequest, session: Session) {
    const { config, maxSteps, maxRestarts, onNote, job } = request;
    this.#request = request;
    this.#session = session;
    this.#recorder = new RunRecorder(request.folder, onNote);
    // Other processes may have committed the step that this one would have to do again.
    this.#restarts = new Restarts(session, { max: job === null ? maxRestarts : 0, onNote });
    this.lastStep = Math.min(session.perEpoch * config.epochs, maxSteps ?? Infinity);
  }

  /** Sets the state up, and cuts the metrics back to it. */
  async start(): Promise<void> {
    const { engine, resume, init, config, folder, override } = this.#request;
    const { perEpoch, dataset } = this.#session;
    if (resume === null) {
      // Of a run that was killed before its first checkpoint.
      await folder?.cutMetrics(-1);
      await (init === null ? this.#session.initialise(config.seed) : this.#session.startFrom(init));
      return;
    }
    refuseOtherBits(resume, { dataset, engine: engine.name, arithmetic: arithmeticOf(engine) }, override);
    // The evaluation of that very step is one of this run only where an epoch ends, and is not to be made once more.
    const evaluated = resume.step > 0 && resume.step % perEpoch === 0 && resume.step < this.lastStep;
    const missing = await folder?.cutMetrics(resume.step, evaluated ? undefined : 'evaluation');
    this.owesEvaluation = evaluated && missing === true;
    await this.#session.restore(resume);
  }

  /** Writes down and returns what the run starts on. */
  async startMetric(): Promise<StartMetric> {
    const { engine, why, device, hosts, folder, machine } = this.#request;
    const { allWorkers, simd, dataset, step } = this.#session;
    const metric: StartMetric = {
      kind: 'start',
      device,
      workers: allWorkers,
      hosts,
      engine: engine.name,
      why,
      simd,
      dataset,
      out: folder?.directory ?? '',
      step,
      time: new Date().toISOString(),
      machine: await machine,
      init: this.#init(),
    };
    await this.#recorder.metric({ ...metric });
    return metric;
  }

  /** What is left to do where no step is: another checkpoint of the folder would not fit the summary. */
  async *endWhereItBegan(): AsyncGenerator<TrainMetric, void, undefined> {
    await this.#recorder.unchangedCheckpoint(await this.#checkpoint());
    yield await this.evaluate();
  }

  /** Trains up to the next line of the log, checkpoint or end of an epoch, and does what is due there. */
  async *advance(): AsyncGenerator<TrainMetric, void, undefined> {
    const { checkpointEvery, wantsCheckpoint } = this.#request;
    const end = this.#nextStop();
    await this.#train(end);
    const { step, perEpoch } = this.#session;
    if (step < end) {
      await this.throwIfAborted();
      throw new Error(`the group stopped at step ${String(step)} unasked`);
    }
    const stepInEpoch = step % perEpoch;
    this.#tell('training');
    if (stepInEpoch !== 0 && stepInEpoch % logEvery === 0) yield await this.#log(stepInEpoch);
    if (stepInEpoch === 0 || step === this.lastStep) {
      // The checkpoint comes first: an evaluation may take long, and what comes in it must not cost the epoch.
      const unsaved = await this.#saveEpoch();
      yield await this.evaluate();
      if (unsaved !== null) throw unsaved;
    } else if (step % (checkpointEvery ?? Infinity) === 0 || wantsCheckpoint?.() === true) {
      await this.#recorder.checkpoint(await this.#checkpoint());
    }
  }

  /** @returns why the checkpoint of the last step is not written; before that one this is only a warning */
  async #saveEpoch(): Promise<OperationalError | null> {
    const checkpoint = await this.#checkpoint();
    if (checkpoint.step < this.lastStep) {
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
    const aborted = job === null ? signal?.aborted === true : this.#session.stopped;
    if (aborted) throw await this.#abort();
  }

  /** Sees to it that a checkpoint of this step is there, and returns what to throw. */
  async #abort(): Promise<unknown> {
    const { signal } = this.#request;
    const { step } = this.#session;
    if (this.#recorder.savedStep !== step) await this.#recorder.lastCheckpoint(await this.#checkpoint());
    const after = `after step ${String(step)}`;
    const reason =
      signal?.aborted === true
        ? abortOf(signal, after)
        : new OperationalError('ABORTED', `another process was told to end, ${after}`);
    return this.#commonEnd(reason);
  }

  async evaluate(): Promise<EvaluationMetric> {
    this.#tell('evaluation');
    const accuracy = await this.#withRestarts(() => this.#session.evaluate());
    if (accuracy === null) throw await this.#abort();
    this.accuracy = accuracy;
    const { step, perEpoch } = this.#session;
    const metric: EvaluationMetric = { kind: 'evaluation', step, epoch: Math.ceil(step / perEpoch), ...accuracy };
    await this.#recorder.metric({ ...metric });
    return metric;
  }

  /** Writes the summary and returns it. */
  async summary(): Promise<Summary> {
    const { config, engine, folder, job, onNote } = this.#request;
    const { allWorkers, dataset, simd, step } = this.#session;
    if (this.accuracy === null) throw new Error('a summary needs an evaluation');
    const saved = this.#session.save();
    const summary: Summary = {
      kind: 'summary',
      ...this.accuracy,
      dataset,
      step,
      steps: step,
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
      stateSha256: await stateSha256({ step, ...saved }),
      out: folder?.directory ?? '',
    };
    await this.#recorder.summary({ ...summary });
    if (folder !== null && step >= logEvery && (this.#loss ?? 0) >= chanceLoss) {
      onNote(
        `warning: the loss of the last batch, ${summary.finalLoss?.toFixed(4) ?? ''}, is that of guessing: the network has ` +
          'learned nothing; try a smaller learning rate',
      );
    }
    return summary;
  }

  #nextStop(): number {
    const { checkpointEvery, wantsCheckpoint, onProgress } = this.#request;
    const { step, perEpoch } = this.#session;
    const epochStart = step - (step % perEpoch);
    const nextLog = epochStart + (Math.floor((step - epochStart) / logEvery) + 1) * logEvery;
    const nextCheckpoint =
      checkpointEvery === undefined ? Infinity : (Math.floor(step / checkpointEvery) + 1) * checkpointEvery;
    const slice = Math.max(1, Math.round(progressMs / this.#recent.stepMs));
    const nextProgress = onProgress === undefined && wantsCheckpoint === undefined ? Infinity : step + slice;
    return Math.min(nextLog, nextCheckpoint, nextProgress, epochStart + perEpoch, this.lastStep);
  }

  /** Trains up to step `end`, or less where the group was asked to stop. */
  async #train(end: number): Promise<void> {
    const session = this.#session;
    const [first, start] = [session.step, performance.now()];
    this.accuracy = null;
    const { loss } = await this.#withRestarts(() => session.trainTo(end));
    const [steps, ms] = [session.step - first, performance.now() - start];
    this.#throwIfNotFinite();
    const { config, layout } = session;
    let images = 0;
    for (let i = 0; i < steps; i++) images += positionOf(config, layout.shape.trainCount, first + i).rows;
    if (steps > 0) {
      this.#loss = loss;
      this.#recent = { imagesPerSecond: (1000 * images) / ms, stepMs: ms / steps };
    }
    this.#trainMs += ms;
    this.#images += images;
  }

  #tell(phase: Progress['phase']): void {
    const { config, onProgress } = this.#request;
    const { step, perEpoch } = this.#session;
    const epoch = Math.max(1, Math.ceil(step / perEpoch));
    onProgress?.({
      phase,
      step,
      lastStep: this.lastStep,
      epoch,
      epochs: config.epochs,
      stepInEpoch: step - (epoch - 1) * perEpoch,
      stepsPerEpoch: perEpoch,
      loss: this.#loss,
      learningRate: learningRateAt(config, step),
      imagesPerSecond: this.#recent.imagesPerSecond,
    });
  }

  async #withRestarts<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await this.#restarts.run(work);
    } catch (error) {
      throw error instanceof LostRank ? await this.#giveUp(error.cause) : error;
    }
  }

  /** Writes the last good step down and returns the error to end with. */
  async #giveUp(error: OperationalError): Promise<OperationalError> {
    const { folder, job } = this.#request;
    await this.#session.close();
    const step = String(this.#session.step);
    const saving = this.#checkpoint().then((checkpoint) => this.#recorder.lastCheckpoint(checkpoint));
    const saved = await saving.then(
      () =>
        folder === null
          ? ''
          : `; step ${step} is saved: go on with \`resume\` ${shellWord(folder.directory)}, all else as it was`,
      (failure: unknown) => `; step ${step} is not saved: ${messageOf(failure)}`,
    );
    const restarts = job === null ? `; gave up after ${counted(this.#restarts.count, 'restart')}` : '';
    const message = `${error.message}${restarts}${saved}`;
    return new OperationalError(error.code, message, {
      cause: error,
      ...(error.rank === undefined ? {} : { rank: error.rank }),
    });
  }

  #throwIfNotFinite(): void {
    const { notFinite, step } = this.#session;
    if (notFinite === null) return;
    const what = `the gradient or the parameters of ${notFinite} became infinite or NaN in step ${String(step + 1)}`;
    throw this.#commonEnd(this.#diverged(`${what}; the step was not applied`));
  }

  #diverged(what: string): OperationalError {
    const { config, folder, resume } = this.#request;
    const grown = config.lrGamma > 1 && this.#session.step >= config.lrStep;
    const none = this.#recorder.savedStep === null && resume === null;
    const left = none ? 'there is no checkpoint yet' : `the last checkpoint in ${folder?.directory ?? ''} is whole`;
    return new OperationalError(
      'NOT_FINITE',
      `${what}, and ${left}: try a smaller ${grown ? '`lrGamma`' : '`learningRate`'}`,
    );
  }

  /** What to throw for a reason that all processes have. */
  #commonEnd(reason: unknown): unknown {
    return this.#request.job === null ? reason : new CommonEnd(reason);
  }

  async #log(stepInEpoch: number): Promise<StepMetric> {
    const { config } = this.#request;
    const { step, perEpoch } = this.#session;
    const images = this.#images - this.#lastLog.images;
    const ms = this.#trainMs - this.#lastLog.trainMs;
    this.#lastLog = { images: this.#images, trainMs: this.#trainMs };
    const metric: StepMetric = {
      kind: 'step',
      step,
      epoch: Math.floor(step / perEpoch) + 1,
      epochs: config.epochs,
      stepInEpoch,
      stepsPerEpoch: perEpoch,
      loss: this.#loss ?? NaN,
      learningRate: learningRateAt(config, step),
      imagesPerSecond: (1000 * images) / ms,
    };
    await this.#recorder.metric({ ...metric });
    return metric;
  }

  /** The committed state, as a checkpoint. */
  async #checkpoint(): Promise<Checkpoint> {
    const checkpoint = await this.#session.checkpoint({ init: this.#init(), overridden: this.#overridden() });
    const unsound = unsoundField(checkpoint);
    if (unsound === null) return checkpoint;
    const what = `the training state (${unsound}) ceased to be finite by step ${String(checkpoint.step)}`;
    throw this.#commonEnd(this.#diverged(what));
  }

  #overridden(): string[] {
    const { resume, override } = this.#request;
    return [...new Set([...(resume?.overridden ?? []), ...(resume === null ? [] : override)])].sort();
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

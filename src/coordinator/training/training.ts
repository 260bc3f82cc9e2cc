/** A training run: commands stretches of steps to the group, and writes down what comes of them. */
import { messageOf, OperationalError } from '../../shared/errors.js';
import { counted, shellWord } from '../../shared/text.js';
import { CommonEnd, fromFirst, together } from '../session/agreement.js';
import { networkSha256, stateSha256, unsoundField, type Checkpoint } from '../checkpoint/checkpoint.js';
import { percentCorrect, type Accuracy, type Split } from '../session/evaluation.js';
import { arithmeticOf } from '../checkpoint/golden-hashes.js';
import type { EvaluationMetric, InitialWeights, StartMetric } from '../metrics/metrics.js';
import type { Progress, StepMetric, Summary, TrainMetric } from '../metrics/metrics.js';
import { RunFigures } from '../metrics/run-figures.js';
import { diverged, extended, hasLearnedNothing, learnedNothing } from './endings.js';
import { LostRank, Restarts } from './restarts.js';
import { refuseOtherBits, refuseTrainedFurther } from './resume.js';
import { RunRecorder } from './run-recorder.js';
import { Selection } from './selection.js';
import { Session } from '../session/session.js';
import { abortOf, stopOnSignal } from './stop-signal.js';
import type { TrainingRequest } from './training-request.js';

/** Steps of an epoch between two lines of the reference program. */
const referenceSteps = 100;

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
    if (await fromFirst(job, () => Promise.resolve(run.owesEvaluation))) yield await run.scoreEpoch();
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
  /** Where training ends: of all epochs, or that after which patience ended. */
  lastStep: number;
  /** Of the test set, at this step; null where it was not scored. */
  accuracy: Accuracy | null = null;
  /** Whether the run to go on with ended between the checkpoint of an epoch and its evaluation. */
  owesEvaluation = false;
  readonly #request: TrainingRequest;
  readonly #session: Session;
  readonly #recorder: RunRecorder;
  readonly #restarts: Restarts;
  readonly #figures: RunFigures;
  readonly #selection: Selection;
  /** Of the held-out rows, at this step. */
  #validation: Accuracy | null = null;
  readonly #startedAt = new Date();
  #evaluationMs = 0;

  constructor(request: TrainingRequest, session: Session) {
    const { config, maxSteps, maxRestarts, onNote, job, logEvery, resume, override } = request;
    this.#request = request;
    this.#session = session;
    this.#recorder = new RunRecorder(request.folder, onNote);
    // Other processes may have committed the step that this one would have to do again.
    this.#restarts = new Restarts(session, { max: job === null ? maxRestarts : 0, onNote });
    this.#figures = new RunFigures(session, logEvery, resume);
    // Scores of other rows, or of another network, compare with none of this run.
    const comparable = !['validation', 'seed', 'data'].some((name) => override.includes(name));
    this.#selection = new Selection(config.patience, comparable ? (resume?.best ?? null) : null);
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
    refuseTrainedFurther(resume, this.lastStep);
    refuseOtherBits(resume, { dataset, engine: engine.name, arithmetic: arithmeticOf(engine) }, override);
    // The evaluation of that very step is one of this run only where an epoch ends, and is not to be made once more; but a score of
    // held-out rows is no part of the checkpoint, which comes first.
    const goesOn = resume.step < this.lastStep;
    const atEnd = resume.step > 0 && resume.step % perEpoch === 0 && goesOn;
    const evaluated = atEnd && config.validation === 0;
    // Nor is the mean over a part of an interval, with which a run ended that now goes on.
    const dropped = [
      ...(evaluated ? [] : ['evaluation']),
      ...(this.#figures.hasOpenInterval && goesOn ? ['step'] : []),
    ];
    const missing = await folder?.cutMetrics(resume.step, dropped);
    this.owesEvaluation = evaluated ? missing === true : atEnd;
    await folder?.cutBest(resume.step);
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
    if (this.#scoresHeldOut && this.#validation === null) yield await this.scoreEpoch();
    yield await this.#evaluate('test');
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
    if (stepInEpoch !== 0 && stepInEpoch % referenceSteps === 0) yield this.#figures.batch();
    if (this.#figures.lineIsDue(step === this.lastStep)) yield await this.#log();
    if (stepInEpoch === 0 || step === this.lastStep) {
      // The checkpoint comes first: an evaluation may take long, and what comes in it must not cost the epoch.
      let unsaved = await this.#saveEpoch();
      yield await this.scoreEpoch();
      // Only now is it known to be the last one.
      if (step === this.lastStep && this.#recorder.savedStep !== step) unsaved = await this.#saveEpoch();
      if (step === this.lastStep && this.#scoresHeldOut) yield await this.#evaluate('test');
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

  /** Scores the network after an epoch, or at the end of the run within one: on the held-out rows, or else on the test set. */
  async scoreEpoch(): Promise<EvaluationMetric> {
    if (!this.#scoresHeldOut) return this.#evaluate('test');
    const metric = await this.#evaluate('validation');
    const { step, epoch, correct, total, loss } = metric;
    const ends = step > 0 && step % this.#session.perEpoch === 0;
    const isBest = this.#selection.consider({ step, epoch, correct, total, loss }, ends);
    if (isBest && this.#request.keepBest) await this.#recorder.best(await this.#checkpoint());
    if (ends && step < this.lastStep && this.#selection.isExhausted(epoch)) this.#endEarly(epoch);
    return metric;
  }

  get #scoresHeldOut(): boolean {
    return this.#request.config.validation > 0;
  }

  #endEarly(epoch: number): void {
    const { folder, config, onNote } = this.#request;
    this.lastStep = this.#session.step;
    if (folder === null) return;
    const epochs = counted(config.patience, 'epoch');
    const best = String(this.#selection.best?.epoch);
    onNote(`training ends after epoch ${String(epoch)}: ${epochs} without a better score than that of epoch ${best}`);
  }

  async #evaluate(split: Split): Promise<EvaluationMetric> {
    this.#tell('evaluation');
    const start = performance.now();
    const accuracy = await this.#withRestarts(() => this.#session.evaluate(split));
    this.#evaluationMs += performance.now() - start;
    if (accuracy === null) throw await this.#abort();
    if (split === 'test') this.accuracy = accuracy;
    else this.#validation = accuracy;
    const { step, perEpoch } = this.#session;
    const epoch = Math.ceil(step / perEpoch);
    const trainLoss = this.#figures.lossOfEpoch;
    const metric: EvaluationMetric = { kind: 'evaluation', split, step, epoch, ...accuracy, trainLoss };
    await this.#recorder.metric({ ...metric });
    return metric;
  }

  /** Writes the summary and returns it. */
  async summary(): Promise<Summary> {
    const { config, engine, folder, job, version, node, onNote } = this.#request;
    const { allWorkers, dataset, simd, step } = this.#session;
    const { trainMs, images } = this.#figures;
    if (this.accuracy === null) throw new Error('a summary needs an evaluation');
    const saved = this.#session.save();
    const { best } = this.#selection;
    const { loss: testLoss, ...accuracy } = this.accuracy;
    const summary: Summary = {
      kind: 'summary',
      ...accuracy,
      testLoss,
      validation: this.#validation,
      best: best && { ...best, accuracy: percentCorrect(best) },
      dataset,
      step,
      steps: step,
      config,
      init: this.#init(),
      overridden: this.#overridden(),
      workers: allWorkers,
      processes: job?.processes ?? 1,
      engine: engine.name,
      simdBits: simd?.bits ?? null,
      version,
      node,
      startedAt: this.#startedAt.toISOString(),
      endedAt: new Date().toISOString(),
      imagesPerSecond: trainMs === 0 ? 0 : (1000 * images) / trainMs,
      trainSeconds: trainMs / 1000,
      evaluationSeconds: this.#evaluationMs / 1000,
      traffic: (await job?.traffic()) ?? null,
      trainLoss: this.#figures.lossOfEpoch,
      parametersSha256: await networkSha256({ config, ...saved }),
      stateSha256: await stateSha256({ step, ...saved }),
      out: folder?.directory ?? '',
    };
    await this.#recorder.summary({ ...summary });
    if (folder !== null && hasLearnedNothing(summary)) onNote(learnedNothing(summary));
    return summary;
  }

  #nextStop(): number {
    const { checkpointEvery, logEvery, wantsCheckpoint, onProgress } = this.#request;
    const { step, perEpoch } = this.#session;
    const epochStart = step - (step % perEpoch);
    const next = (every: number, start = epochStart): number => start + nextMultiple(every, step - start);
    const nextCheckpoint = checkpointEvery === undefined ? Infinity : next(checkpointEvery, 0);
    const nextFigures = this.#figures.nextStop(onProgress !== undefined || wantsCheckpoint !== undefined);
    const due = [next(referenceSteps), next(logEvery), nextCheckpoint, nextFigures];
    return Math.min(...due, epochStart + perEpoch, this.lastStep);
  }

  /** Trains up to step `end`, or less where the group was asked to stop. */
  async #train(end: number): Promise<void> {
    this.accuracy = null;
    this.#validation = null;
    await this.#withRestarts(async () => {
      const start = performance.now();
      try {
        await this.#session.trainTo(end);
      } finally {
        this.#figures.count(performance.now() - start);
      }
    });
    this.#throwIfNotFinite();
  }

  #tell(phase: Progress['phase']): void {
    this.#request.onProgress?.(this.#figures.progress(phase, this.lastStep));
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
    if (this.#figures.lineIsDue(this.#session.step === this.lastStep)) await this.#log();
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
    return extended(error, `${restarts}${saved}`);
  }

  #throwIfNotFinite(): void {
    const { notFinite, step } = this.#session;
    if (notFinite === null) return;
    const what = `the gradient or the parameters of ${notFinite} became infinite or NaN in step ${String(step + 1)}`;
    throw this.#commonEnd(this.#diverged(`${what}; the step was not applied`));
  }

  #diverged(what: string): OperationalError {
    const { config, folder, resume } = this.#request;
    const none = this.#recorder.savedStep === null && resume === null;
    return diverged(what, { config, step: this.#session.step, kept: none ? null : (folder?.directory ?? '') });
  }

  /** What to throw for a reason that all processes have. */
  #commonEnd(reason: unknown): unknown {
    return this.#request.job === null ? reason : new CommonEnd(reason);
  }

  async #log(): Promise<StepMetric> {
    const metric = this.#figures.line();
    await this.#recorder.metric({ ...metric });
    return metric;
  }

  /** The committed state, as a checkpoint. */
  async #checkpoint(): Promise<Checkpoint> {
    const history = {
      init: this.#init(),
      overridden: this.#overridden(),
      losses: this.#figures.saveLosses(),
      keepBest: this.#request.keepBest,
      best: this.#selection.best,
    };
    const checkpoint = await this.#session.checkpoint(history);
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

/** The next multiple of `every` after a count. */
function nextMultiple(every: number, count: number): number {
  return (Math.floor(count / every) + 1) * every;
}

/** From the options of `train` to a request whose files are open and whose engine is proven. */
import { hostname } from 'node:os';
import type { Checkpoint } from '../../coordinator/node/checkpoint-files.js';
import { describeMachine, machineSummary } from '../../coordinator/node/machine.js';
import { nodeHost } from '../../coordinator/node/node-host.js';
import type { RunFolder } from '../../coordinator/node/run-folder.js';
import { parseDevices, parseWorkers, resolveGroupSize, type Workers } from '../../coordinator/node/topology.js';
import { fromFirst } from '../../coordinator/session/agreement.js';
import { defaultLogEvery } from '../../coordinator/metrics/losses.js';
import type { TrainingRequest } from '../../coordinator/training/training-request.js';
import { checkProcesses, checkSelection, integer } from '../../coordinator/validate.js';
import { processName, type Job } from '../../shared/group/job.js';
import type { Device } from '../../shared/group/protocol.js';
import type { TrainConfig } from '../../shared/model/config.js';
import { leafCount } from '../../shared/sums/tree.js';
import { selectEngine, selectEngineToResume, type SelectedEngine } from '../engines/engines.js';
import { version } from '../version.js';
import { datasetOf, ignore, positive, workersOn } from '../options.js';
import { changed, configOf, openFolder, openStart } from './starting-point.js';
import type { TrainOptions } from './train-options.js';

const defaultMaxRestarts = 3;

export interface PreparedTraining extends TrainingRequest {
  /** To be closed. Null in all processes but the first, which alone reads and writes the files of runs. */
  readonly folder: RunFolder | null;
}

/** @throws OperationalError; nothing is left open then */
export async function prepareTraining(
  job: Job | null,
  timeoutMs: number,
  options: TrainOptions,
): Promise<PreparedTraining> {
  const { resumed, init } = await fromFirst(job, () => openStart(options));
  const resume = resumed?.checkpoint ?? null;
  const config = configOf(resume, options);
  // Of a run that goes on without held-out rows, as it may by `override`, there is no best any more.
  const keepBest = options.keepBest === true || (resume?.keepBest === true && config.validation > 0);
  checkSelection(config, keepBest);
  if (resume !== null && config.validation > 0 && holdsOutOthers(resume.config, config)) {
    options.onNote?.(
      'warning: rows that are held out now were trained on before: their score is better than it should be',
    );
  }
  if (job !== null) checkProcesses(job.processes, config);
  const maxSteps = positive('maxSteps', options.maxSteps);
  const logEvery = positive('logEvery', options.logEvery) ?? resume?.losses?.logEvery ?? defaultLogEvery;
  const checkpointEvery = positive('checkpointEvery', options.checkpointEvery);
  const maxRestarts = integer('maxRestarts', options.maxRestarts ?? defaultMaxRestarts, 0, 1_000_000);
  const group = await selectGroup(options, config, job?.processes ?? 1, resume);
  const dataset = await datasetOf(options.data);
  const first = job === null || job.process === 0;
  const folder = first ? await openFolder(options, resumed) : null;
  return {
    host: nodeHost,
    ...group,
    config,
    dataset,
    folder,
    job,
    version,
    node: process.versions.node,
    hosts: job?.hosts ?? [hostname()],
    machine: describeMachine({ thorough: false, timeoutMs: 2000 }).then(machineSummary),
    init: init === null ? null : { file: init.path, parametersSha256: init.parametersSha256, ...init.weights },
    resume,
    override: options.override ?? [],
    maxSteps,
    checkpointEvery,
    logEvery,
    keepBest,
    maxRestarts,
    timeoutMs,
    signal: options.signal,
    onNote: noteOf(job, options),
    wantsCheckpoint: first ? options.wantsCheckpoint : undefined,
    onProgress: first ? options.onProgress : undefined,
  };
}

/** Whether other rows are held out. */
function holdsOutOthers(one: TrainConfig, other: TrainConfig): boolean {
  return one.validation !== other.validation || one.seed !== other.seed;
}

/** Who computes: the engine, and on how many workers and which devices. */
interface Group extends SelectedEngine {
  readonly groupSize: number;
  /** Core of each rank, see `SessionRequest`. */
  readonly cores: readonly (number | null)[];
}

async function selectGroup(
  options: TrainOptions,
  config: TrainConfig,
  processes: number,
  resume: Checkpoint | null,
): Promise<Group> {
  const { override = [], onNote = ignore } = options;
  const { asked, workers, most, devices } = askedWorkers(options, config, processes, resume);
  const selecting = { workers, devices, onNote };
  const selected =
    resume === null
      ? await selectEngine(options.engine, selecting)
      : await selectEngineToResume(resume.engine, override.includes('engine'), options.engine, selecting);
  const groupSize = workersOn(selected, asked, workers, most);
  if (followsWorkers(resume, config, options) && resume.worldSize !== groupSize) {
    throw changed('workers', resume.worldSize, groupSize);
  }
  const cores = (devices ?? []).map((device) => (device.kind === 'cpu' ? device.core : null));
  return { ...selected, groupSize, cores };
}

function askedWorkers(
  options: TrainOptions,
  config: TrainConfig,
  processes: number,
  resume: Checkpoint | null,
): { asked: Workers; workers: number; most: number; devices: Device[] | null } {
  const left = followsWorkers(resume, config, options) && options.devices === undefined ? resume.worldSize : 'auto';
  const asked = parseWorkers(options.workers === undefined || options.workers === 'auto' ? left : options.workers);
  const devices = options.devices === undefined ? null : parseDevices(options.devices, asked);
  const workers = resolveGroupSize(asked, devices, config, { resumed: resume !== null });
  // A thread without a micro-batch would idle.
  const most = Math.ceil(leafCount(config.batchSize, config.microBatch) / processes);
  const chosen = asked !== 'auto' || devices !== null;
  return { asked, workers: chosen ? workers : Math.min(workers, most), most, devices };
}

/** Whether a run to resume goes on with as many workers only: with statistics of each worker's shard. */
function followsWorkers(
  resume: Checkpoint | null,
  { batchNorm }: TrainConfig,
  { override = [] }: TrainOptions,
): resume is Checkpoint {
  return resume !== null && batchNorm === 'local' && !override.includes('workers');
}

/** Where notes go, which name the process that says them where that is not the first. */
function noteOf(job: Job | null, { onNote = ignore }: TrainOptions): (text: string) => void {
  if (job === null || job.process === 0) return onNote;
  const name = processName(job, job.process);
  return (text) => {
    onNote(`${name}: ${text}`);
  };
}

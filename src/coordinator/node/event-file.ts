/**
 * The bytes of TensorBoard's event files: records as TensorFlow frames them, of messages `Event` as event.proto and summary.proto
 * in https://github.com/tensorflow/tensorboard/tree/master/tensorboard/compat/proto have them.
 *
 *   8  length of the message, little-endian uint64
 *   4  masked CRC-32C of these 8 bytes, little-endian uint32
 *   .. the message
 *   4  masked CRC-32C of the message
 */
import { PbfWriter } from 'pbf';
import type { Metric } from '../training/run-recorder.js';
import { figuresOf, type FigureName } from './metric-figures.js';

/** What TensorBoard calls each figure; what stands before a slash groups its charts. */
const tags: Readonly<Partial<Record<FigureName, string>>> = {
  loss: 'loss/train',
  trainLoss: 'loss/epoch',
  validationLoss: 'loss/validation',
  testLoss: 'loss/test',
  validationAccuracy: 'accuracy/validation',
  testAccuracy: 'accuracy/test',
  learningRate: 'learning rate',
  imagesPerSecond: 'images per second',
};

/**
 * What a file begins with: its version, and that a session starts, which has TensorBoard forget what earlier files of the folder
 * say of that step and later ones.
 * @param seconds since 1970
 */
export function eventFileHead(step: number, seconds: number): Uint8Array {
  const version = eventRecord(seconds, 0, (event) => {
    event.writeStringField(3, 'brain.Event:2');
  });
  const start = eventRecord(seconds, step, (event) => {
    event.writeMessage(7, writeSessionLog, sessionStart);
  });
  return Buffer.concat([version, start]);
}

/** SessionLog.SessionStatus.START */
const sessionStart = 1;

/**
 * The figures of a metric as scalars at its step; nothing of one that has none.
 * @param before the evaluation that was written last: where the test set is scored after the held-out rows, both have the loss of the
 *   epoch, which is told once
 */
export function scalarEvent(metric: Metric, before: Metric | null, seconds: number): Uint8Array {
  const repeats = metric['kind'] === 'evaluation' && before?.step === metric.step;
  const scalars = [...figuresOf(metric)].flatMap(([name, value]) => {
    const tag = tags[name];
    return tag === undefined || (repeats && name === 'trainLoss') ? [] : [{ tag, value }];
  });
  if (scalars.length === 0) return new Uint8Array(0);
  return eventRecord(seconds, metric.step, (event) => {
    event.writeMessage(5, writeSummary, scalars);
  });
}

function writeSessionLog(status: number, log: PbfWriter): void {
  log.writeVarintField(1, status);
}

interface Scalar {
  readonly tag: string;
  readonly value: number;
}

function writeSummary(scalars: readonly Scalar[], summary: PbfWriter): void {
  for (const scalar of scalars) summary.writeMessage(1, writeValue, scalar);
}

function writeValue({ tag, value }: Scalar, message: PbfWriter): void {
  message.writeStringField(1, tag);
  message.writeFloatField(2, value);
}

function eventRecord(seconds: number, step: number, write: (event: PbfWriter) => void): Uint8Array {
  const event = new PbfWriter();
  event.writeDoubleField(1, seconds);
  event.writeVarintField(2, step);
  write(event);
  const message = event.finish();
  const record = Buffer.alloc(message.length + 16);
  record.writeBigUInt64LE(BigInt(message.length), 0);
  record.writeUInt32LE(maskedCrc32c(record.subarray(0, 8)), 8);
  record.set(message, 12);
  record.writeUInt32LE(maskedCrc32c(message), 12 + message.length);
  return record;
}

/** So that a CRC which is stored with what it is of can be taken of both. */
function maskedCrc32c(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

/** CRC-32C (Castagnoli), which zlib's is not. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return (crc ^ 0xffffffff) >>> 0;
}

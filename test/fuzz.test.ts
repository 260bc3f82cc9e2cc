/**
 * Files of data, pictures, checkpoints and metrics that are damaged, made up, or made to blow up, the same every time: always
 * a clear error or a whole value, in time and memory that their size accounts for. Those of weights: fuzz-weights.test.ts.
 */
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { deflateSync, gzipSync } from 'node:zlib';
import { pack } from 'msgpackr';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parametersSha256 } from '../src/coordinator/checkpoint/checkpoint.js';
import { decodeCheckpoint, encodeCheckpoint } from '../src/coordinator/checkpoint/checkpoint-format.js';
import { locateDataset, openDataset } from '../src/coordinator/node/dataset-files.js';
import { decodePicture } from '../src/images/decode.js';
import { findDigits } from '../src/images/digits.js';
import { readPictures } from '../src/images/pictures.js';
import { parseMetrics } from '../src/coordinator/metrics/metric-lines.js';
import { renderReport } from '../src/report/report.js';
import type { StepPoint, EvaluationPoint } from '../src/report/report-data.js';
import { defaultConfig } from '../src/shared/model/config.js';
import { parseIdxHeader } from '../src/shared/idx.js';
import { batchNormChannels, parameterCount } from '../src/shared/model/network.js';
import { damaged, many, pick, readWithin, type Outcome, type Random } from './support/inputs/fuzz.js';
import { cutIdx, idxHeader, idxNames, temporaryDirectory, writeIdxSet } from './support/inputs/idx-files.js';
import { mnistRows } from './support/inputs/mnist.js';
import { emptyPng, inkOnPaper, pngChunk } from './support/inputs/pictures.js';
import { exampleReport } from './support/inputs/report-data.js';

let directory: string;
let remove: () => Promise<void>;
beforeAll(async () => {
  ({ directory, remove } = await temporaryDirectory());
});
afterAll(async () => {
  await remove();
});

describe('IDX', () => {
  it('headers, made up', async () => {
    const outcomes = await many(5000, 1, (random, i) => {
      const head = new Uint8Array(random() % 20).map(() => random());
      // Half of them begin as an IDX file does.
      if (i % 2 === 0) head.set([0, 0, 8, 1 + (random() % 4)].slice(0, head.length));
      const length = random() % 3 === 0 ? null : head.length + (random() % 2000);
      return readWithin(head.length, () => {
        const { headerLength, count } = parseIdxHeader(i % 4 < 2 ? 'images' : 'labels', 'f', head, length);
        expect(headerLength + count).toBeLessThanOrEqual(length ?? Infinity);
      });
    });
    expect(outcomes.refused).toBeGreaterThan(4000);
  });

  /** As `data` reads a set in which one file is that, or as `predict` reads it. */
  async function read(bytes: Uint8Array, part: number, command: 'train' | 'predict'): Promise<Outcome> {
    const file = join(directory, idxNames[part] ?? '');
    await writeFile(file, bytes);
    return readWithin(bytes.length, async () => {
      if (command === 'predict') {
        const { sources } = await readPictures([file]);
        const [source] = sources;
        if (source?.error) throw source.error;
        return sources;
      }
      const { trainCount, testCount, load } = await openDataset(await locateDataset(directory));
      const offsets = { trainImages: 0, trainLabels: 784 * trainCount, testImages: 785 * trainCount };
      const testLabels = offsets.testImages + 784 * testCount;
      return load(new SharedArrayBuffer(testLabels + testCount), { ...offsets, testLabels });
    });
  }

  it.each(['train', 'predict'] as const)('damaged, plain and compressed: %s', async (command) => {
    await writeIdxSet(directory, 4, 2);
    const wholes = await Promise.all(idxNames.map((name) => cutIdx(name, name.startsWith('train') ? 4 : 2)));
    const outcomes = await many(300, 2, async (random, i) => {
      const part = command === 'predict' ? 0 : i % 4;
      const whole = wholes[part] ?? new Uint8Array(0);
      const bytes = pick(random, [
        () => damaged(whole, random),
        () => damaged(whole, random, 0, 20),
        () => damaged(gzipSync(whole), random),
        () => gzipSync(damaged(whole, random, 0, 20)),
      ])();
      const outcome = await read(bytes, part, command);
      await writeFile(join(directory, idxNames[part] ?? ''), whole);
      return outcome;
    });
    expect(outcomes.read).toBeGreaterThan(5);
    expect(outcomes.refused).toBeGreaterThan(100);
  });

  const zeros = gzipSync(Buffer.alloc(64 * 2 ** 20), { level: 1 });
  it.each(['train', 'predict'] as const)('made to blow up: %s', async (command) => {
    for (const bytes of [
      idxHeader(0x803, 0xffffffff, 28, 28),
      idxHeader(0x803, 200_000, 28, 28),
      gzipSync(idxHeader(0x803, 0xffffffff, 28, 28)),
      gzipSync(idxHeader(0x803, 200_000, 28, 28)),
      Buffer.concat([gzipSync(idxHeader(0x803, 1, 28, 28)), zeros]),
      zeros,
      Buffer.concat(new Array<Buffer>(50_000).fill(gzipSync(''))),
    ]) {
      await writeIdxSet(directory, 4, 2);
      expect(await read(bytes, 0, command)).toBe('refused');
    }
  });
});

describe('pictures', async () => {
  const { images } = mnistRows('t10k', 0, 1);
  const png = await inkOnPaper(images, 60).png().toBuffer();
  const jpeg = await inkOnPaper(images, 60).jpeg().toBuffer();
  const progressive = await inkOnPaper(images, 60).jpeg({ progressive: true }).toBuffer();

  function read(bytes: Uint8Array): Promise<Outcome> {
    return readWithin(bytes.length, async () => findDigits((await decodePicture('picture', bytes)).picture));
  }

  it.each([
    ['PNG', png],
    ['JPEG', jpeg],
    ['progressive JPEG', progressive],
  ])('damaged: %s', async (_, whole) => {
    const outcomes = await many(150, 31, (random) => read(damaged(whole, random)));
    expect(outcomes.refused).toBeGreaterThan(30);
  });

  it('damaged PNG whose checksums fit', async () => {
    const head = png.subarray(16, 29);
    const outcomes = await many(150, 32, (random) => {
      const data = deflateSync(damaged(Buffer.alloc(61 * 60, 200), random));
      const chunks = [
        pngChunk('IHDR', damaged(head, random)),
        pngChunk('IDAT', data),
        pngChunk('IEND', Buffer.alloc(0)),
      ];
      return read(Buffer.concat([png.subarray(0, 8), ...chunks]));
    });
    expect(outcomes.refused).toBeGreaterThan(30);
  });

  it('made to blow up', async () => {
    const scan = progressive.subarray(progressive.lastIndexOf(Buffer.from([0xff, 0xda])), -2);
    const sized = (width: number, height: number): Buffer => {
      const copy = Buffer.from(progressive);
      const frame = copy.indexOf(Buffer.from([0xff, 0xc2]));
      copy.writeUInt16BE(height, frame + 5);
      copy.writeUInt16BE(width, frame + 7);
      return copy;
    };
    for (const bytes of [
      emptyPng(100_000, 100_000),
      emptyPng(7000, 7000),
      emptyPng(0x7fffffff, 1),
      emptyPng(1, 0x7fffffff),
      sized(65_535, 65_535),
      sized(7000, 7000),
      Buffer.concat([
        sized(7000, 7000).subarray(0, -2),
        ...new Array<Buffer>(500).fill(scan),
        progressive.subarray(-2),
      ]),
    ]) {
      expect(await read(bytes)).toBe('refused');
    }
  });
});

describe('checkpoints', () => {
  const config = { ...defaultConfig };
  const floats = new Float32Array(parameterCount);

  /** A payload under a checksum that fits. */
  function fileOf(payload: Uint8Array): Buffer {
    const head = Buffer.alloc(16);
    head.write('mnistddp');
    head.writeUInt32LE(1, 8);
    head.writeUInt32LE(payload.length, 12);
    return Buffer.concat([head, createHash('sha256').update(payload).digest(), payload]);
  }

  function read(bytes: Uint8Array): Promise<Outcome> {
    return readWithin(bytes.length, () => decodeCheckpoint(bytes), ['CheckpointFormatError']);
  }

  async function whole(): Promise<Uint8Array> {
    return encodeCheckpoint({
      ...{
        config,
        dataset: 'mnist',
        engine: 'wasm',
        arithmetic: null,
        step: 3,
        worldSize: 2,
        init: null,
        overridden: [],
        losses: { logEvery: 100, interval: { steps: 2, sum: 3.5 }, epoch: { steps: 3, sum: 5 } },
        keepBest: true,
        average: null,
        best: { step: 2, epoch: 1, correct: 9, total: 10, loss: 1.5 },
      },
      ...{ parameters: floats, firstMoments: floats, secondMoments: floats },
      runningStatistics: [new Float32Array(2 * batchNormChannels)],
      ...{ beta1Power: 0.7, beta2Power: 0.9, parametersSha256: await parametersSha256(floats) },
    });
  }

  it('made up', async () => {
    const outcomes = await many(2000, 41, (random, i) => {
      const payload = Buffer.from(new Uint8Array(random() % 400).map(() => random()));
      // A map of a few entries to begin with, so that decoding goes deeper.
      if (payload.length > 0 && i % 2 === 0) payload[0] = 0x80 | (random() % 16);
      return read(fileOf(payload));
    });
    expect(outcomes).toEqual({ read: 0, refused: 2000 });
  });

  it('damaged under a checksum that fits', async () => {
    const bytes = await whole();
    const payload = bytes.subarray(48);
    // Up to the parameters, which would make each take long.
    const small = payload.subarray(0, Buffer.from(payload).indexOf('parameters\xc6', 0, 'latin1'));
    expect(await many(1500, 42, (random) => read(fileOf(damaged(small, random))))).toEqual({ read: 0, refused: 1500 });
    const outcomes = await many(10, 43, (random) => read(fileOf(damaged(payload, random, 0, small.length))));
    expect(outcomes.refused).toBeGreaterThan(3);
    expect(await many(6, 44, (random) => read(damaged(bytes, random)))).toEqual({ read: 0, refused: 6 });
  });

  it.each<[string, () => unknown]>([
    ['tensors that are bytes', () => ({ tensors: Buffer.alloc(30 * 2 ** 20) })],
    ['tensors with names of bytes', () => ({ tensors: [{ name: Buffer.alloc(10 * 2 ** 20), shape: [] }] })],
    ['tensors with shapes of bytes', () => ({ tensors: [{ name: 'a', shape: Buffer.alloc(10 * 2 ** 20) }] })],
    ['tensors with large integers', () => ({ tensors: [{ name: 'conv1.weight', shape: [2n ** 63n] }] })],
    ['tensors that are text', () => ({ tensors: 'x'.repeat(10 * 2 ** 20) })],
    ['many tensors', () => ({ tensors: new Array(4000).fill({}) })],
  ])('made to blow up: %s', async (_, fields) => {
    expect(await read(fileOf(pack(fields())))).toBe('refused');
  });

  it('made to blow up: headers that ask for more than there is', async () => {
    for (const bytes of [
      [0xdd, 0xff, 0xff, 0xff, 0xff],
      [0xdf, 0xff, 0xff, 0xff, 0xff],
      [0xc6, 0xff, 0xff, 0xff, 0xff],
      [0xdb, 0xff, 0xff, 0xff, 0xff],
      new Array<number>(1_000_000).fill(0x91),
      new Array<number>(1_000_000).fill(0x81),
    ]) {
      expect(await read(fileOf(Buffer.from(bytes)))).toBe('refused');
    }
  });
});

describe('metrics, as the report reads them', () => {
  const step = (at: number): string =>
    JSON.stringify({ kind: 'step', step: at, loss: 1.5, learningRate: 1e-3, imagesPerSecond: 800 });
  const evaluation = (at: number): string =>
    JSON.stringify({ kind: 'evaluation', step: at, epoch: at, accuracy: 97.5 });
  const start = JSON.stringify({ kind: 'start', step: 0, machine: [['Processor', 'A']] });
  const whole = [start, step(100), step(200), evaluation(469), step(600), evaluation(938)].join('\n');

  function read(text: string, render: boolean): Promise<Outcome> {
    return readWithin(text.length, async () => {
      const metrics = parseMetrics(text, 6097);
      const steps = metrics.filter((metric): metric is StepPoint & typeof metric => metric.kind === 'step');
      const evaluations = metrics.filter(
        (metric): metric is EvaluationPoint & typeof metric => metric.kind === 'evaluation',
      );
      for (const { loss, learningRate, imagesPerSecond } of steps) {
        expect([loss, learningRate, imagesPerSecond].every(Number.isFinite)).toBe(true);
      }
      if (!render) return;
      const html = await renderReport(exampleReport({ step: 6097, stepsPerEpoch: 469, steps, evaluations }));
      expect(html).toMatch(/^<!doctype html>/);
    });
  }

  it('damaged', async () => {
    const text = (random: Random): string => Buffer.from(damaged(Buffer.from(whole), random)).toString();
    expect(await many(2000, 51, (random) => read(text(random), false))).toEqual({ read: 2000, refused: 0 });
    expect(await many(5, 52, (random) => read(text(random), true))).toEqual({ read: 5, refused: 0 });
  });

  it('made up of odd numbers', async () => {
    const number = (random: Random): number =>
      pick(random, [0, -1, 1, 5e-324, 1e-300, 1e300, 1.7e308, -1.7e308, 0.5, 2 ** 53, 100, 6097]);
    const outcomes = await many(10, 53, (random) => {
      const lines = Array.from({ length: random() % 30 }, () => {
        const shared = { step: pick(random, [0, 1, 100, 469, 6097, number(random)]), epoch: number(random) };
        const rest = {
          loss: number(random),
          learningRate: number(random),
          imagesPerSecond: number(random),
          accuracy: number(random),
        };
        return JSON.stringify({ kind: pick(random, ['step', 'evaluation']), ...shared, ...rest });
      });
      return read(lines.join('\n'), true);
    });
    expect(outcomes).toEqual({ read: 10, refused: 0 });
  });

  it.each<[string, () => string]>([
    ['many lines', () => Array.from({ length: 150_000 }, (_, i) => (i % 20 ? step : evaluation)(i % 6000)).join('\n')],
    ['an endless line', () => `{"kind":"start","step":0,"machine":${'['.repeat(1_000_000)}${']'.repeat(1_000_000)}}`],
    [
      'a long description',
      () => JSON.stringify({ ...(JSON.parse(start) as object), machine: new Array(100_000).fill(['a', 'b']) }),
    ],
    ['numbers that are infinite', () => whole.replaceAll('1.5', '1e999').replaceAll('97.5', '1e999')],
    ['empty lines', () => '\n'.repeat(1_000_000)],
  ])('made to blow up: %s', async (_, text) => {
    expect(await read(text(), true)).toBe('read');
  });
});

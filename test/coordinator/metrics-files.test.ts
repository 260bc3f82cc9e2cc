/** The metrics of a run as lines, as a table, and as what TensorBoard reads: test/golden/read_events.py has its own reader's word. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PbfReader } from 'pbf';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { crc32c } from '../../src/coordinator/node/event-file.js';
import { MetricsFiles } from '../../src/coordinator/node/metrics-files.js';
import type { Metric } from '../../src/coordinator/training/run-recorder.js';
import { appendToFile } from '../../src/files/append-file.js';
import { operationalError } from '../support/compute/errors.js';
import { temporaryDirectory } from '../support/inputs/idx-files.js';

let directory: string;
let remove: () => Promise<void>;

beforeEach(async () => {
  ({ directory, remove } = await temporaryDirectory());
});
afterEach(async () => {
  vi.useRealTimers();
  await remove();
});

const start: Metric = { kind: 'start', step: 0, engine: 'wasm' };
const stepOf = (step: number): Metric => ({
  ...{ kind: 'step', step, epoch: Math.ceil(step / 8), loss: 2 + 1 / step, steps: 4, learningRate: 1e-3 },
  imagesPerSecond: 900 + step,
});
const evaluationOf = (step: number, split: string): Metric => ({
  ...{ kind: 'evaluation', split, step, epoch: step / 8, correct: 90, total: 100, accuracy: 90 + step / 100 },
  ...{ loss: 1.5 + 1 / step, trainLoss: 1.75 },
});
const all = [start, stepOf(4), stepOf(8), evaluationOf(8, 'validation'), stepOf(12), stepOf(16)].concat(
  evaluationOf(16, 'validation'),
  evaluationOf(16, 'test'),
);

async function write(metrics: readonly Metric[], tensorboard = false): Promise<MetricsFiles> {
  const files = new MetricsFiles(directory, { tensorboard });
  for (const metric of metrics) await files.append(metric);
  return files;
}

const csv = (): Promise<string> => readFile(join(directory, 'metrics.csv'), 'utf8');

describe('metrics.csv', () => {
  it('is a table with a row for each line that has figures, and a cell for each figure', async () => {
    await write(all);
    const [head, ...rows] = (await csv()).trimEnd().split('\n');
    expect(head).toBe(
      'step,epoch,loss,steps,learningRate,imagesPerSecond,validationAccuracy,validationLoss,testAccuracy,testLoss,trainLoss',
    );
    expect(rows).toEqual([
      '4,1,2.25,4,0.001,904,,,,,',
      '8,1,2.125,4,0.001,908,,,,,',
      '8,1,,,,,90.08,1.625,,,1.75',
      `12,2,${String(2 + 1 / 12)},4,0.001,912,,,,,`,
      '16,2,2.0625,4,0.001,916,,,,,',
      '16,2,,,,,90.16,1.5625,,,1.75',
      '16,2,,,,,,,90.16,1.5625,1.75',
    ]);
  });

  it('is cut back as the lines are, half a row too, and is made up for where it is not there', async () => {
    await write(all.slice(0, 4));
    const kept = await csv();
    for (const spoilt of [true, false]) {
      await rm(join(directory, 'metrics.jsonl'));
      await rm(join(directory, 'metrics.csv'));
      const files = await write(all);
      if (spoilt) await writeFile(join(directory, 'metrics.csv'), '\n17,2,', { flag: 'a' });
      else await rm(join(directory, 'metrics.csv'));
      expect(await files.cut(8, [])).toBe(false);
      expect(await csv()).toBe(kept);
      expect(await files.cut(8, ['evaluation'])).toBe(true);
      expect(await csv()).toBe(kept.split('\n').slice(0, 3).join('\n') + '\n');
    }
  });

  it.runIf(existsSync('/dev/full'))('that cannot be written costs no line of metrics.jsonl', async () => {
    await symlink('/dev/full', join(directory, 'metrics.csv'));
    const { code, message } = await operationalError(() => write([stepOf(4)]));
    expect([code, message]).toEqual(['OUT_NOT_WRITABLE', expect.stringContaining('metrics.csv: the disk is full')]);
    expect(await readFile(join(directory, 'metrics.jsonl'), 'utf8')).toBe(`${JSON.stringify(stepOf(4))}\n`);
  });
});

it('what a full disk cuts short is taken back, so that the next line is whole', async () => {
  const path = join(directory, 'lines');
  await appendToFile(path, 'one\n');
  const { open } = await import('node:fs/promises');
  const handle = await open(path);
  const prototype = Object.getPrototypeOf(handle) as typeof handle;
  await handle.close();
  vi.spyOn(prototype, 'appendFile').mockImplementationOnce(async function (this: typeof handle) {
    await this.write('tw');
    throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
  });
  expect((await operationalError(() => appendToFile(path, 'two\n'))).message).toContain('the disk is full');
  await appendToFile(path, 'three\n', 'head\n');
  expect(await readFile(path, 'utf8')).toBe('one\nthree\n');
});

interface Event {
  readonly step: number;
  readonly seconds: number;
  readonly version: string | null;
  /** Of SessionLog. */
  readonly status: number | null;
  readonly scalars: readonly (readonly [tag: string, value: number])[];
}

/** The events of a file, whose frames and checksums must fit. */
function eventsOf(bytes: Buffer): Event[] {
  const events: Event[] = [];
  const masked = (of: Uint8Array): number => {
    const crc = crc32c(of);
    return Number((BigInt((crc >>> 15) + ((crc << 17) >>> 0)) + 0xa282ead8n) & 0xffffffffn);
  };
  for (let at = 0; at < bytes.length;) {
    const length = Number(bytes.readBigUInt64LE(at));
    const message = bytes.subarray(at + 12, at + 12 + length);
    expect(bytes.readUInt32LE(at + 8)).toBe(masked(bytes.subarray(at, at + 8)));
    expect(bytes.readUInt32LE(at + 12 + length)).toBe(masked(message));
    events.push(eventOf(message));
    at += 16 + length;
  }
  return events;
}

function eventOf(message: Uint8Array): Event {
  const event = { step: 0, seconds: 0, version: null as string | null, status: null as number | null };
  const scalars: [string, number][] = [];
  new PbfReader(message).readFields((field, _, pbf) => {
    if (field === 1) event.seconds = pbf.readDouble();
    if (field === 2) event.step = pbf.readVarint();
    if (field === 3) event.version = pbf.readString();
    if (field === 5) {
      pbf.readMessage((value) => {
        if (value !== 1) return;
        const scalar: [string, number] = ['', NaN];
        pbf.readMessage((part) => {
          if (part === 1) scalar[0] = pbf.readString();
          if (part === 2) scalar[1] = pbf.readFloat();
        }, null);
        scalars.push(scalar);
      }, null);
    }
    if (field === 7) {
      pbf.readMessage((part) => {
        if (part === 1) event.status = pbf.readVarint();
      }, null);
    }
  }, null);
  return { ...event, scalars };
}

interface Figures {
  readonly files: Readonly<Record<string, string>>;
  readonly scalars: Readonly<Record<string, readonly (readonly [step: number, value: number, seconds: number])[]>>;
}

/** A run that was killed after its checkpoint of step 8 and goes on from there: what its metrics are, at fixed times. */
async function killedAndResumed(): Promise<string[]> {
  vi.useFakeTimers({ toFake: ['Date'] });
  vi.setSystemTime(1_700_000_000_000);
  const killed = new MetricsFiles(directory, { tensorboard: true });
  await killed.cut(-1, []);
  for (const metric of [...all.slice(0, 4), { ...stepOf(12), loss: 9 }, { ...stepOf(16), loss: 9 }]) {
    await killed.append(metric);
  }
  vi.setSystemTime(1_700_000_000_500);
  const resumed = new MetricsFiles(directory, { tensorboard: true });
  await resumed.cut(8, ['evaluation']);
  for (const metric of [{ ...start, step: 8 }, evaluationOf(8, 'validation'), ...all.slice(4)])
    await resumed.append(metric);
  return (await readdir(directory)).filter((name) => name.includes('tfevents')).sort();
}

describe('event files', () => {
  it('have the CRC-32C of RFC 3720', () => {
    expect(crc32c(new TextEncoder().encode('123456789'))).toBe(0xe3069283);
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
  });

  it("are, byte for byte, those in which TensorBoard's reader found the curves of the undisturbed run", async () => {
    const names = await killedAndResumed();
    const bytes = await Promise.all(names.map((name) => readFile(join(directory, name))));
    const folder = process.env['EVENT_FILES'];
    if (folder !== undefined) {
      await mkdir(folder, { recursive: true });
      for (const [i, name] of names.entries()) await writeFile(join(folder, name), bytes[i] ?? '');
    }
    const golden = JSON.parse(
      await readFile(new URL('../golden/tensorboard-figures.json', import.meta.url), 'utf8'),
    ) as Figures;
    const sums = names.map((name, i) => [
      name,
      createHash('sha256')
        .update(bytes[i] ?? '')
        .digest('hex'),
    ]);
    expect(Object.fromEntries(sums)).toEqual(golden.files);
    for (const [tag, points] of Object.entries(golden.scalars)) {
      expect(new Set(points.map(([step]) => step)).size, `${tag} has one value a step`).toBe(points.length);
    }
    const expected = all.flatMap(({ kind, split, step, ...metric }) => {
      if (kind === 'step') return [['loss/train', step, metric['loss']]];
      return kind === 'evaluation' ? [[`loss/${String(split)}`, step, metric['loss']]] : [];
    });
    const found = Object.entries(golden.scalars).flatMap(([tag, points]) =>
      /loss\/(train|validation|test)/.test(tag) ? points.map(([step, value]) => [tag, step, value]) : [],
    );
    const rounded = expected.map(([tag, step, loss]) => [tag, step, Math.fround(loss as number)]);
    const byTag = (points: readonly unknown[][]): unknown[][] =>
      points.toSorted(([a, s], [b, t]) => String(a).localeCompare(String(b)) || Number(s) - Number(t));
    expect(byTag(found)).toEqual(byTag(rounded));
  });

  it('begin with their version and a start that has later steps forgotten, and say of the step itself what stays', async () => {
    const [first = '', second = ''] = await killedAndResumed();
    const [of, ofResumed] = await Promise.all(
      [first, second].map(async (name) => eventsOf(await readFile(join(directory, name)))),
    );
    expect(of?.slice(0, 2)).toMatchObject([
      { version: 'brain.Event:2', step: 0 },
      { status: 1, step: 0 },
    ]);
    expect(ofResumed?.slice(0, 4)).toMatchObject([
      { version: 'brain.Event:2' },
      { status: 1, step: 8, scalars: [] },
      { step: 8, seconds: 1_700_000_000.5, scalars: expect.arrayContaining([['loss/train', 2.125]]) as unknown },
      { step: 8, scalars: expect.arrayContaining([['loss/validation', 1.625]]) as unknown },
    ]);
    expect(second > first).toBe(true);
  });

  it('are none where nobody asks for them', async () => {
    await write(all);
    expect((await readdir(directory)).sort()).toEqual(['metrics.csv', 'metrics.jsonl']);
  });
});

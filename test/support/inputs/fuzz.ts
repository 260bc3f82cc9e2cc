/** Damage to files, the same for the same seed, and the bounds that whoever reads them must keep. */
import { randomBits } from './random.js';

export type Random = () => number;

/** Numbers that lengths, counts and offsets are confused by. */
const lengths = [0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff];

/** One to four kinds of damage to a copy, in `from..end` (all by default). */
export function damaged(bytes: Uint8Array, random: Random, from = 0, end = bytes.length): Uint8Array {
  let copy = Buffer.from(bytes);
  let last = end;
  for (let count = 1 + (random() % 4); count > 0; count--) {
    const before = copy.length;
    copy = damageOnce(copy, random, from, Math.max(from + 1, last));
    last += copy.length - before;
  }
  return copy;
}

function damageOnce(bytes: Buffer, random: Random, from: number, end: number): Buffer<ArrayBuffer> {
  const copy = Buffer.from(bytes);
  if (copy.length === 0) return copy;
  const place = (): number => Math.min(copy.length - 1, from + ((((random() << 16) | random()) >>> 0) % (end - from)));
  const [at, other, length] = [place(), place(), 1 + (random() % 24)];
  switch (random() % 8) {
    case 0:
    case 1:
      copy[at] = (copy[at] ?? 0) ^ (1 << (random() % 8));
      return copy;
    case 2:
      copy[at] = random();
      return copy;
    case 3: {
      const value = Buffer.alloc(8);
      if (random() % 2 === 0) value.writeUInt32LE(lengths[random() % lengths.length] ?? 0);
      else value.writeUInt32BE(lengths[random() % lengths.length] ?? 0);
      value.copy(copy, at, 0, [1, 2, 4, 8][random() % 4]);
      return copy;
    }
    case 4:
      return random() % 4 === 0
        ? copy.subarray(0, at)
        : Buffer.concat([copy.subarray(0, at), copy.subarray(at + length)]);
    case 5:
      return Buffer.concat([copy.subarray(0, at), Buffer.from(Array.from({ length }, random)), copy.subarray(at)]);
    case 6:
      return Buffer.concat([copy.subarray(0, at), copy.subarray(other, other + length), copy.subarray(at)]);
    default: {
      const times = 1 + (random() % 64);
      const piece = copy.subarray(at, at + length);
      return Buffer.concat([copy.subarray(0, at), ...new Array<Buffer>(times).fill(piece), copy.subarray(at)]);
    }
  }
}

export interface Bounds {
  /** What a reader may take for a file of no bytes, and for each byte. */
  readonly seconds: readonly [constant: number, perByte: number];
  readonly bytes: readonly [constant: number, perByte: number];
}

/**
 * Blow-ups miss these by orders of magnitude, and a busy machine keeps them. The memory is the growth of the largest resident
 * set that the process ever had.
 */
const usual: Bounds = { seconds: [4, 4e-6], bytes: [96 * 2 ** 20, 16] };

export type Outcome = 'read' | 'refused';

/**
 * Has a file read, and fails unless that gives a value or an error of those names, within bounds that are a matter of the
 * file's size.
 */
export async function readWithin(
  size: number,
  read: () => unknown,
  errors: readonly string[] = ['OperationalError'],
  { seconds, bytes }: Bounds = usual,
): Promise<Outcome> {
  const [started, before] = [performance.now(), process.resourceUsage().maxRSS];
  let outcome: Outcome = 'read';
  try {
    await read();
  } catch (error) {
    const { name, message } = error as Error;
    // Its stack is made only once it is asked for, and takes a while.
    if (!errors.includes(name)) throw error;
    if (message.length > 1000 || message.includes('\n'))
      throw new Error(`not one short line: ${message.slice(0, 2000)}`);
    outcome = 'refused';
  }
  const [elapsed, grown] = [performance.now() - started, 1024 * (process.resourceUsage().maxRSS - before)];
  const most = { seconds: seconds[0] + seconds[1] * size, bytes: bytes[0] + bytes[1] * size };
  if (elapsed > 1000 * most.seconds || grown > most.bytes) {
    const taken = `${(elapsed / 1000).toFixed(2)} s and ${String(grown)} bytes for a file of ${String(size)} bytes`;
    throw new Error(`${taken}, more than ${String(most.seconds)} s or ${String(most.bytes)} bytes`);
  }
  return outcome;
}

/** Runs `one` that often with random numbers of a seed, and gives how often each outcome came. */
export async function many(
  count: number,
  seed: number,
  one: (random: Random, i: number) => Promise<Outcome>,
): Promise<Record<Outcome, number>> {
  const random = randomBits(seed);
  const outcomes = { read: 0, refused: 0 };
  for (let i = 0; i < count; i++) outcomes[await one(random, i)]++;
  return outcomes;
}

/** One of them. */
export function pick<T>(random: Random, choices: readonly T[]): T {
  const choice = choices[random() % choices.length];
  if (choice === undefined) throw new Error('there is nothing to choose from');
  return choice;
}

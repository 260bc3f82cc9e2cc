/** Random damage, the same every time: always a clear error or a whole value, never a crash, never much memory. */
import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import { decodeCheckpoint } from '../dist/coordinator/checkpoint-format.js';
import { parseIdxHeader } from '../dist/shared/idx.js';
import { randomBits } from './support/random.js';

it('of IDX headers', () => {
  const random = randomBits(1);
  for (let i = 0; i < 5000; i++) {
    const head = new Uint8Array(random() % 20).map(() => random());
    // Half of them begin as an IDX file does.
    if (i % 2 === 0) head.set([0, 0, 8, 1 + (random() % 4)].slice(0, head.length));
    const length = random() % 3 === 0 ? null : head.length + (random() % 2000);
    try {
      const { headerLength, count } = parseIdxHeader(i % 4 < 2 ? 'images' : 'labels', 'f', head, length);
      expect(headerLength + count).toBeLessThanOrEqual((length ?? Infinity) + 0);
    } catch (error) {
      expect((error as { code?: string }).code).toBe('DATA_INVALID');
    }
  }
});

it('of payloads under a checksum that fits', async () => {
  const random = randomBits(2);
  const before = process.memoryUsage().rss;
  for (let i = 0; i < 2000; i++) {
    const payload = Buffer.from(new Uint8Array(random() % 400).map(() => random()));
    // A map of a few entries to begin with, so that decoding goes deeper.
    if (payload.length > 0 && i % 2 === 0) payload[0] = 0x80 | (random() % 16);
    const head = Buffer.alloc(16);
    head.write('mnistddp');
    head.writeUInt32LE(1, 8);
    head.writeUInt32LE(payload.length, 12);
    const bytes = Buffer.concat([head, createHash('sha256').update(payload).digest(), payload]);
    let name = 'none';
    try {
      await decodeCheckpoint(bytes);
    } catch (error) {
      name = (error as Error).name;
    }
    expect(name).toBe('CheckpointFormatError');
  }
  expect(process.memoryUsage().rss - before).toBeLessThan(128 << 20);
});

import { describe, expect, it } from 'vitest';
import { parseIdxHeader } from '../../src/shared/idx.js';
import { operationalError } from '../support/compute/errors.js';
import { idxHeader } from '../support/inputs/idx-files.js';

const images = (count: number, rows = 28, columns = 28): Uint8Array => idxHeader(0x803, count, rows, columns);
const labels = (count: number): Uint8Array => idxHeader(0x801, count);

describe('a whole IDX file', () => {
  it('gives its count and where its rows begin', () => {
    expect(parseIdxHeader('images', 'f', images(3), 16 + 3 * 784)).toEqual({
      kind: 'images',
      count: 3,
      headerLength: 16,
      totalLength: 16 + 3 * 784,
    });
    expect(parseIdxHeader('labels', 'f', labels(60_000), 60_008)).toMatchObject({ count: 60_000, headerLength: 8 });
  });

  it('is read from a view that does not begin at its buffer', () => {
    const shifted = new Uint8Array(21);
    shifted.set(images(2), 5);
    expect(parseIdxHeader('images', 'f', shifted.subarray(5), null).count).toBe(2);
  });
});

describe('a hostile or broken header is one clear DATA_INVALID that names the file', () => {
  it.each([
    ['wrong magic number', 'images', idxHeader(0xdeadbeef, 1, 28, 28), 800, /starts with 0xdeadbeef.*0x00000803/],
    ['labels for images', 'images', labels(10), 18, /holds labels where images belong/],
    ['images for labels', 'labels', images(1), 800, /holds images where labels belong/],
    ['gzip within gzip', 'labels', idxHeader(0x1f8b0800, 0), 90, /compressed with gzip/],
    ['other height', 'images', images(1, 27, 28), 16 + 756, /27x28.*28x28/],
    ['other width', 'images', images(1, 28, 4_294_967_295), 800, /28x4294967295/],
    ['cut short by one byte', 'images', images(2), 16 + 2 * 784 - 1, /cut short.*2 images.*1584 bytes.*has 1583/],
    ['one byte too many', 'labels', labels(5), 14, /goes on after its last row.*13 bytes.*has more/],
    ['2^32 - 1 declared rows', 'images', images(0xffffffff), 800, /cut short.*4294967295 images/],
    ['2^32 - 1 declared labels', 'labels', labels(0xffffffff), 8, /cut short.*4294967303 bytes/],
  ] as const)('%s', async (_name, kind, head, length, message) => {
    const error = await operationalError(() => parseIdxHeader(kind, 'dir/some-file', head, length));
    expect(error.code).toBe('DATA_INVALID');
    expect(error.message).toMatch(message);
    expect(error.message).toMatch(/^dir\/some-file .*; replace the file, or choose another$/);
  });

  it('says so for every length that a file can be cut to inside its header', async () => {
    for (const [kind, head] of [
      ['images', images(1)],
      ['labels', labels(1)],
    ] as const) {
      for (let length = 0; length < head.length; length++) {
        const error = await operationalError(() => parseIdxHeader(kind, 'f', head.subarray(0, length), length));
        expect(error.code).toBe('DATA_INVALID');
        expect(error.message).toContain(`ends after ${String(length)} bytes`);
      }
    }
  });
});

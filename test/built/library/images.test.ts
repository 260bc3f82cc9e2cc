/** Pictures of real MNIST digits come back as MNIST's rows, whatever the picture; what is no picture is refused in one line. */
import { execFile } from 'node:child_process';
import { mkdir, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import sharp, { type Sharp } from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { kinds, numberPicture, paperPicture, randomNumbers } from '../../../bench/paper/paper-pictures.mjs';
import { decodePicture } from '../../../src/images/decode.js';
import { findDigits } from '../../../src/images/digits.js';
import type { GreyPicture } from '../../../src/images/grey.js';
import { parseRows } from '../../../src/images/idx-rows.js';
import { readPictures } from '../../../src/images/pictures.js';
import { operationalError } from '../../support/compute/errors.js';
import { cutIdx, idxHeader, temporaryDirectory } from '../../support/inputs/idx-files.js';
import { mnistRows } from '../../support/inputs/mnist.js';
import { drawing, emptyPng, inkOnPaper, photo, similarity } from '../../support/inputs/pictures.js';
import { randomBits } from '../../support/inputs/random.js';

const count = 20;
const { images } = mnistRows('t10k', 0, count);
const rows = Array.from({ length: count }, (_, i) => images.subarray(i * 784, (i + 1) * 784));
const first = images.subarray(0, 784);

let directory: string;
let remove: () => Promise<void>;
beforeAll(async () => {
  ({ directory, remove } = await temporaryDirectory());
});
afterAll(async () => {
  await remove();
});

/** The row of a picture's only digit; fails where it has none, or several. */
async function rowOf(file: Uint8Array): Promise<Uint8Array> {
  return onlyRow((await decodePicture('picture', file)).picture);
}

function onlyRow(picture: GreyPicture): Uint8Array {
  const [digit, ...others] = findDigits(picture);
  if (digit === undefined || others.length > 0)
    throw new Error(`not one digit but ${String(others.length + 1)} or none`);
  return digit.row;
}

type Render = (row: Uint8Array) => Promise<Uint8Array>;

/** How a row may be drawn. */
const renderings: readonly (readonly [name: string, render: Render])[] = [
  ['56 pixels', (row) => drawing(row, 56).png().toBuffer()],
  ['280 pixels, dark on light', (row) => inkOnPaper(row, 280).png().toBuffer()],
  ['300 pixels, JPEG', (row) => inkOnPaper(row, 300).jpeg({ quality: 60 }).toBuffer()],
  ['1500 pixels, JPEG', (row) => inkOnPaper(row, 1500).jpeg().toBuffer()],
  ['off centre in a wide picture', async (row) => (await offCentre(row, 420, 5)).png().toBuffer()],
  ['black on transparent', (row) => onTransparent(row, 0)],
  ['white on transparent', (row) => onTransparent(row, 255)],
  ['on paper with transparent corners', (row) => onRoundedPaper(row)],
  ['grey of 16 bits', (row) => drawing(row, 150).toColourspace('grey16').png().toBuffer()],
  ['blue on yellow', (row) => inkOnPaper(row, 150).tint('#8080ff').png().toBuffer()],
  ['WebP', (row) => inkOnPaper(row, 200).webp({ quality: 70 }).toBuffer()],
  [
    'WebP without loss, transparent',
    async (row) =>
      sharp(await onTransparent(row, 0))
        .webp({ lossless: true })
        .toBuffer(),
  ],
  ['GIF', (row) => inkOnPaper(row, 200).gif().toBuffer()],
  ['TIFF, by LZW', (row) => inkOnPaper(row, 200).tiff({ compression: 'lzw' }).toBuffer()],
  ['TIFF of 16 bits', (row) => drawing(row, 150).toColourspace('grey16').tiff({ compression: 'deflate' }).toBuffer()],
  ['AVIF', (row) => inkOnPaper(row, 200).avif({ quality: 60, effort: 0 }).toBuffer()],
  ['CMYK', (row) => inkOnPaper(row, 150).toColourspace('cmyk').jpeg().toBuffer()],
  [
    'lying, and EXIF says so',
    (row) => inkOnPaper(row, 200).rotate(270).withMetadata({ orientation: 6 }).jpeg().toBuffer(),
  ],
  ['a photograph', async (row) => (await photo(row)).jpeg({ quality: 80 }).toBuffer()],
  ['a photograph of chalk', async (row) => (await photo(row, { slope: 50 })).negate().jpeg({ quality: 80 }).toBuffer()],
];

/** 800x300, with the digit's corner at `left`, `top`. */
async function offCentre(row: Uint8Array, left: number, top: number): Promise<Sharp> {
  const digit = await inkOnPaper(row, 140).png().toBuffer();
  const paper = { width: 800, height: 300, channels: 3, background: 'white' } as const;
  return sharp({ create: paper }).composite([{ input: digit, left, top }]);
}

async function onRoundedPaper(row: Uint8Array): Promise<Uint8Array> {
  const corners = Buffer.from('<svg width="200" height="200"><rect width="200" height="200" rx="40"/></svg>');
  const paper = await inkOnPaper(row, 200).toColourspace('srgb').png().toBuffer();
  return sharp(paper)
    .composite([{ input: corners, blend: 'dest-in' }])
    .png()
    .toBuffer();
}

/** The row as the opacity of one grey. */
async function onTransparent(row: Uint8Array, grey: number): Promise<Uint8Array> {
  const alpha = await drawing(row, 160).raw().toBuffer();
  const pixels = Uint8Array.from({ length: 4 * 160 * 160 }, (_, i) => (i % 4 === 3 ? (alpha[i >> 2] ?? 0) : grey));
  return sharp(pixels, { raw: { width: 160, height: 160, channels: 4 } })
    .png()
    .toBuffer();
}

describe('a picture of a digit becomes nearly the row that it was drawn from', () => {
  it.each(renderings)('%s', async (_name, render) => {
    const similarities: number[] = [];
    for (const row of rows) {
      const result = await rowOf(await render(row));
      expectAsMnist(result);
      similarities.push(similarity(row, result));
    }
    // What another row would give.
    expect(similarity(first, rows[1] ?? first)).toBeLessThan(0.6);
    expect(Math.min(...similarities)).toBeGreaterThan(0.9);
    expect(similarities.reduce((sum, value) => sum + value, 0) / count).toBeGreaterThan(0.96);
  });

  it('28 pixels: the row itself, but for faint pixels', async () => {
    for (const row of rows) {
      const ofPng = await rowOf(await drawing(row, 28).png().toBuffer());
      expect(largestDifference(row, ofPng)).toBeLessThan(6);
      expect(similarity(row, await rowOf(await drawing(row, 28).jpeg({ quality: 85 }).toBuffer()))).toBeGreaterThan(
        0.995,
      );
    }
  });
});

/** What all of MNIST's rows have in common, to within the rounding of the centre. */
function expectAsMnist(row: Uint8Array): void {
  const shown = [...row.entries()].filter(([, value]) => value > 0);
  const mass = shown.reduce((sum, [, value]) => sum + value, 0);
  for (const coordinate of [(at: number) => at % 28, (at: number) => Math.floor(at / 28)]) {
    const positions = shown.map(([at]) => coordinate(at));
    expect(Math.max(...positions) - Math.min(...positions)).toBeLessThan(20);
    const centre = shown.reduce((sum, [at, value]) => sum + value * coordinate(at), 0) / mass;
    expect(Math.abs(centre - 14)).toBeLessThan(0.6);
  }
  expect(Math.max(...row)).toBe(255);
}

function largestDifference(a: Uint8Array, b: Uint8Array): number {
  return a.reduce((most, value, at) => Math.max(most, Math.abs(value - (b[at] ?? NaN))), 0);
}

describe('what does not belong to the digit changes nothing', () => {
  it('inversion', async () => {
    for (const row of rows) {
      const [dark, light] = [await inkOnPaper(row, 200).png().toBuffer(), await drawing(row, 200).png().toBuffer()];
      expect(largestDifference(await rowOf(dark), await rowOf(light))).toBeLessThanOrEqual(1);
    }
  });

  it('the place in the picture', async () => {
    for (const [left, top] of [
      [0, 0],
      [611, 157],
      [20, 160],
    ] as const) {
      const moved = await rowOf(await (await offCentre(first, left, top)).png().toBuffer());
      expect(similarity(first, moved)).toBeGreaterThan(0.95);
    }
  });

  it('the size and the contrast', async () => {
    for (const row of rows) {
      const large = await rowOf(await drawing(row, 400).png().toBuffer());
      expect(similarity(large, await rowOf(await drawing(row, 100).png().toBuffer()))).toBeGreaterThan(0.95);
      const faint = await drawing(row, 400).linear(0.2, 90).png().toBuffer();
      expect(similarity(large, await rowOf(faint))).toBeGreaterThan(0.98);
    }
  });

  it('specks, and a corner of the table', async () => {
    const clean = await rowOf(await (await photo(first)).png().toBuffer());
    const clutter = Buffer.from(
      '<svg width="480" height="360"><path d="M0 360V260L110 360Z" fill="#332211"/>' +
        '<circle cx="60" cy="40" r="4"/><circle cx="420" cy="300" r="3"/></svg>',
    );
    const cluttered = await (
      await photo(first)
    )
      .composite([{ input: clutter }])
      .png()
      .toBuffer();
    expect(similarity(clean, await rowOf(cluttered))).toBeGreaterThan(0.97);
  });

  it('a stroke apart from the rest stays, even where it runs out of the picture', () => {
    // A row of MNIST whose 5 has its bar apart, at the left edge.
    const { images: five } = mnistRows('t10k', 1911, 1);
    expect(largestDifference(five, onlyRow({ width: 28, height: 28, pixels: five }))).toBeLessThan(6);
  });
});

describe('what is printed on the paper, a hard shadow and a missing margin change little', () => {
  it.each(kinds)('%s', async (kind) => {
    const random = randomNumbers(5);
    for (const row of rows.slice(0, 6)) {
      expect(similarity(row, await rowOf(await paperPicture(row, kind, random)))).toBeGreaterThan(0.85);
    }
  });

  it('several digits in a box are found from left to right', async () => {
    const shown = rows.slice(0, 4);
    const { picture } = await decodePicture('picture', await numberPicture(shown, 'box', randomNumbers(6)));
    const found = findDigits(picture);
    expect(found).toHaveLength(4);
    for (const [i, { row }] of found.entries()) expect(similarity(shown[i] ?? first, row)).toBeGreaterThan(0.85);
  });

  it('a straight stroke stays, however thin and long, where nothing is printed', () => {
    const pixels = Uint8Array.from({ length: 200 * 200 }, (_, at) => {
      const [x, y] = [at % 200, Math.floor(at / 200)];
      return x >= 99 && x < 102 && y >= 20 && y < 180 ? 20 : 230;
    });
    expect(findDigits({ width: 200, height: 200, pixels }).map(({ box }) => box)).toEqual([
      { left: 99, top: 20, right: 102, bottom: 180 },
    ]);
  });
});

describe('a picture without a digit becomes none', () => {
  const random = randomBits(3);
  it.each([
    ['white', () => 255],
    ['black', () => 0],
    ['unevenly lit', (x: number, y: number) => 240 - x / 2 - (y * y) / 100],
    ['noise', () => 128 + random() / 1024],
    ['noise, unevenly lit', (x: number) => 90 + x / 2 + random() / 2048],
  ])('%s', async (_name, greyAt) => {
    const pixels = Uint8Array.from({ length: 150 * 100 }, (_, at) => greyAt(at % 150, Math.floor(at / 150)));
    expect(findDigits({ width: 150, height: 100, pixels })).toEqual([]);
    const blurred = await sharp(pixels, { raw: { width: 150, height: 100, channels: 1 } })
      .jpeg()
      .toBuffer();
    expect(findDigits((await decodePicture('picture', blurred)).picture)).toEqual([]);
    // Only the digit is missing.
    const digit = pixels.map((value, at) =>
      at % 150 > 70 && at % 150 < 80 && at > 3000 && at < 12_000 ? (value < 128 ? value + 100 : value - 100) : value,
    );
    expect(findDigits({ width: 150, height: 100, pixels: digit })).toHaveLength(1);
  });

  it('one pixel, one line', () => {
    for (const [width, height] of [
      [1, 1],
      [1, 40],
      [40, 1],
    ] as const) {
      expect(findDigits({ width, height, pixels: new Uint8Array(width * height).fill(9) })).toEqual([]);
    }
  });
});

/** Writes a file and gives the error that reading it as a picture ends with. */
async function refusalOf(
  name: string,
  contents: Uint8Array | string,
  rowsOfIdx?: string,
): Promise<{ code: string; message: string }> {
  const file = join(directory, name);
  await writeFile(file, contents);
  const { code, message } = await errorOf(file, rowsOfIdx);
  expect(message).toContain(file);
  return { code, message: message.replaceAll(file, 'FILE') };
}

async function written(name: string, contents: Uint8Array): Promise<string> {
  const file = join(directory, name);
  await writeFile(file, contents);
  return file;
}

/** Small files that declare many pixels. */
async function oversized(): Promise<(readonly [name: string, contents: Uint8Array, limit: RegExp])[]> {
  const webp = await sharp({ create: { width: 10_000, height: 8000, channels: 3, background: '#ddd' } })
    .webp({ lossless: true, effort: 0 })
    .toBuffer();
  const gif = await drawing(first, 28).gif().toBuffer();
  // The screen and the only frame.
  const frame = gif.lastIndexOf(Buffer.from([0x2c, 0, 0, 0, 0]));
  for (const at of [6, 8, frame + 5, frame + 7]) gif.writeUInt16LE(7000, at);
  const tiff = await drawing(first, 28).tiff({ compression: 'deflate' }).toBuffer();
  const page = tiff.readUInt32LE(4);
  for (let at = page + 2; at < page + 2 + 12 * tiff.readUInt16LE(page); at += 12) {
    // Width, height, and rows of a strip.
    if ([256, 257, 278].includes(tiff.readUInt16LE(at))) {
      tiff.writeUInt16LE(4, at + 2);
      tiff.writeUInt32LE(20_000, at + 8);
    }
  }
  const avif = await drawing(first, 28).avif({ effort: 0 }).toBuffer();
  const size = avif.indexOf('ispe');
  avif.writeUInt32BE(20_000, size + 8);
  avif.writeUInt32BE(20_000, size + 12);
  const tooMany = /^FILE is a picture of \d+x\d+ pixels, more than 50 million; scale it down/;
  return [
    ['a.webp', webp, tooMany],
    ['a.gif', gif, /^FILE is a picture of 7000x7000 pixels, more than its \d+ bytes can hold/],
    ['a.tif', tiff, tooMany],
    ['a.avif', avif, /^(FILE is a picture of 20000x20000|cannot decode FILE)/],
  ];
}

/** What is wrong with one file, be it kept or thrown. */
async function errorOf(file: string, rowsOfIdx?: string): Promise<{ code: string; message: string }> {
  return operationalError(async () => {
    const { sources } = await readPictures([file], rowsOfIdx);
    const [source] = sources;
    if (source?.error) throw source.error;
  });
}

describe('what is no picture is refused in one line that names the file', () => {
  it('cut short at any place', async () => {
    const png = await inkOnPaper(first, 200).png().toBuffer();
    const jpeg = await inkOnPaper(first, 200).jpeg().toBuffer();
    for (const [name, whole] of [
      ['a.png', png],
      ['a.jpg', jpeg],
      ['a.webp', await inkOnPaper(first, 200).webp().toBuffer()],
      ['a.gif', await inkOnPaper(first, 200).gif().toBuffer()],
      ['a.tif', await inkOnPaper(first, 200).tiff({ compression: 'lzw' }).toBuffer()],
      ['a.avif', await inkOnPaper(first, 200).avif({ effort: 0 }).toBuffer()],
    ] as const) {
      for (const share of [0.02, 0.1, 0.5, 0.9]) {
        const { code, message } = await refusalOf(name, whole.subarray(0, Math.ceil(share * whole.length)));
        expect(code).toBe('IMAGE_INVALID');
        expect(message).toMatch(/^cannot decode FILE \(.+\); it is cut short or damaged/);
      }
    }
  });

  it('damaged', async () => {
    const png = await inkOnPaper(first, 200).png().toBuffer();
    png.fill(0x55, png.length >> 1, (png.length >> 1) + 40);
    expect((await refusalOf('damaged.png', png)).message).toMatch(/^cannot decode FILE/);
  });

  it('of a size that would fill the memory: it is not decoded', async () => {
    const { code, message } = await refusalOf('huge.png', emptyPng(100_000, 100_000));
    expect(code).toBe('IMAGE_INVALID');
    expect(message).toBe('FILE is a picture of 100000x100000 pixels, more than 50 million; scale it down');
    const thin = (await refusalOf('thin.png', emptyPng(40_000_000, 1))).message;
    expect(thin).toBe('FILE is a picture of 40000000x1 pixels, more than 32768 a side; scale it down');
    const file = join(directory, 'long.png');
    await writeFile(file, emptyPng(28, 28));
    await truncate(file, 200 * 1024 * 1024);
    expect((await errorOf(file)).message).toContain('more than 134217728');
  });

  it('of more pixels than its bytes can hold', async () => {
    const { code, message } = await refusalOf('hollow.png', emptyPng(5000, 5000));
    expect([code, message]).toEqual([
      'IMAGE_INVALID',
      'FILE is a picture of 5000x5000 pixels, more than its 45 bytes can hold; it is cut short or damaged: save the picture again',
    ]);
    // As empty as a picture can be.
    const white = await sharp({ create: { width: 5000, height: 5000, channels: 3, background: '#fff' } })
      .png({ compressionLevel: 9, palette: true, colours: 2 })
      .toBuffer();
    expect((await refusalOf('white.png', white)).message).toMatch(/^FILE shows no digit/);
  });

  it('of so many scans that decoding would take long: it is not decoded', async () => {
    const jpeg = await sharp({ create: { width: 4000, height: 4000, channels: 3, background: '#ddd' } })
      .jpeg({ progressive: true, quality: 30 })
      .toBuffer();
    expect((await refusalOf('progressive.jpg', jpeg)).message).toMatch(/^FILE shows no digit/);
    // The last scan, over and over.
    const last = jpeg.lastIndexOf(Buffer.from([0xff, 0xda]));
    const scans = Array.from({ length: 100 }, () => jpeg.subarray(last, -2));
    const many = Buffer.concat([jpeg.subarray(0, -2), ...scans, jpeg.subarray(-2)]);
    const started = performance.now();
    expect((await refusalOf('scans.jpg', many)).message).toMatch(
      /^FILE is a picture of 4000x4000 pixels in 1\d\d scans/,
    );
    expect(performance.now() - started).toBeLessThan(2000);
  });

  it('of so many pictures that looking for them would take long: the first is not decoded', async () => {
    const tiff = await drawing(first, 28).tiff({ compression: 'none' }).toBuffer();
    // The only page, as often as it takes, each naming the next.
    const page = tiff.readUInt32LE(4);
    const length = 2 + 12 * tiff.readUInt16LE(page) + 4;
    const pages = Array.from({ length: 1100 }, (_, i) => {
      const copy = Buffer.from(tiff.subarray(page, page + length));
      copy.writeUInt32LE(i === 1099 ? 0 : tiff.length + (i + 1) * length, length - 4);
      return copy;
    });
    const many = Buffer.concat([tiff, ...pages]);
    many.writeUInt32LE(tiff.length, 4);
    expect((await refusalOf('pages.tif', many)).message).toBe(
      'FILE has more than 1000 pages; save the picture alone, as PNG',
    );
    many.writeUInt32LE(tiff.length + 1090 * length, 4);
    expect((await readPictures([await written('some.tif', many)])).sources[0]?.boxes).toHaveLength(1);
    const gif = Buffer.concat([await drawing(first, 28).gif().toBuffer(), Buffer.alloc(8 * 1024 * 1024)]);
    expect((await refusalOf('frames.gif', gif)).message).toMatch(
      /^FILE is a GIF file of \d+ bytes, more than 8388608; save/,
    );
  });

  it('a picture of WebP, GIF, TIFF or AVIF that is too large is not decoded either', async () => {
    for (const [name, bytes, limit] of await oversized()) {
      const started = performance.now();
      expect((await refusalOf(name, bytes)).message, name).toMatch(limit);
      expect(performance.now() - started, name).toBeLessThan(2000);
    }
  });

  it('a web page, whatever it is called', async () => {
    for (const name of ['digits.gz', 'digit.png']) {
      const { code, message } = await refusalOf(name, '<!DOCTYPE html><html><head>');
      expect([code, message]).toEqual([
        'IMAGE_INVALID',
        'FILE is a web page; predict takes PNG, JPEG, WebP, GIF, TIFF, AVIF and IDX files: download it again',
      ]);
    }
  });

  it.each([
    ['a.png', '<svg xmlns="http://www.w3.org/2000/svg"></svg>', 'an SVG file', 'convert it'],
    ['a.bmp', 'BM', 'a BMP file', 'convert it'],
    ['a.heic', '\0\0\0\x18ftypheic\0\0\0\0mif1heic', 'a HEIC file', 'save it as JPEG'],
    ['a.jpg', 'no picture at all', 'something else', 'convert it'],
  ])('%s that is %j', async (name, contents, kind, advice) => {
    const { code, message } = await refusalOf(name, Buffer.from(contents, 'latin1'));
    expect(code).toBe('IMAGE_INVALID');
    expect(message).toBe(`FILE is ${kind}; predict takes PNG, JPEG, WebP, GIF, TIFF, AVIF and IDX files: ${advice}`);
  });

  it('empty, missing, a folder, blank', async () => {
    expect((await refusalOf('empty.png', '')).message).toContain('FILE is empty');
    const blank = await sharp({ create: { width: 90, height: 90, channels: 3, background: '#ddd' } })
      .png()
      .toBuffer();
    expect((await refusalOf('blank.png', blank)).message).toMatch(/^FILE shows no digit/);
    const missing = join(directory, 'missing.png');
    expect(await errorOf(missing)).toEqual({
      code: 'IMAGE_INVALID',
      message: `cannot read ${missing} (ENOENT); there is no such file: check its name`,
    });
    await mkdir(join(directory, 'folder.png'));
    const { message } = await errorOf(join(directory, 'folder.png'));
    expect(message).toContain('folder.png is a folder');
  });

  it('where sharp does not load, the line says so', async () => {
    const load = (): Promise<never> =>
      Promise.reject(new Error('Could not load the "sharp" module\nPossible solutions:'));
    const { message } = await operationalError(() => decodePicture('a.png', emptyPng(28, 28), load));
    expect(message).toMatch(
      /^cannot decode a\.png: the npm package sharp does not load on .+ \(Could not load [^\n]+\); install/,
    );
  });
});

it('sharp is loaded for pictures only', async () => {
  const script = (file: string): string => `
    const { readPictures } = await import(${JSON.stringify(new URL('../../../dist/images/pictures.js', import.meta.url).href)});
    await readPictures([${JSON.stringify(file)}]);
    console.log(process.report.getReport().sharedObjects.some((path) => path.includes('sharp')));`;
  const [idx, png] = [join(directory, 'lazy'), join(directory, 'lazy.png')];
  await writeFile(idx, await cutIdx('t10k-images-idx3-ubyte', 1));
  await writeFile(png, await drawing(first, 28).png().toBuffer());
  const node = promisify(execFile);
  expect((await node(process.execPath, ['--input-type=module', '-e', script(idx)])).stdout).toBe('false\n');
  expect((await node(process.execPath, ['--input-type=module', '-e', script(png)])).stdout).toBe('true\n');
});

describe('rows of IDX files', () => {
  it('come as they are, plain and compressed, and beside pictures in the order of the files', async () => {
    const [plain, packed, png] = [join(directory, 'idx'), join(directory, 'idx-packed'), join(directory, 'three')];
    const idx = await cutIdx('t10k-images-idx3-ubyte', count);
    await writeFile(plain, idx);
    await writeFile(packed, gzipSync(idx));
    await writeFile(
      png,
      await drawing(rows[3] ?? first, 28)
        .png()
        .toBuffer(),
    );
    expect(await readPictures([plain])).toEqual({
      images: Uint8Array.from(images),
      sources: rows.map((_, row) => ({ file: plain, row, boxes: [null], error: null })),
    });
    const some = await readPictures([packed, png, plain], '17-18,2,17');
    expect(some.sources.map(({ file, row }) => [file, row])).toEqual([
      [packed, 2],
      [packed, 17],
      [packed, 18],
      [png, null],
      [plain, 2],
      [plain, 17],
      [plain, 18],
    ]);
    for (const [i, row] of [2, 17, 18, 3, 2, 17, 18].entries()) {
      expect(similarity(rows[row] ?? first, some.images.subarray(i * 784, (i + 1) * 784))).toBeGreaterThan(0.999);
    }
  });

  it('are found across pieces of a long file', async () => {
    const { images: late } = mnistRows('t10k', 9990, 10);
    const packed = join(directory, 'all.gz');
    await writeFile(packed, gzipSync(await cutIdx('t10k-images-idx3-ubyte', 10_000), { level: 1 }));
    const all = await readPictures([packed]);
    expect(all.images.subarray(9990 * 784)).toEqual(Uint8Array.from(late));
    expect((await readPictures([packed], '9990-9999')).images).toEqual(Uint8Array.from(late));
  });

  it('are named as `rows` says', async () => {
    expect(parseRows('0,5-9')).toEqual([
      { first: 0, end: 1 },
      { first: 5, end: 10 },
    ]);
    expect(parseRows(' 7, 3-6 ,4-5,0')).toEqual([
      { first: 0, end: 1 },
      { first: 3, end: 8 },
    ]);
    for (const text of ['', '1,', '-3', '5-3', '1.5', 'a', '1-2-3', '0x1', '99999999999']) {
      const { code, message } = await operationalError(() => parseRows(text));
      expect([code, message]).toEqual(['USAGE', expect.stringContaining(`not "${text}"`)]);
    }
  });

  it('that the file does not have are refused, with its count', async () => {
    const idx = await cutIdx('t10k-images-idx3-ubyte', 5);
    const beyond = await refusalOf('five', idx, '3-7');
    expect(beyond).toEqual({ code: 'USAGE', message: '`rows` names row 5, but FILE has 5 rows: 0 to 4' });
    const png = join(directory, 'rows.png');
    await writeFile(png, await drawing(first, 28).png().toBuffer());
    expect((await operationalError(() => readPictures([png], '0'))).message).toContain('none of the files is one');
  });

  it('of broken and oversized files are refused', async () => {
    const idx = await cutIdx('t10k-images-idx3-ubyte', 5);
    for (const pack of [(bytes: Uint8Array) => bytes, (bytes: Uint8Array) => gzipSync(bytes)]) {
      expect((await refusalOf('short', pack(idx.subarray(0, -1)))).message).toContain('is cut short');
      expect((await refusalOf('head', pack(idx.subarray(0, 12)))).message).toContain('inside its header');
      expect((await refusalOf('long', pack(Uint8Array.from([...idx, 0])))).message).toContain('goes on');
      expect((await refusalOf('none', pack(idxHeader(0x803, 0, 28, 28)))).message).toContain('holds no rows');
      expect((await refusalOf('labels', pack(idxHeader(0x801, 0)))).message).toContain('labels');
    }
    expect((await refusalOf('packed', gzipSync(idx).subarray(0, 300))).message).toContain('cannot be decompressed');
    const thousand = gzipSync(Buffer.alloc(1000 * 784));
    const many = [gzipSync(idxHeader(0x803, 250_001, 28, 28)), ...new Array<Buffer>(251).fill(thousand)];
    const { code, message } = await refusalOf('many', Buffer.concat(many));
    expect([code, message]).toEqual(['USAGE', expect.stringContaining('choose fewer rows with `rows`')]);
  });

  it.each(['0', undefined])('that a file is too short for are not made room for: %s', async (asked) => {
    const before = process.resourceUsage().maxRSS;
    const packed = await refusalOf('hollow.gz', gzipSync(idxHeader(0x803, 200_000, 28, 28)), asked);
    expect(packed).toEqual({
      code: 'DATA_INVALID',
      message:
        'FILE declares 200000 images, more than its 33 compressed bytes can hold; replace the file, or choose another',
    });
    const plain = await refusalOf('hollow', idxHeader(0x803, 200_000, 28, 28), asked);
    expect([plain.code, plain.message]).toEqual(['DATA_INVALID', expect.stringContaining('is cut short')]);
    expect(process.resourceUsage().maxRSS - before).toBeLessThan(64_000);
  });

  it('of EMNIST by its name are refused, since they lie transposed', async () => {
    const { code, message } = await refusalOf(
      'emnist-digits-test-images-idx3-ubyte',
      await cutIdx('t10k-images-idx3-ubyte', 2),
    );
    expect(code).toBe('IMAGE_INVALID');
    expect(message).toBe(
      'FILE is of EMNIST by its name, whose images are transposed; write them upright into another file',
    );
  });
});

/** What pictures are read from, files and stdin, and which kind of contents each has, told by how they begin and not by its name. */
import { stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { IrregularFileError, openRegularFile, readRegularFile } from '../files/regular-file.js';
import { OperationalError, usageError } from '../shared/errors.js';

export interface Input {
  /** How to name it in an error. */
  readonly name: string;
  readonly kind: 'picture' | 'idx' | 'gzip';
  /** Bytes. */
  readonly length: number;
  /** All of it. Throws OperationalError. */
  readonly contents: () => Promise<Uint8Array>;
  /** The same piece by piece; the reader destroys it in the end. Rejects with the system's error, or IrregularFileError. */
  readonly open: () => Promise<Readable>;
}

/** The name of stdin among files. */
const stdinName = '-';
/** Bytes of a picture, and of whatever comes through stdin. */
const maxPictureBytes = 128 * 1024 * 1024;
/** Bytes that tell the kind. */
const headLength = 64;

/** How contents begin that are taken, and those that are refused by name. */
const kinds: readonly (readonly [begins: RegExp, kind: Input['kind']])[] = [
  [/^\x89PNG\r\n\x1a\n/, 'picture'],
  [/^\xff\xd8\xff/, 'picture'],
  [/^GIF8[79]a/, 'picture'],
  [/^RIFF....WEBP/s, 'picture'],
  [/^(II\*\0|MM\0\*)/, 'picture'],
  // AVIF, by its own brand or among those that it is compatible with.
  [/^....ftyp(?:....)*avi[fs]/s, 'picture'],
  [/^\x1f\x8b/, 'gzip'],
  [/^\0\0[\x08-\x0e][\x01-\x04]/, 'idx'],
];
const refused: readonly (readonly [begins: RegExp, name: string, advice?: string])[] = [
  [/^....ftyp(heic|heix|hevc|mif1|msf1)/s, 'a HEIC file', 'save it as JPEG'],
  [/^(II\+\0|MM\0\+)/, 'a BigTIFF file'],
  [/^BM/, 'a BMP file'],
  [/^%PDF/, 'a PDF file'],
  [/^\s*<(!doctype\s+html|html|head|body)/i, 'a web page', 'download it again'],
  [/^\s*<(\?xml|svg|!)/i, 'an SVG file'],
  [/^version https:\/\/git-lfs/, 'a pointer of Git LFS', 'get the file itself with git lfs pull'],
];

/**
 * Looks at what a file begins with; of stdin, which `-` names, it takes all.
 * @throws OperationalError IMAGE_INVALID where it cannot be read, is of another kind, or has too many bytes
 */
export async function openInput(file: string): Promise<Input> {
  if (file === stdinName) return stdinInput();
  const { size } = await stat(file).catch(refuseUnreadable(file));
  const kind = kindOf(file, await headOf(file).catch(refuseUnreadable(file)));
  if (kind === 'picture' && size > maxPictureBytes) {
    throw invalid(`${file} has ${tooMany(size)}; scale the picture down`);
  }
  return {
    name: file,
    kind,
    length: size,
    contents: () => readRegularFile(file).catch(refuseUnreadable(file)),
    open: async () => (await openRegularFile(file)).createReadStream(),
  };
}

async function stdinInput(): Promise<Input> {
  const name = 'stdin';
  if (process.stdin.isTTY) throw usageError('- is stdin, which is a terminal here: send a picture through a pipe');
  const pieces: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const piece of process.stdin as AsyncIterable<Uint8Array>) {
      length += piece.length;
      if (length > maxPictureBytes)
        throw invalid(`${name} has more than ${String(maxPictureBytes)} bytes; name a file`);
      pieces.push(piece);
    }
  } catch (error) {
    if (error instanceof OperationalError) throw error;
    refuseUnreadable(name)(error);
  }
  const bytes = Buffer.concat(pieces);
  return {
    name,
    kind: kindOf(name, bytes.toString('latin1', 0, headLength)),
    length,
    contents: () => Promise.resolve(bytes),
    open: () => Promise.resolve(Readable.from([bytes])),
  };
}

/** @param head the first bytes, each as one character */
function kindOf(name: string, head: string): Input['kind'] {
  const kind = kinds.find(([begins]) => begins.test(head))?.[1];
  if (kind !== undefined) return kind;
  const [, what = 'something else', advice = 'convert it'] = refused.find(([begins]) => begins.test(head)) ?? [];
  const found = head === '' ? 'is empty' : `is ${what}`;
  throw invalid(`${name} ${found}; predict takes PNG, JPEG, WebP, GIF, TIFF, AVIF and IDX files: ${advice}`);
}

async function headOf(file: string): Promise<string> {
  const handle = await openRegularFile(file);
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(headLength), 0, headLength, 0);
    return buffer.toString('latin1', 0, bytesRead);
  } finally {
    await handle.close();
  }
}

function tooMany(bytes: number): string {
  return `${String(bytes)} bytes, more than ${String(maxPictureBytes)}`;
}

function refuseUnreadable(name: string): (error: unknown) => never {
  return (error) => {
    if (error instanceof IrregularFileError) throw invalid(error.message);
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    const hint = code === 'ENOENT' ? 'there is no such file: check its name' : 'check the file and its permissions';
    throw new OperationalError('IMAGE_INVALID', `cannot read ${name} (${code}); ${hint}`, { cause: error });
  };
}

function invalid(message: string): OperationalError {
  return new OperationalError('IMAGE_INVALID', message);
}

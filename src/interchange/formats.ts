/** The formats of other programs: which one a file is in, and one door to all readers and writers. */
import { OperationalError } from '../shared/errors.js';
import { writeOnnx } from './onnx.js';
import { WeightsFormatError } from './problem.js';
import { readPyTorch } from './pytorch/pytorch-reader.js';
import { writePyTorch } from './pytorch/pytorch-writer.js';
import { looksLikeSafetensors, readSafetensors, writeSafetensors } from './safetensors.js';
import type { FileWeights } from './state-dict.js';
import type { Weights } from './weights.js';

export const weightFormats = ['pytorch', 'safetensors', 'onnx'] as const;

export type WeightFormat = (typeof weightFormats)[number];

/** The format that a file's name asks for; null where it says nothing. */
export function formatByEnding(path: string): WeightFormat | null {
  const ending = /\.([a-z]+)$/i.exec(path)?.[1]?.toLowerCase() ?? '';
  const formats: Readonly<Record<string, WeightFormat>> = {
    pth: 'pytorch',
    pt: 'pytorch',
    safetensors: 'safetensors',
    onnx: 'onnx',
  };
  return Object.hasOwn(formats, ending) ? (formats[ending] ?? null) : null;
}

/** The weights take 3 MB, with an optimiser's state 9 MB; a caller refuses larger files before it reads them. */
export const maxWeightsFileBytes = 64 * 1024 * 1024;

/**
 * The weights that a file of PyTorch or safetensors holds, in memory of their own; which one it is, is told by its contents.
 * Nothing that a file says is run, nothing is allocated that its bytes do not back, and each is looked at a few times at most.
 * @param path for messages
 * @throws OperationalError WEIGHTS_INVALID
 */
export async function readWeights(path: string, bytes: Uint8Array): Promise<FileWeights> {
  try {
    return await readAny(bytes);
  } catch (error) {
    if (!(error instanceof WeightsFormatError)) throw error;
    throw new OperationalError('WEIGHTS_INVALID', `${path} ${error.problem}; ${error.advice}`);
  }
}

async function readAny(bytes: Uint8Array): Promise<FileWeights> {
  if (bytes.length > maxWeightsFileBytes)
    throw new WeightsFormatError('is larger than the weights of this network can be');
  if (bytes.length === 0) throw new WeightsFormatError('is empty');
  if (bytes[0] === 0x50 && bytes[1] === 0x4b) return readPyTorch(bytes);
  if (looksLikeSafetensors(bytes)) return readSafetensors(bytes);
  if (looksLikePickle(bytes)) {
    const advice = 'load it with PyTorch and save it again with a current torch.save';
    throw new WeightsFormatError("is in PyTorch's old format, or another pickle", advice);
  }
  if (looksLikeOnnx(bytes)) {
    const advice = 'name the run, checkpoint, PyTorch or safetensors file that it was written from';
    throw new WeightsFormatError('is an ONNX file: ONNX files can be written but not read', advice);
  }
  const begin = String.fromCharCode(...bytes.subarray(0, 32));
  for (const [begins, problem, advice] of foreign)
    if (begins.test(begin)) throw new WeightsFormatError(problem, advice);
  throw new WeightsFormatError('is neither a checkpoint of mnist-ddp nor a PyTorch or safetensors file');
}

/** What else is found where weights belong: how it begins, what it is, and what to do. */
const foreign: readonly (readonly [begins: RegExp, problem: string, advice: string])[] = [
  [/^\s*<[!?a-z]/i, 'is a web page, as a download that failed leaves behind', 'download it again'],
  [
    /^version https:\/\/git-lfs/,
    'is a pointer of Git LFS, not the file that it stands for',
    'get that with git lfs pull',
  ],
  [/^\x1f\x8b/, 'is compressed with gzip', 'unpack it with gunzip'],
];

/** PROTO with a version. */
function looksLikePickle([first, second = 0]: Uint8Array): boolean {
  return first === 0x80 && second >= 2 && second <= 5;
}

/** A ModelProto that begins with its ir_version, then producer_name, as ours and PyTorch's do, or the graph. */
function looksLikeOnnx([first, version = 0, next = 0]: Uint8Array): boolean {
  return first === 0x08 && version > 0 && version < 0x20 && [0x12, 0x1a, 0x3a, 0x42].includes(next);
}

/**
 * The same bytes for the same weights.
 * @param version of mnist-ddp, for the formats that name their producer
 */
export async function writeWeights(format: WeightFormat, weights: Weights, version = ''): Promise<Uint8Array> {
  switch (format) {
    case 'pytorch':
      return writePyTorch(weights);
    case 'safetensors':
      return writeSafetensors(weights);
    case 'onnx':
      return writeOnnx(weights, version);
  }
}

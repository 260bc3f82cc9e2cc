/** `exportWeights`: a trained network as a file of other programs. */
import { newestRun } from '../coordinator/node/run-folder.js';
import { formatByEnding, weightFormats, writeWeights, type WeightFormat } from '../interchange/formats.js';
import { usageError } from '../shared/errors.js';
import { checkOptions } from './options.js';
import { refuseInputs, writeOutput } from '../files/output.js';
import { version } from './version.js';
import { networkFiles, openWeights } from './network/weights.js';

export interface ExportOptions {
  /** A run's folder, a checkpoint, or a PyTorch or safetensors file; default the newest run under `runs/`. */
  readonly checkpoint?: string | undefined;
  /** As in `evaluate`. */
  readonly best?: boolean | undefined;
  /** Default: what the ending of `out` says, `.pth` or `.pt`, `.safetensors`, `.onnx`. */
  readonly format?: WeightFormat | undefined;
  /** The file to write: one that is there is replaced, behind links too; a device, or a pipe that is read, is written to. */
  readonly out: string;
  /** Receives notes for the user, one line each. */
  readonly onNote?: ((text: string) => void) | undefined;
}

export interface Exported {
  readonly checkpoint: string;
  readonly out: string;
  readonly bytes: number;
  readonly parametersSha256: string;
}

/** Writes all of the file or nothing. Throws OperationalError. */
export async function exportWeights(options: ExportOptions): Promise<Exported> {
  checkOptions(options, { checkpoint: 'text', best: 'other', format: 'other', out: 'text', onNote: 'function' });
  const { checkpoint, out } = options;
  if (typeof (out as unknown) !== 'string')
    throw usageError('the option `out` is the path of the file to write: give one');
  const format = options.format ?? formatByEnding(out);
  if (format === null) {
    throw usageError(`the name of ${out} does not say in which \`format\`: add ${weightFormats.join(', ')}`);
  }
  if (!weightFormats.includes(format)) {
    throw usageError(`\`format\` must be ${weightFormats.join(', ')}, not "${format as string}"`);
  }
  const { path, weights, parametersSha256 } = await openWeights(checkpoint ?? (await newestRun()), options);
  await refuseInputs(out, await networkFiles(out, [path]));
  const bytes = await writeWeights(format, weights, version);
  await writeOutput(out, bytes);
  return { checkpoint: path, out, bytes: bytes.length, parametersSha256 };
}

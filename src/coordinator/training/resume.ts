/** What a run has to have in common with the one that it goes on with. */
import { OperationalError, usageError } from '../../shared/errors.js';
import { shellWord } from '../../shared/text.js';
import type { Checkpoint } from '../checkpoint/checkpoint.js';

/**
 * A resumed run goes on with the same bits only on the same data and with the same arithmetic, which exact engines share.
 * @param override what may differ on purpose: `data`, `engine`, `kernels`
 * @throws OperationalError CONFIGURATION_CHANGED
 */
export function refuseOtherBits(
  resume: Pick<Checkpoint, 'dataset' | 'engine' | 'arithmetic'>,
  run: Pick<Checkpoint, 'dataset' | 'engine' | 'arithmetic'>,
  override: readonly string[],
): void {
  if (resume.dataset !== run.dataset && !override.includes('data')) {
    throw changed(
      `the checkpoint was trained on the data set ${resume.dataset}, but this is ${run.dataset}: name its folder with ` +
        "`data`, or add `override: ['data']`",
    );
  }
  const alike = resume.arithmetic !== null && resume.arithmetic === run.arithmetic;
  if (resume.engine !== run.engine && !alike) {
    if (override.includes('engine')) return;
    throw changed(
      `the checkpoint was trained by engine ${resume.engine}, this is ${run.engine}: its bits will differ; use \`engine\` ` +
        `${shellWord(resume.engine)}, or add \`override: ['engine']\``,
    );
  }
  if (resume.arithmetic !== run.arithmetic && !override.includes('kernels')) {
    throw changed(
      'the checkpoint was trained with other arithmetic than the kernels of this version have, so its bits would change: ' +
        "resume it with the version of mnist-ddp that wrote it, or add `override: ['kernels']`",
    );
  }
}

/**
 * A run that is asked for fewer steps than it has trained cannot take any back.
 * @throws OperationalError USAGE
 */
export function refuseTrainedFurther({ step }: Pick<Checkpoint, 'step'>, lastStep: number): void {
  if (step <= lastStep) return;
  const asked = `${String(lastStep)} are what \`epochs\`, \`batchSize\`, \`maxSteps\` and the data come to`;
  throw usageError(`the run to resume has trained ${String(step)} steps, and ${asked}: ask for more`);
}

function changed(message: string): OperationalError {
  return new OperationalError('CONFIGURATION_CHANGED', message);
}

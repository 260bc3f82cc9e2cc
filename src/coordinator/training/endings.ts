/** What a run says that did not end well, with what to do next. */
import { OperationalError } from '../../shared/errors.js';
import type { TrainConfig } from '../../shared/model/config.js';
import { classes } from '../../shared/model/network.js';
import type { Summary } from '../metrics/metrics.js';

/** Steps after which a network has learned something. */
const warnedFrom = 100;
/** What equal probabilities of the classes come to, but for rounding. */
const chanceLoss = 0.999 * Math.log(classes);

/**
 * NOT_FINITE, for a run whose values ceased to be finite.
 * @param kept folder of the last checkpoint; null where there is none
 */
export function diverged(
  what: string,
  { config, step, kept }: { config: TrainConfig; step: number; kept: string | null },
): OperationalError {
  const grown = config.lrGamma > 1 && step >= config.lrStep;
  const left = kept === null ? 'there is no checkpoint yet' : `the last checkpoint in ${kept} is whole`;
  return new OperationalError(
    'NOT_FINITE',
    `${what}, and ${left}: try a smaller ${grown ? '`lrGamma`' : '`learningRate`'}`,
  );
}

/** That error, with more to say of it. */
export function extended(error: OperationalError, more: string): OperationalError {
  return new OperationalError(error.code, `${error.message}${more}`, {
    cause: error,
    ...(error.rank === undefined ? {} : { rank: error.rank }),
  });
}

/** Whether the last epoch of a run of some length was no better than guessing. */
export function hasLearnedNothing({ step, trainLoss }: Summary): boolean {
  return step >= warnedFrom && trainLoss !== null && trainLoss >= chanceLoss;
}

/** The warning for such a run. */
export function learnedNothing({ trainLoss }: Summary): string {
  const loss = trainLoss?.toFixed(4) ?? '';
  return (
    `warning: the loss of the last epoch, ${loss}, is that of guessing: the network has learned nothing; ` +
    'try a smaller learning rate'
  );
}

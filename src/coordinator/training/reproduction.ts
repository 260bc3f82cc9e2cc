/** What trains to the same parameters again. */
import { defaultConfig, recipeNames, recipes, type Recipe, type TrainConfig } from '../../shared/model/config.js';
import type { Checkpoint } from '../checkpoint/checkpoint.js';

/** Options of `train`; those that are left out have their defaults. */
export interface Reproduction extends Partial<TrainConfig> {
  readonly recipe?: Recipe;
  readonly engine?: string;
  readonly workers?: number;
  readonly maxSteps?: number;
  /** `DIR`, to be replaced: where a data set that is not MNIST lies, a checkpoint does not know. */
  readonly data?: 'DIR';
  readonly init?: string;
}

/**
 * What trains to the parameters of a checkpoint from nothing; null where nothing does, since the run went on otherwise than it began.
 * @param perEpoch steps of one epoch
 * @param exact whether the checkpoint's engine is; another one comes to the same but for rounding
 */
export function reproductionOf(checkpoint: Checkpoint, perEpoch: number, exact: boolean): Reproduction | null {
  if (checkpoint.overridden.length > 0) return null;
  const { config, engine, step, dataset, worldSize, init } = checkpoint;
  const { recipe, changed } = nearestRecipe(config);
  return {
    ...(recipe === 'reference' ? {} : { recipe }),
    ...Object.fromEntries(changed.map((key) => [key, config[key]])),
    // Engines on TensorFlow.js, and batch norm over shards, are what the number of workers changes the result of.
    ...(exact ? {} : { engine }),
    ...(exact && config.batchNorm === 'sync' ? {} : { workers: worldSize }),
    ...(step === config.epochs * perEpoch ? {} : { maxSteps: step }),
    ...(dataset === 'mnist' ? {} : { data: 'DIR' }),
    ...(init === null ? {} : { init: init.file }),
  };
}

/** The recipe from which a configuration differs in the fewest options, and in which. */
function nearestRecipe(config: TrainConfig): { recipe: Recipe; changed: (keyof TrainConfig)[] } {
  const keys = Object.keys(defaultConfig) as (keyof TrainConfig)[];
  const all = recipeNames.map((recipe) => {
    const own: TrainConfig = { ...defaultConfig, ...recipes[recipe] };
    // When training was to end shows in its steps.
    return { recipe, changed: keys.filter((key) => key !== 'patience' && config[key] !== own[key]) };
  });
  return all.reduce((nearest, other) => (other.changed.length < nearest.changed.length ? other : nearest));
}

/**
 * The hashes after some steps on MNIST by each recipe with seed 0: what every machine must give. They change only when the order of
 * a sum or a formula of the `wasm` engine does, or what the recipe sets, which the CHANGELOG then says.
 */
import {
  defaultConfig,
  recipeNames,
  recipes,
  trainAlike,
  type Recipe,
  type TrainConfig,
} from '../../shared/model/config.js';
import type { Engine } from '../../shared/engine.js';

export interface Hashes {
  readonly parametersSha256: string;
  readonly stateSha256: string;
}

/** By steps. Two steps are for machines on which twenty take too long, such as emulated ones. */
const reference = {
  2: {
    parametersSha256: 'fedd33d197d75e09057b332d54696074d85a597b5344ea88902e7e7a42fc34b3',
    stateSha256: '4770a326406cf0f371946f8885aa9d832f7e724f64f1286431a3c8a77968f02e',
  },
  20: {
    parametersSha256: '7dd3d01281174df1141ae5476db08333f0a94a0540fe4def4739ffbe50cae340',
    stateSha256: 'd1b6284d822fce08960720df72b32bf607603046549750823e7754465b30ebe4',
  },
} as const satisfies Readonly<Record<number, Hashes>>;

const better = {
  2: {
    parametersSha256: '05d3d11c18019c8f1a6571a093c9335df29350ade2e8805cfa79233fce6f250e',
    stateSha256: '19ea01d530880344be35637a74adf9dc5fb16a8c196d64af55ff67c57c7c2d5f',
  },
  20: {
    parametersSha256: '467ef6a7316f2401b786e528d7af0094ff23d4cfd80b78dda476323653a338b8',
    stateSha256: 'ed1df6473ba258bbc5bc59dc71af2335b66fde373b25c82baef944454ee1cc69',
  },
} as const satisfies Readonly<Record<number, Hashes>>;

const golden: Readonly<Record<Recipe, Readonly<Record<number, Hashes>>>> = { reference, better };

/**
 * What names the arithmetic of this version's exact engines: the parameters after 20 steps. Two programs, processors or widths
 * of vectors that give it compute the same bits, so what one of them began another may go on with.
 */
export const arithmeticSha256 = reference[20].parametersSha256;

/**
 * The same before checkpoints named it. They named the module's hash instead, which changed with every build; but no released
 * version computed other bits, so all of them are of this one. It stays what it is when `arithmeticSha256` changes.
 */
export const firstArithmeticSha256 = '7dd3d01281174df1141ae5476db08333f0a94a0540fe4def4739ffbe50cae340';

/** What names the arithmetic of an engine; null for one that does not give the same bits everywhere. */
export function arithmeticOf(engine: Pick<Engine, 'exact'>): string | null {
  return engine.exact ? arithmeticSha256 : null;
}

/** The golden hashes after that many steps; null where none are known for the data set, configuration or step. */
export function goldenHashes(dataset: string, config: TrainConfig, steps: number): Hashes | null {
  const recipe = recipeNames.find((name) => trainAlike(config, { ...defaultConfig, ...recipes[name] }));
  return dataset === 'mnist' && recipe !== undefined ? (golden[recipe][steps] ?? null) : null;
}

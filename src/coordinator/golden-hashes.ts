/**
 * The hashes after some steps on MNIST with the default configuration and seed 0: what every machine must give. They change
 * only when the order of a sum or a formula of the `wasm` engine does, which the CHANGELOG then says.
 */
import { defaultConfig, type TrainConfig } from '../shared/config.js';

export interface Hashes {
  readonly parametersSha256: string;
  readonly stateSha256: string;
}

/** By steps. Two steps are for machines on which twenty take too long, such as emulated ones. */
const golden: Readonly<Record<number, Hashes>> = {
  2: {
    parametersSha256: 'fedd33d197d75e09057b332d54696074d85a597b5344ea88902e7e7a42fc34b3',
    stateSha256: '4770a326406cf0f371946f8885aa9d832f7e724f64f1286431a3c8a77968f02e',
  },
  20: {
    parametersSha256: '7dd3d01281174df1141ae5476db08333f0a94a0540fe4def4739ffbe50cae340',
    stateSha256: 'd1b6284d822fce08960720df72b32bf607603046549750823e7754465b30ebe4',
  },
};

/** The golden hashes after that many steps; null where none are known for the data set, configuration or step. */
export function goldenHashes(dataset: string, config: TrainConfig, steps: number): Hashes | null {
  const keys = Object.keys(defaultConfig) as (keyof TrainConfig)[];
  const isDefault = keys.every((key) => key === 'epochs' || config[key] === defaultConfig[key]);
  return dataset === 'mnist' && isDefault ? (golden[steps] ?? null) : null;
}

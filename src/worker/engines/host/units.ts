/** Units of an engine whose accumulator is the gradient itself, in PyTorch's layout: one a layer, its weight and its bias. */
import type { Unit } from '../../../shared/engine.js';
import { parameters } from '../../../shared/model/network.js';

export const layerUnits: readonly Unit[] = buildUnits();

function buildUnits(): Unit[] {
  const names = [...new Set(parameters.map((parameter) => parameter.layer))];
  return names.map((name) => {
    const ranges = parameters.filter((p) => p.layer === name).map(({ offset, length }) => ({ offset, length }));
    const length = ranges.reduce((sum, range) => sum + range.length, 0);
    return { name, accumulator: { offset: ranges[0]!.offset, length }, parameters: ranges };
  });
}

/** Finishes, updates and prepares units, whose plan is in winograd/units.ts, by the kernels. */
import { at } from '../../../shared/errors.js';
import { parametersOf } from '../../../shared/engine.js';
import type { AdamScalars, ReplicaBinding, StateSet, Unit } from '../../../shared/engine.js';
import { floatBytes, lineBytes, panelWidth } from '../winograd/geometry.js';
import { conv1, conv1Length, conv1Taps, filters, preparedOffsets, units } from '../winograd/units.js';
import type { Kernels } from './kernels.js';

/** What finishes, updates and prepares units; each call touches its own unit's part of the shared arrays only. */
export class UnitWork {
  readonly #kernels: Kernels;
  readonly #binding: ReplicaBinding;
  readonly #scratch: number;

  /** @param scratch `scratchBytes` of the rank's workspace */
  constructor(kernels: Kernels, binding: ReplicaBinding, scratch: number) {
    this.#kernels = kernels;
    this.#binding = binding;
    this.#scratch = scratch;
  }

  prepare(unit: number, set: 0 | 1, averaged: boolean): void {
    const plan = at(units, unit);
    const kernels = this.#kernels;
    const { prepared, inputDivisor, sets } = this.#binding;
    const parameters = parametersOf(sets[set], averaged);
    if (plan.kind === 'conv1') {
      const panel = prepared + plan.panel * conv1Length * floatBytes;
      kernels.packRows(parameters + filters(conv1.weight, plan.panel) * floatBytes, panelWidth, conv1Taps, panel);
      if (inputDivisor !== 1) kernels.divide(panel, conv1Taps * panelWidth, inputDivisor, panel);
      const bias = parameters + (conv1.bias.offset + plan.panel * panelWidth) * floatBytes;
      kernels.divide(bias, panelWidth, 1, panel + conv1Taps * lineBytes);
    } else if (plan.kind === 'product') {
      const { layer, panel } = plan;
      const weight = parameters + filters(layer.weight, panel) * floatBytes;
      const u = prepared + preparedOffsets[layer.name].u + panel * layer.points * layer.inputs * lineBytes;
      const ut = prepared + preparedOffsets[layer.name].ut;
      if (layer.name === 'linear1' || layer.name === 'linear2') {
        const outputs = Math.min(panelWidth, layer.outputs);
        kernels.packRows(weight, outputs, layer.inputs, u);
        kernels.packColumns(weight, outputs, layer.inputs, layer.columns, panel * panelWidth, ut);
      } else {
        kernels[`${layer.name}Weights`](weight, u, ut, panel * panelWidth, this.#scratch);
      }
    }
  }

  finish(unit: number, accumulator: number, globalRows: number): boolean {
    const plan = at(units, unit);
    const kernels = this.#kernels;
    const { gradients, inputDivisor } = this.#binding;
    const source = accumulator + plan.accumulator.offset * floatBytes;
    if (plan.kind === 'norm') {
      kernels.divide(source, plan.accumulator.length, globalRows, gradients + offsetOf(plan, 0));
    } else {
      const weight = gradients + offsetOf(plan, 0);
      const bias = source + (plan.accumulator.length - panelWidth) * floatBytes;
      const biases = at(plan.parameters, 1).length;
      if (plan.kind === 'conv1') {
        kernels.unpackRows(source, panelWidth, conv1Taps, globalRows, weight);
        if (inputDivisor !== 1) kernels.divide(weight, conv1Taps * panelWidth, inputDivisor, weight);
      } else if (plan.layer.name === 'linear1' || plan.layer.name === 'linear2') {
        kernels.unpackRows(source, biases, plan.layer.inputs, globalRows, weight);
      } else kernels[`${plan.layer.name}WeightsAdjoint`](source, globalRows, weight, this.#scratch);
      kernels.divide(bias, biases, globalRows, gradients + offsetOf(plan, 1));
    }
    return plan.parameters.every(
      (range) => kernels.isAllFinite(gradients + range.offset * floatBytes, range.length) !== 0,
    );
  }

  update(unit: number, from: 0 | 1, to: 0 | 1, adam: AdamScalars): boolean {
    const { sets, gradients } = this.#binding;
    let finite = true;
    for (const { offset, length } of at(units, unit).parameters) {
      finite = this.#adam(sets[from], sets[to], gradients, offset * floatBytes, length, adam) && finite;
      this.#average(sets[from], sets[to], offset * floatBytes, length, adam.averageDecay);
    }
    this.prepare(unit, to, false);
    return finite;
  }

  #adam(from: StateSet, to: StateSet, gradients: number, offset: number, length: number, adam: AdamScalars): boolean {
    const result = this.#kernels.adam(
      gradients + offset,
      length,
      from.parameters + offset,
      from.firstMoments + offset,
      from.secondMoments + offset,
      to.parameters + offset,
      to.firstMoments + offset,
      to.secondMoments + offset,
      adam.learningRate,
      adam.beta1,
      adam.beta2,
      adam.epsilon,
      adam.beta1Power,
      adam.beta2Power,
    );
    return result !== 0;
  }

  #average({ average }: StateSet, to: StateSet, offset: number, length: number, decay: number | null): void {
    if (average === null || to.average === null || decay === null) return;
    const next = to.average.parameters + offset;
    this.#kernels.averageOf(average.parameters + offset, to.parameters + offset, length, decay, next);
  }
}

function offsetOf(unit: Unit, range: number): number {
  return at(unit.parameters, range).offset * floatBytes;
}

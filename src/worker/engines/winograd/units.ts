/**
 * The accumulator and the prepared weights of the engines on Winograd's transforms, unit by unit.
 *
 * A unit is 16 output channels of a layer (one panel) with their biases, or a whole batch norm. Its accumulator holds the
 * gradient in the kernels' own form: at the Winograd points for convolutions, where the tree is summed; G^T . G is applied
 * once, to the whole tree's sum (the transform does not distribute over additions in floating point).
 */
import { at } from '../../../shared/errors.js';
import type { Unit } from '../../../shared/engine.js';
import {
  batchNormChannels,
  batchNorms,
  parameterOf,
  type LayerName,
  type Parameter,
} from '../../../shared/model/network.js';
import {
  conv1Panels,
  floatBytes,
  outputPanels,
  panelWidth,
  productLayers,
  productNames,
  unitLength,
} from './geometry.js';
import type { ProductLayer, ProductName } from './geometry.js';

export const conv1 = { weight: parameterOf('conv1', 'weight'), bias: parameterOf('conv1', 'bias') };
/** Nine taps, then the bias. */
export const conv1Taps = 9;
/** Floats of one panel of conv1: prepared weights, or gradients. */
export const conv1Length = (conv1Taps + 1) * panelWidth;

type UnitPlan = Unit &
  (
    | { readonly kind: 'conv1'; readonly panel: number }
    | { readonly kind: 'norm' }
    | { readonly kind: 'product'; readonly layer: ProductLayer; readonly panel: number }
  );

/** Floats at the start of the accumulator that hold conv1 and the batch norms: the part summed leaf by leaf. */
export const smallLength: number = conv1Panels * conv1Length + 2 * batchNormChannels;

export const units: readonly UnitPlan[] = planUnits();
export const accumulatorLength: number = sum(units.map((unit) => unit.accumulator.length));

/** Floats from the start of the accumulator to the gradients of a batch norm: weights, then biases. */
export function normOffset(name: LayerName): number {
  return accumulatorOffset(name);
}

/** Floats from the start of the accumulator to a product layer's first panel. */
export function productOffset(name: ProductName): number {
  return accumulatorOffset(`${name}[0]`);
}

/** Bytes from the start of the prepared weights: U for the forward product, UT for the data gradient. */
export const preparedOffsets: Readonly<Record<ProductName, { readonly u: number; readonly ut: number }>> =
  planPrepared();
export const preparedBytes: number =
  conv1Panels * conv1Length * floatBytes + sum(productNames.map((name) => 2 * weightBytes(productLayers[name])));

function planUnits(): UnitPlan[] {
  const plans: UnitPlan[] = [];
  let offset = 0;
  const accumulator = (length: number): Unit['accumulator'] => {
    offset += length;
    return { offset: offset - length, length };
  };
  for (let panel = 0; panel < conv1Panels; panel++) {
    const parameters = panelParameters(conv1.weight, conv1.bias, panel);
    plans.push({
      kind: 'conv1',
      name: `conv1[${String(panel)}]`,
      panel,
      accumulator: accumulator(conv1Length),
      parameters,
    });
  }
  for (const { name, channels } of batchNorms) {
    // PyTorch's order puts a batch norm's bias right behind its weight.
    const parameters = [{ offset: parameterOf(name, 'weight').offset, length: 2 * channels }];
    plans.push({ kind: 'norm', name, accumulator: accumulator(2 * channels), parameters });
  }
  for (const layer of productNames.map((name) => productLayers[name])) {
    for (let panel = 0; panel < outputPanels(layer); panel++) {
      const parameters = panelParameters(layer.weight, layer.bias, panel);
      const name = `${layer.name}[${String(panel)}]`;
      plans.push({ kind: 'product', name, layer, panel, accumulator: accumulator(unitLength(layer)), parameters });
    }
  }
  return plans;
}

/** The weights of 16 output channels (fewer in a layer with fewer), and their biases. */
function panelParameters(weight: Parameter, bias: Parameter, panel: number): Unit['parameters'] {
  const outputs = Math.min(panelWidth, bias.length - panel * panelWidth);
  return [
    { offset: filters(weight, panel), length: outputs * (weight.length / bias.length) },
    { offset: bias.offset + panel * panelWidth, length: outputs },
  ];
}

/** Position of a panel's first weight in the flat parameters. */
export function filters(weight: Parameter, panel: number): number {
  return weight.offset + panel * panelWidth * (weight.length / at(weight.shape, 0));
}

function planPrepared(): Record<ProductName, { u: number; ut: number }> {
  let offset = conv1Panels * conv1Length * floatBytes;
  const weightsOf = (name: ProductName): { u: number; ut: number } => {
    const bytes = weightBytes(productLayers[name]);
    offset += 2 * bytes;
    return { u: offset - 2 * bytes, ut: offset - bytes };
  };
  return {
    conv2: weightsOf('conv2'),
    conv3: weightsOf('conv3'),
    conv4: weightsOf('conv4'),
    conv5: weightsOf('conv5'),
    linear1: weightsOf('linear1'),
    linear2: weightsOf('linear2'),
  };
}

function weightBytes(layer: ProductLayer): number {
  return layer.points * layer.inputs * layer.columns * floatBytes;
}

function accumulatorOffset(name: string): number {
  const unit = units.find((candidate) => candidate.name === name);
  if (unit === undefined) throw new Error(`no unit ${name}`);
  return unit.accumulator.offset;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/**
 * From the sum of the whole tree to the next step's weights, in OpenCL C: the gradient in PyTorch's layout, one Adam step, and
 * what the products need of the new weights, in one kernel a layer. Formulas and orders are those of wasm/assembly/optimiser.ts.
 */
import { batchNorms, parameterOf } from '../../../../shared/model/network.js';
import { floatBytes, panelWidth, productLayers, unitLength } from '../../winograd/geometry.js';
import type { ConvolutionName, ProductLayer, ProductName } from '../../winograd/geometry.js';
import { conv1, conv1Length, conv1Taps, normOffset, preparedOffsets, productOffset } from '../../winograd/units.js';

const { linear1, linear2, ...convolutionLayers } = productLayers;

/** In `notFinite`, where every parameter is. */
export const allFinite = 0x7fffffff;

/** The parameters that the kernels of a step have in common: one state set is read, the other written. */
const state = `__global const float *w, __global const float *m, __global const float *v, __global float *nextW, __global float *nextM,
  __global float *nextV, __global float *prepared, __global const float *scalars, const float divisor, __global int *notFinite`;
const passed = 'w, m, v, nextW, nextM, nextV, scalars, notFinite';

function convolutionKernels(layer: ProductLayer & { readonly name: ConvolutionName }): string {
  const { name, inputs, weight } = layer;
  const unit = unitLength(layer);
  return `
// A work-item for each filter and input: sixteen neighbours are the filters of a panel.
__kernel void ${name}Update(__global const float *sums, ${state}) {
  const int o = get_global_id(0), k = get_global_id(1);
  if (scalars[7] == 0.0f) return;
  float taps[9];
  ${name}Taps(sums + ${String(productOffset(name))} + (size_t)(o / 16) * ${String(unit)} + k * 16 + o % 16, divisor, taps);
  const int first = ${String(weight.offset)} + (o * ${String(inputs)} + k) * 9;
  #pragma unroll
  for (int i = 0; i < 9; i++) taps[i] = adam(taps[i], first + i, ${passed});
  ${name}Spectrum(taps, prepared, o, k);
}

__kernel void ${name}Prepare(__global const float *w, __global float *prepared) {
  const int o = get_global_id(0), k = get_global_id(1);
  float taps[9];
  #pragma unroll
  for (int i = 0; i < 9; i++) taps[i] = w[${String(weight.offset)} + (o * ${String(inputs)} + k) * 9 + i];
  ${name}Spectrum(taps, prepared, o, k);
}`;
}

function linearKernels(layer: ProductLayer): string {
  const { name, inputs, outputs, columns, weight } = layer;
  const { u, ut } = preparedOffsets[name];
  return `
static inline void ${name}Place(const float value, __global float *prepared, const int o, const int k) {
  prepared[${String(u / floatBytes)} + (size_t)(o / 16) * ${String(inputs * 16)} + k * 16 + o % 16] = value;
  prepared[${String(ut / floatBytes)} + (size_t)(k / 16) * ${String(columns * 16)} + o * 16 + k % 16] = value;
}

// Outputs that only fill the last panel have zeros for weights.
__kernel void ${name}Update(__global const float *sums, ${state}) {
  const int o = get_global_id(0), k = get_global_id(1);
  if (scalars[7] == 0.0f) return;
  float value = 0.0f;
  if (o < ${String(outputs)}) {
    const float sum = sums[${String(productOffset(name))} + (size_t)(o / 16) * ${String(unitLength(layer))} + k * 16 + o % 16];
    value = adam(sum / divisor, ${String(weight.offset)} + o * ${String(inputs)} + k, ${passed});
  }
  ${name}Place(value, prepared, o, k);
}

__kernel void ${name}Prepare(__global const float *w, __global float *prepared) {
  const int o = get_global_id(0), k = get_global_id(1);
  ${name}Place(o < ${String(outputs)} ? w[${String(weight.offset)} + o * ${String(inputs)} + k] : 0.0f, prepared, o, k);
}`;
}

/** Everything but the weights of products, in runs: where a run's sums and its parameters begin, and how they go on. */
interface Run {
  readonly count: number;
  /** Of element j of the run. */
  readonly sum: string;
  readonly parameter: string;
  /** Where its weights are in the prepared ones; null where nothing is prepared of it. */
  readonly prepared: string | null;
  /** What both are divided by; nothing where it is left out. */
  readonly divisor?: string;
}

const biasRun = (layer: ProductLayer): Run => ({
  count: layer.bias.length,
  sum: `${String(productOffset(layer.name))} + j / 16 * ${String(unitLength(layer))} + ${String(unitLength(layer) - panelWidth)} + j % 16`,
  parameter: `${String(layer.bias.offset)} + j`,
  prepared: null,
});

const conv1Place = (tap: string, o: string): string => `${o} / 16 * ${String(conv1Length)} + ${tap} * 16 + ${o} % 16`;

const runs: readonly Run[] = [
  {
    count: conv1.weight.length,
    sum: conv1Place('j % 9', '(j / 9)'),
    parameter: `${String(conv1.weight.offset)} + j`,
    prepared: conv1Place('j % 9', '(j / 9)'),
    divisor: ' / INPUT_DIVISOR',
  },
  {
    count: conv1.bias.length,
    sum: conv1Place(String(conv1Taps), 'j'),
    parameter: `${String(conv1.bias.offset)} + j`,
    prepared: conv1Place(String(conv1Taps), 'j'),
  },
  ...batchNorms.map(({ name, channels }) => ({
    count: 2 * channels,
    sum: `${String(normOffset(name))} + j`,
    parameter: `${String(parameterOf(name, 'weight').offset)} + j`,
    prepared: null,
  })),
  ...Object.values(productLayers).map(biasRun),
];

/** conv1, the batch norms and all biases. */
export const smallParameters: number = runs.reduce((sum, { count }) => sum + count, 0);
/** Work-items side by side of their kernels. */
const smallLanes = 64;

export interface UpdateKernel {
  readonly name: ProductName | 'small';
  readonly lanes: number;
  readonly count: number;
}

/**
 * The kernels that together update all parameters, each `conv2Update` and so on, and those that prepare them: how many work-items
 * lie side by side, and how often.
 */
export const updateKernels: readonly UpdateKernel[] = [
  ...Object.values(productLayers).map(({ name, columns, inputs }) => ({ name, lanes: columns, count: inputs })),
  { name: 'small', lanes: smallLanes, count: Math.ceil(smallParameters / smallLanes) },
];

function branches(body: (run: Run) => string, chosen: readonly Run[]): string {
  let end = 0;
  return chosen
    .map((run) => {
      const first = end;
      end += run.count;
      return `if (i < ${String(end)}) {
    const int j = i - ${String(first)};
    ${body(run)}
  }`;
    })
    .join(' else ');
}

const preparedRuns = runs.filter(({ prepared }) => prepared !== null);

export const optimiserSource = `
// The scalars of a step for its work-items. notFinite is the first parameter that ceased to be finite, and in which step it did: from
// then on nothing is updated, so what was before that step stays.
__kernel void adamScalars(
  __global float *scalars, __global int *notFinite, const int step, const float beta1, const float rest1, const float beta2,
  const float rest2, const float rate, const float root, const float epsilon
) {
  const bool goesOn = notFinite[0] == ${String(allFinite)};
  if (goesOn) notFinite[1] = step;
  scalars[7] = goesOn ? 1.0f : 0.0f;
  scalars[0] = beta1;
  scalars[1] = rest1;
  scalars[2] = beta2;
  scalars[3] = rest2;
  scalars[4] = rate;
  scalars[5] = root;
  scalars[6] = epsilon;
}

// The new value of parameter i. Of those that are not finite, or whose gradient is not, the first is remembered.
static inline float adam(
  const float g, const int i, __global const float *w, __global const float *m, __global const float *v, __global float *nextW,
  __global float *nextM, __global float *nextV, __global const float *scalars, __global int *notFinite
) {
  const float first = scalars[0] * m[i] + scalars[1] * g;
  const float second = scalars[2] * v[i] + scalars[3] * (g * g);
  const float next = w[i] - scalars[4] * (first / (sqrt(second) / scalars[5] + scalars[6]));
  nextM[i] = first;
  nextV[i] = second;
  nextW[i] = next;
  // x - x is 0 for a finite x and NaN for any other.
  if ((g - g) + (next - next) + (second - second) != 0.0f) atomic_min(notFinite, i);
  return next;
}
${[convolutionLayers.conv2, convolutionLayers.conv3, convolutionLayers.conv4, convolutionLayers.conv5]
  .map((layer) => convolutionKernels(layer as ProductLayer & { readonly name: ConvolutionName }))
  .join('\n')}
${[linear1, linear2].map(linearKernels).join('\n')}

// next[i] = kept average[i] + added values[i], of arrays that a step has made; nothing where it was not to be.
__kernel void averageOf(
  __global const float *average, __global const float *values, __global float *next, __global const float *scalars,
  const float kept, const float added, const int length
) {
  const int i = get_global_id(0);
  if (i >= length || scalars[7] == 0.0f) return;
  next[i] = kept * average[i] + added * values[i];
}

// conv1, the batch norms and all biases.
__kernel void smallUpdate(__global const float *sums, ${state}) {
  const int i = get_global_id(1) * ${String(smallLanes)} + get_global_id(0);
  if (scalars[7] == 0.0f) return;
  ${branches(
    ({ sum, parameter, prepared, divisor = '' }) =>
      `const float value = adam(sums[${sum}] / divisor${divisor}, ${parameter}, ${passed});${
        prepared === null ? '' : `\n    prepared[${prepared}] = value${divisor};`
      }`,
    runs,
  )}
}

__kernel void smallPrepare(__global const float *w, __global float *prepared) {
  const int i = get_global_id(1) * ${String(smallLanes)} + get_global_id(0);
  ${branches(
    ({ parameter, prepared, divisor = '' }) => `prepared[${prepared ?? ''}] = w[${parameter}]${divisor};`,
    preparedRuns,
  )}
}
`;

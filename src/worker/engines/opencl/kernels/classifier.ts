/**
 * The linear layers around their products, and the loss, in OpenCL C: formulas and orders are those of wasm/assembly/classifier.ts.
 * Panels of a linear layer are [tiles][16], a row to a tile.
 */
import { classes, parameterOf } from '../../../../shared/model/network.js';
import { productLayers } from '../../winograd/geometry.js';

const { linear1, linear2 } = productLayers;

export const classifierSource = `
// The normalised rows [rows][${String(linear1.inputs)}] in panels.
__kernel void linear1Input(
  __global const float *x, __global const float *mean, __global const float *scale, __global const float *parameters,
  __global float *panels, const int tiles
) {
  const int c = get_global_id(0), row = get_global_id(1);
  const float y = (x[(size_t)row * ${String(linear1.inputs)} + c] - mean[c]) * scale[c] + parameters[${String(parameterOf('bn5', 'bias').offset)} + c];
  panels[((size_t)(c / 16) * tiles + row) * 16 + c % 16] = y;
}

// relu(y + bias) in place.
__kernel void linear1Output(__global float *y, __global const float *parameters, const int tiles) {
  const int lane = get_global_id(0), row = get_global_id(1), panel = get_global_id(2);
  const size_t at = ((size_t)panel * tiles + row) * 16 + lane;
  y[at] = relu(y[at] + parameters[${String(linear1.bias.offset)} + panel * 16 + lane]);
}

// delta = 0 where the activation is 0, in place.
__kernel void linear1OutputAdjoint(__global float *delta, __global const float *activation, const int tiles) {
  const int lane = get_global_id(0), row = get_global_id(1), panel = get_global_id(2);
  const size_t at = ((size_t)panel * tiles + row) * 16 + lane;
  delta[at] = activation[at] > 0.0f ? delta[at] : 0.0f;
}

// The way back from panels to rows.
__kernel void linear1Gather(__global const float *panels, __global float *delta, const int tiles) {
  const int c = get_global_id(0), row = get_global_id(1);
  delta[(size_t)row * ${String(linear1.inputs)} + c] = panels[((size_t)(c / 16) * tiles + row) * 16 + c % 16];
}

`;

/** What needs float64. */
export const lossSource = `
static inline void softmaxOf(__global const float *logits, __global const float *bias, __private double *p) {
  double top = -as_double(0x7ff0000000000000UL);
  for (int j = 0; j < ${String(classes)}; j++) {
    p[j] = (double)(logits[j] + bias[j]);
    // As WebAssembly's max: NaN stays.
    top = p[j] > top || p[j] != p[j] ? p[j] : top;
  }
  double sum = 0.0;
  for (int j = 0; j < ${String(classes)}; j++) {
    p[j] = exponential(p[j] - top);
    sum += p[j];
  }
  for (int j = 0; j < ${String(classes)}; j++) p[j] = p[j] / sum;
}

// Of each row of a panel of logits: [rows][${String(classes)}].
__kernel void softmax(__global const float *logits, __global const float *parameters, __global float *target, const int rows) {
  const int row = get_global_id(0);
  if (row >= rows) return;
  double p[${String(classes)}];
  softmaxOf(logits + (size_t)row * 16, parameters + ${String(linear2.bias.offset)}, p);
  for (int j = 0; j < ${String(classes)}; j++) target[(size_t)row * ${String(classes)} + j] = (float)p[j];
}

// The loss of each row, and the gradient of the summed loss over the logits, in place: of the loss \`double-softmax\`.
__kernel void lossGradient(
  __global float *logits, __global const float *parameters, __global const uchar *labels, __global const uint *rowNumbers,
  __global double *losses, const int rows
) {
  const int row = get_global_id(0);
  if (row >= rows) return;
  __global float *z = logits + (size_t)row * 16;
  const int label = labels[rowNumbers[row]];
  double p[${String(classes)}], q[${String(classes)}];
  softmaxOf(z, parameters + ${String(linear2.bias.offset)}, p);
  double sum = 0.0, own = p[0];
  for (int j = 0; j < ${String(classes)}; j++) {
    q[j] = exponential(p[j]);
    sum += q[j];
    if (j == label) own = p[j];
  }
  losses[row] = logarithm(sum) - own;
  double inner = 0.0;
  for (int j = 0; j < ${String(classes)}; j++) {
    q[j] = q[j] / sum - (j == label ? 1.0 : 0.0);
    inner += q[j] * p[j];
  }
  for (int j = 0; j < 16; j++) z[j] = j < ${String(classes)} ? (float)(p[j] * (q[j] - inner)) : 0.0f;
}

// The same of the loss \`cross-entropy\`.
__kernel void crossEntropyGradient(
  __global float *logits, __global const float *parameters, __global const uchar *labels, __global const uint *rowNumbers,
  __global double *losses, const int rows
) {
  const int row = get_global_id(0);
  if (row >= rows) return;
  __global float *z = logits + (size_t)row * 16;
  __global const float *bias = parameters + ${String(linear2.bias.offset)};
  const int label = labels[rowNumbers[row]];
  double e[${String(classes)}], d[${String(classes)}];
  double top = -as_double(0x7ff0000000000000UL);
  for (int j = 0; j < ${String(classes)}; j++) {
    d[j] = (double)(z[j] + bias[j]);
    top = d[j] > top || d[j] != d[j] ? d[j] : top;
  }
  double sum = 0.0, own = 0.0;
  for (int j = 0; j < ${String(classes)}; j++) {
    d[j] = d[j] - top;
    e[j] = exponential(d[j]);
    sum += e[j];
    if (j == label) own = d[j];
  }
  losses[row] = logarithm(sum) - own;
  for (int j = 0; j < 16; j++) z[j] = j < ${String(classes)} ? (float)(e[j] / sum - (j == label ? 1.0 : 0.0)) : 0.0f;
}
`;

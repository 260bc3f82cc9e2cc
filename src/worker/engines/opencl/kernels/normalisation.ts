/**
 * Batch norms in OpenCL C, with the formulas and orders of wasm/assembly/normalisation.ts: x is [values][channels], sums are float64
 * and taken leaf by leaf, values in ascending order. A sum waits for the one before it, so each channel of each leaf is a work-item.
 */
import { allFinite } from './optimiser.js';

/** What needs float64: the sums, and what follows from them. */
export const normSumsSource = `
// sums [leaves][2][channels]: of x, and of x x.
__kernel void normSums(__global const float *x, __global double *sums, const int rowValues, const int microBatch, const int rows) {
  const int c = get_global_id(0), leaf = get_global_id(1), channels = get_global_size(0);
  const int first = leaf * microBatch, values = min(microBatch, rows - first) * rowValues;
  __global const float *p = x + (size_t)first * rowValues * channels + c;
  double s = 0.0, q = 0.0;
  for (int i = 0; i < values; i++) {
    const double value = (double)p[(size_t)i * channels];
    s += value;
    q += value * value;
  }
  sums[(size_t)leaf * 2 * channels + c] = s;
  sums[((size_t)leaf * 2 + 1) * channels + c] = q;
}

// sums [leaves][2][channels]: of dy, and of dy xhat.
__kernel void normGradientSums(
  __global const float *x, __global const float *dy, __global const float *mean, __global const float *invStd, __global double *sums,
  const int rowValues, const int microBatch, const int rows
) {
  const int c = get_global_id(0), leaf = get_global_id(1), channels = get_global_size(0);
  const int first = leaf * microBatch, values = min(microBatch, rows - first) * rowValues;
  const size_t start = (size_t)first * rowValues * channels + c;
  const float centre = mean[c], r = invStd[c];
  double s = 0.0, q = 0.0;
  for (int i = 0; i < values; i++) {
    const float hat = (x[start + (size_t)i * channels] - centre) * r;
    const double g = (double)dy[start + (size_t)i * channels];
    s += g;
    q += g * (double)hat;
  }
  sums[(size_t)leaf * 2 * channels + c] = s;
  sums[((size_t)leaf * 2 + 1) * channels + c] = q;
}

// The additions of a tree over leaves: pairs of target and source, in a copy of the sums. The whole sum ends in leaf 0.
__kernel void mergeStatistics(
  __global const double *sums, const int leaves, __global const int2 *merges, const int count, __global double *copy,
  __global double *total
) {
  const int j = get_global_id(0), length = get_global_size(0);
  for (int leaf = 0; leaf < leaves; leaf++) copy[(size_t)leaf * length + j] = sums[(size_t)leaf * length + j];
  for (int i = 0; i < count; i++) {
    const int2 merge = merges[i];
    copy[(size_t)merge.x * length + j] += copy[(size_t)merge.y * length + j];
  }
  total[j] = copy[j];
}

// Mean, inverse standard deviation and scale, and the running statistics: [means of all batch norms, then variances]. Over no value
// the running statistics stay as they are; where a step was not finite, those of both sets, see optimiser.ts.
__kernel void normForwardCoefficients(
  __global const double *total, const double n, const double epsilon, const double momentum, __global const float *parameters,
  const int gamma, __global const float *running, __global float *next, const int allChannels, const int offset,
  __global float *mean, __global float *invStd, __global float *scale, __global const int *notFinite
) {
  const int c = get_global_id(0), channels = get_global_size(0);
  if (notFinite[0] != ${String(allFinite)}) return;
  running += offset;
  next += offset;
  if (n == 0.0) {
    next[c] = running[c];
    next[allChannels + c] = running[allChannels + c];
    return;
  }
  const double m = total[c] / n;
  const double difference = total[channels + c] / n - m * m;
  const double v = difference <= 0.0 ? 0.0 : difference;
  const double r = 1.0 / sqrt(v + epsilon);
  mean[c] = (float)m;
  invStd[c] = (float)r;
  scale[c] = (float)(r * (double)parameters[gamma + c]);
  next[c] = (float)((1.0 - momentum) * (double)running[c] + momentum * m);
  const double unbiased = (v * n) / (n - 1.0);
  next[allChannels + c] = (float)((1.0 - momentum) * (double)running[allChannels + c] + momentum * unbiased);
}

// The scale of each channel in evaluation mode, and its mean beside it.
__kernel void normEvaluationCoefficients(
  __global const float *statistics, const double epsilon, __global const float *parameters, const int gamma, const int allChannels,
  const int offset, __global float *mean, __global float *scale
) {
  const int c = get_global_id(0);
  const double r = 1.0 / sqrt((double)statistics[allChannels + offset + c] + epsilon);
  mean[c] = statistics[offset + c];
  scale[c] = (float)(r * (double)parameters[gamma + c]);
}

__kernel void normBackwardCoefficients(
  __global const double *total, const double n, __global const float *invStd, __global const float *scale, __global float *slope,
  __global float *shift
) {
  const int c = get_global_id(0), channels = get_global_size(0);
  const double s = (double)scale[c], r = (double)invStd[c];
  shift[c] = (float)(-s * total[c] / n);
  slope[c] = (float)(-s * r * total[channels + c] / n);
}
`;

export const normalisationSource = `
// dx = scale dy + (x - mean) slope + shift, in place over dy.
__kernel void normaliseGradient(
  __global const float *x, __global float *dy, __global const float *mean, __global const float *scale, __global const float *slope,
  __global const float *shift
) {
  const int c = get_global_id(0), channels = get_global_size(0);
  const size_t at = (get_global_id(2) * get_global_size(1) + get_global_id(1)) * channels + c;
  const float common = (x[at] - mean[c]) * slope[c] + shift[c];
  dy[at] = dy[at] * scale[c] + common;
}
`;

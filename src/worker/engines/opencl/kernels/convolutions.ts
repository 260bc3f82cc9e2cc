/**
 * The convolutions around their products, in OpenCL C, a set of kernels for each layer with its sizes as constants. What they compute
 * is said in wasm/assembly/convolution.ts, whose order of operations they keep.
 *
 * A work-item takes one tile and one channel; sixteen neighbours take the channels of a panel, so that they read and write whole
 * lines. Tiles lie [point][panel][tile][16], with `tiles` tiles in a panel: a multiple of what a product takes at once, so that
 * those behind the last are read and computed like others, and used by none.
 */
import { batchNormAfter, convolutions, imageSize, parameterOf } from '../../../../shared/model/network.js';
import type { Convolution } from '../../../../shared/model/network.js';
import { conv1Panels, floatBytes, panelWidth, type ConvolutionName } from '../../winograd/geometry.js';
import { conv1Length, conv1Taps, preparedOffsets } from '../../winograd/units.js';
import { tiles } from '../../winograd/winograd.js';

/** One layer's sizes as its kernels need them. */
interface Sizes {
  readonly name: ConvolutionName;
  readonly m: number;
  readonly n: number;
  readonly side: number;
  readonly outputSide: number;
  /** Tiles in one dimension. */
  readonly across: number;
  readonly inputs: number;
  readonly outputs: number;
  readonly pooled: boolean;
}

const layers: readonly Sizes[] = convolutions
  .filter(({ name }) => name !== 'conv1')
  .map((conv: Convolution) => {
    const name = conv.name as ConvolutionName;
    const { m } = tiles[name];
    const { inputSize: side, outputSize: outputSide, inputs, outputs, pooled } = conv;
    return { name, m, n: m + 2, side, outputSide, across: outputSide / m, inputs, outputs, pooled };
  });

/** Values of one point of one panel from `name` on: `[(point, panel), tile, channel]`. */
const tileAt = (name: string, point: string, panels: number): string =>
  `${name}[((size_t)(${point}) * ${String(panels)} + panel) * tiles * 16 + (size_t)tile * 16 + lane]`;

/** The head of a kernel with a work-item for each lane, tile and panel. */
function head({ across }: Sizes): string {
  return `  const int lane = get_global_id(0), tile = get_global_id(1), panel = get_global_id(2);
  const int row = tile / ${String(across * across)}, ty = tile / ${String(across)} % ${String(across)}, tx = tile % ${String(across)};
  const int c = panel * 16 + lane;`;
}

/** V = BT d B; `column` are statements that fill \`line\` with column j of d. */
function spread(sizes: Sizes, before: string, column: string): string {
  const { m, n, inputs } = sizes;
  return `${before}
  float line[${String(n)}], half_[${String(n * n)}];
  #pragma unroll
  for (int j = 0; j < ${String(n)}; j++) {
${column}
    inputTransform${String(m)}(line, 1, half_ + j, ${String(n)});
  }
  #pragma unroll
  for (int i = 0; i < ${String(n)}; i++) {
    inputTransform${String(m)}(half_ + i * ${String(n)}, 1, line, 1);
    #pragma unroll
    for (int j = 0; j < ${String(n)}; j++) ${tileAt('v', `i * ${String(n)} + j`, inputs / panelWidth)} = line[j];
  }`;
}

function inputKernel(sizes: Sizes): string {
  const { name, m, n, side, inputs } = sizes;
  const norm = convolutions.find(({ outputs, name: other }) => outputs === inputs && batchNormFollows(other, name));
  const pixel = `d[(i * ${String(side)} + j) * ${String(inputs)}]`;
  const normalised = norm !== undefined;
  const shift = norm === undefined ? 0 : parameterOf(batchNormAfter(norm).name, 'bias').offset;
  const coefficients = normalised
    ? ', __global const float *mean, __global const float *scale, __global const float *parameters'
    : '';
  const before = `  __global const float *d = x + ((size_t)(row * ${String(side)} + ty * ${String(m)}) * ${String(side)} + tx * ${String(m)}) * ${String(inputs)} + c;${
    normalised ? `\n  const float centre = mean[c], by = scale[c], shift = parameters[${String(shift)} + c];` : ''
  }`;
  const value = normalised ? `(${pixel} - centre) * by + shift` : pixel;
  return `__kernel void ${name}Input(__global const float *x${coefficients}, __global float *v, const int tiles) {
${head(sizes)}
${spread(
  sizes,
  before,
  `    #pragma unroll
    for (int i = 0; i < ${String(n)}; i++) line[i] = ${value};`,
)}
}`;
}

/** Whether a batch norm stands between the two: whether the first is pooled and the second the next. */
function batchNormFollows(first: Convolution['name'], second: Convolution['name']): boolean {
  const index = convolutions.findIndex(({ name }) => name === first);
  return convolutions[index]?.pooled === true && convolutions[index + 1]?.name === second;
}

/**
 * V of conv2 from pixels: conv1 is so small that a tile computes its own part, some of it again, rather than write and read the
 * activation. Taps are added in row-major order, to the bias.
 */
function inputFromPixels(sizes: Sizes): string {
  const { m, n } = sizes;
  const before = `  const float bias = weights[panel * ${String(conv1Length)} + ${String(conv1Taps * panelWidth)} + lane];
  float w[9];
  #pragma unroll
  for (int tap = 0; tap < 9; tap++) w[tap] = weights[panel * ${String(conv1Length)} + tap * 16 + lane];
  __global const float *image = pixels + (size_t)row * ${String(imageSize * imageSize)} +
    (ty * ${String(m)}) * ${String(imageSize)} + tx * ${String(m)};`;
  const column = `    #pragma unroll
    for (int i = 0; i < ${String(n)}; i++) {
      float sum = bias;
      #pragma unroll
      for (int tap = 0; tap < 9; tap++) sum += image[(i + tap / 3) * ${String(imageSize)} + j + tap % 3] * w[tap];
      line[i] = relu(sum);
    }`;
  return `__kernel void conv2Input(__global const float *pixels, __global const float *weights,
  __global float *v, const int tiles) {
${head(sizes)}
${spread(sizes, before, column)}
}`;
}

/** Y = AT M A into \`y\`, [m][m]. */
function tileOutput({ m, n, outputs }: Sizes): string {
  return `  float line[${String(n)}], half_[${String(m * n)}], y[${String(m * m)}];
  #pragma unroll
  for (int j = 0; j < ${String(n)}; j++) {
    #pragma unroll
    for (int i = 0; i < ${String(n)}; i++) line[i] = ${tileAt('products', `i * ${String(n)} + j`, outputs / panelWidth)};
    outputTransform${String(m)}(line, 1, half_ + j, ${String(n)});
  }
  #pragma unroll
  for (int i = 0; i < ${String(m)}; i++) outputTransform${String(m)}(half_ + i * ${String(n)}, 1, y + i * ${String(m)}, 1);`;
}

function outputKernel(sizes: Sizes): string {
  const { name, m, outputSide, outputs } = sizes;
  const bias = parameterOf(name, 'bias').offset;
  return `__kernel void ${name}Output(__global const float *products, __global const float *parameters, __global float *activation,
  const int tiles) {
${head(sizes)}
${tileOutput(sizes)}
  const float bias = parameters[${String(bias)} + c];
  __global float *target = activation + ((size_t)(row * ${String(outputSide)} + ty * ${String(m)}) * ${String(outputSide)} + tx * ${String(m)}) * ${String(outputs)} + c;
  #pragma unroll
  for (int i = 0; i < ${String(m)}; i++) {
    #pragma unroll
    for (int j = 0; j < ${String(m)}; j++) target[(i * ${String(outputSide)} + j) * ${String(outputs)}] = relu(y[i * ${String(m)} + j] + bias);
  }
}`;
}

function pooledOutputKernel(sizes: Sizes): string {
  const { name, m, outputSide, outputs } = sizes;
  const [half, side] = [m / 2, outputSide / 2];
  const bias = parameterOf(name, 'bias').offset;
  return `__kernel void ${name}Output(__global const float *products, __global const float *parameters, __global float *pooled,
  __global char *argmax, const int tiles) {
${head(sizes)}
${tileOutput(sizes)}
  const float bias = parameters[${String(bias)} + c];
  const size_t first = ((size_t)(row * ${String(side)} + ty * ${String(half)}) * ${String(side)} + tx * ${String(half)}) * ${String(outputs)} + c;
  #pragma unroll
  for (int i = 0; i < ${String(half)}; i++) {
    #pragma unroll
    for (int j = 0; j < ${String(half)}; j++) {
      float best = y[2 * i * ${String(m)} + 2 * j];
      int place = 0;
      #pragma unroll
      for (int k = 1; k < 4; k++) {
        const float next = y[(2 * i + k / 2) * ${String(m)} + 2 * j + k % 2];
        if (next > best) {
          best = next;
          place = k;
        }
      }
      best += bias;
      const size_t at = first + (i * ${String(side)} + j) * ${String(outputs)};
      argmax[at] = best <= 0.0f ? -1 : place;
      pooled[at] = relu(best);
    }
  }
}`;
}

/** dM = A dY AT; \`value\` is dY at (i, j). */
function outputAdjointKernel(sizes: Sizes, parameters: string, before: string, value: string): string {
  const { name, m, n, outputs } = sizes;
  return `__kernel void ${name}OutputAdjoint(${parameters}, __global float *dm, const int tiles) {
${head(sizes)}
${before}
  float line[${String(n)}], half_[${String(n * m)}];
  #pragma unroll
  for (int j = 0; j < ${String(m)}; j++) {
    #pragma unroll
    for (int i = 0; i < ${String(m)}; i++) line[i] = ${value};
    outputAdjoint${String(m)}(line, 1, half_ + j, ${String(m)});
  }
  #pragma unroll
  for (int i = 0; i < ${String(n)}; i++) {
    outputAdjoint${String(m)}(half_ + i * ${String(m)}, 1, line, 1);
    #pragma unroll
    for (int j = 0; j < ${String(n)}; j++) ${tileAt('dm', `i * ${String(n)} + j`, outputs / panelWidth)} = line[j];
  }
}`;
}

function pooledAdjoint(sizes: Sizes): string {
  const { m, outputSide, outputs } = sizes;
  const [half, side] = [m / 2, outputSide / 2];
  const before = `  const size_t first = ((size_t)(row * ${String(side)} + ty * ${String(half)}) * ${String(side)} + tx * ${String(half)}) * ${String(outputs)} + c;
  float pooledDelta[${String(half * half)}];
  int places[${String(half * half)}];
  #pragma unroll
  for (int i = 0; i < ${String(half * half)}; i++) {
    const size_t at = first + (i / ${String(half)} * ${String(side)} + i % ${String(half)}) * ${String(outputs)};
    pooledDelta[i] = delta[at];
    places[i] = argmax[at];
  }`;
  const window = `i / 2 * ${String(half)} + j / 2`;
  return outputAdjointKernel(
    sizes,
    '__global const float *delta, __global const char *argmax',
    before,
    `places[${window}] == i % 2 * 2 + j % 2 ? pooledDelta[${window}] : 0.0f`,
  );
}

/** Of conv3: relu alone follows. The gradient of what it made is put together from the tiles of the next layer here. */
function reluAdjoint(sizes: Sizes): string {
  const { m, outputSide, outputs } = sizes;
  const before = `  const size_t first = ((size_t)(row * ${String(outputSide)} + ty * ${String(m)}) * ${String(outputSide)} + tx * ${String(m)}) * ${String(outputs)} + c;`;
  const at = `first + (i * ${String(outputSide)} + j) * ${String(outputs)}`;
  return outputAdjointKernel(
    sizes,
    '__global const float *delta, __global const float *activation',
    before,
    `activation[${at}] > 0.0f ? delta[${at}] : 0.0f`,
  );
}

/** B dV BT of each tile in its own place, [n][n] for [points]. */
function inputAdjointKernel(sizes: Sizes): string {
  const { name, m, n, inputs } = sizes;
  const panels = inputs / panelWidth;
  return `__kernel void ${name}InputAdjoint(__global float *dv, const int tiles) {
  const int lane = get_global_id(0), tile = get_global_id(1), panel = get_global_id(2);
  float line[${String(n)}], half_[${String(n * n)}];
  #pragma unroll
  for (int j = 0; j < ${String(n)}; j++) {
    #pragma unroll
    for (int i = 0; i < ${String(n)}; i++) line[i] = ${tileAt('dv', `i * ${String(n)} + j`, panels)};
    inputAdjoint${String(m)}(line, 1, half_ + j, ${String(n)});
  }
  #pragma unroll
  for (int i = 0; i < ${String(n)}; i++) {
    inputAdjoint${String(m)}(half_ + i * ${String(n)}, 1, line, 1);
    #pragma unroll
    for (int j = 0; j < ${String(n)}; j++) ${tileAt('dv', `i * ${String(n)} + j`, panels)} = line[j];
  }
}`;
}

/**
 * The gradient of one input from the tiles that it lies in, added in their order to a zero, as the wasm kernels do; a layer of one
 * tile has nothing to add.
 */
function overlapFunction({ name, m, n, across, inputs }: Sizes): string {
  const panels = inputs / panelWidth;
  const value = `dv[((size_t)((y - ty * ${String(m)}) * ${String(n)} + x - tx * ${String(m)}) * ${String(panels)} + c / 16) * tiles * 16 + (size_t)((row * ${String(across)} + ty) * ${String(across)} + tx) * 16 + c % 16]`;
  const head = `static inline float ${name}Gathered(__global const float *dv, const int tiles, const int row, const int y, const int x, const int c) {`;
  if (across === 1) return `${head}\n  const int ty = 0, tx = 0;\n  return ${value};\n}`;
  // Tile t covers [t m, t m + n).
  const first = (at: string): string => `max(0, (${at} - ${String(n - m)}) / ${String(m)})`;
  const last = (at: string): string => `min(${String(across - 1)}, ${at} / ${String(m)})`;
  return `${head}
  float sum = 0.0f;
  for (int ty = ${first('y')}; ty <= ${last('y')}; ty++) {
    for (int tx = ${first('x')}; tx <= ${last('x')}; tx++) sum += ${value};
  }
  return sum;
}`;
}

/** The whole gradient of a layer's input, [rows][side][side][inputs]; a work-item for each of its values. */
function gatherKernel({ name, side, inputs }: Sizes): string {
  return `__kernel void ${name}Gather(__global const float *dv, __global float *delta, const int tiles) {
  const int c = get_global_id(0), y = get_global_id(1) / ${String(side)}, x = get_global_id(1) % ${String(side)}, row = get_global_id(2);
  const size_t at = ((size_t)row * ${String(side * side)} + get_global_id(1)) * ${String(inputs)} + c;
  delta[at] = ${name}Gathered(dv, tiles, row, y, x, c);
}`;
}

/** The gradient of conv1's activation, masked by its relu: whether that was open is computed again. */
function conv1DeltaKernel({ side, inputs }: Sizes): string {
  return `__kernel void conv1Delta(__global const float *dv, __global const float *pixels, __global const float *weights,
  __global float *delta, const int tiles) {
  const int c = get_global_id(0), y = get_global_id(1) / ${String(side)}, x = get_global_id(1) % ${String(side)}, row = get_global_id(2);
  const size_t at = ((size_t)row * ${String(side * side)} + get_global_id(1)) * ${String(inputs)} + c;
  __global const float *w = weights + c / 16 * ${String(conv1Length)} + c % 16;
  __global const float *image = pixels + (size_t)row * ${String(imageSize * imageSize)} + y * ${String(imageSize)} + x;
  float sum = w[${String(conv1Taps * panelWidth)}];
  #pragma unroll
  for (int tap = 0; tap < 9; tap++) sum += image[tap / 3 * ${String(imageSize)} + tap % 3] * w[tap * 16];
  delta[at] = sum > 0.0f ? conv2Gathered(dv, tiles, row, y, x, c) : 0.0f;
}`;
}

/**
 * The gradients of conv1 of each leaf, [4][10][16] at the start of its accumulator: a work-item for each lane, tap and panel of
 * each leaf goes through the pixels of its rows. The bias is the tenth tap, whose image is 1 everywhere.
 */
function conv1GradientKernel({ side, inputs }: Sizes): string {
  const line = `      for (int x = 0; x < ${String(side)}; x++)`;
  return `__kernel void conv1Gradient(__global const float *pixels, __global const float *delta,
  __global float *slots, const int slotLength, const int firstLeaf, const int rows, const int microBatch) {
  const int lane = get_global_id(0), tap = get_global_id(1), panel = get_global_id(2) % ${String(conv1Panels)};
  const int slot = get_global_id(2) / ${String(conv1Panels)}, first = (firstLeaf + slot) * microBatch;
  const int last = min(first + microBatch, rows);
  float sum = 0.0f;
  for (int row = first; row < last; row++) {
    __global const float *image = pixels + (size_t)row * ${String(imageSize * imageSize)} + tap / 3 * ${String(imageSize)} + tap % 3;
    __global const float *d = delta + (size_t)row * ${String(side * side * inputs)} + panel * 16 + lane;
    for (int y = 0; y < ${String(side)}; y++) {
      if (tap < 9) {
  ${line} sum += image[y * ${String(imageSize)} + x] * d[(y * ${String(side)} + x) * ${String(inputs)}];
      } else {
  ${line} sum += d[(y * ${String(side)} + x) * ${String(inputs)}];
      }
    }
  }
  slots[(size_t)slot * slotLength + panel * ${String(conv1Length)} + tap * 16 + lane] = sum;
}`;
}

/** Of one filter and one of its inputs: U and UT at all points from nine taps at \`taps\`. */
function preparedFunction({ name, m, n, inputs, outputs }: Sizes): string {
  const points = n * n;
  const { u, ut } = preparedOffsets[name];
  return `static inline void ${name}Spectrum(__private const float *taps, __global float *prepared, const int o, const int k) {
  float half_[${String(3 * n)}], line[${String(n)}];
  __global float *u = prepared + ${String(u / floatBytes)} + (size_t)(o / 16) * ${String(points * inputs * 16)} + k * 16 + o % 16;
  __global float *ut = prepared + ${String(ut / floatBytes)} + (size_t)(k / 16) * ${String(points * outputs * 16)} + o * 16 + k % 16;
  #pragma unroll
  for (int j = 0; j < 3; j++) weightTransform${String(m)}(taps + j, 3, half_ + j, 3);
  #pragma unroll
  for (int i = 0; i < ${String(n)}; i++) {
    weightTransform${String(m)}(half_ + i * 3, 1, line, 1);
    #pragma unroll
    for (int j = 0; j < ${String(n)}; j++) {
      u[(size_t)(i * ${String(n)} + j) * ${String(inputs * 16)}] = line[j];
      ut[(size_t)(i * ${String(n)} + j) * ${String(outputs * 16)}] = line[j];
    }
  }
}`;
}

/** Of one filter and one of its inputs: the gradient of its nine taps, G^T dU G / divisor. */
function gradientFunction({ name, m, n, inputs }: Sizes): string {
  return `static inline void ${name}Taps(__global const float *du, const float divisor, __private float *taps) {
  float half_[${String(3 * n)}], line[${String(n)}];
  #pragma unroll
  for (int j = 0; j < ${String(n)}; j++) {
    #pragma unroll
    for (int i = 0; i < ${String(n)}; i++) line[i] = du[(size_t)(i * ${String(n)} + j) * ${String(inputs * 16)}];
    weightAdjoint${String(m)}(line, 1, half_ + j, ${String(n)});
  }
  #pragma unroll
  for (int i = 0; i < 3; i++) weightAdjoint${String(m)}(half_ + i * ${String(n)}, 1, taps + i * 3, 1);
  #pragma unroll
  for (int i = 0; i < 9; i++) taps[i] = taps[i] / divisor;
}`;
}

/** The source text of all convolutions, for kernels by the names `conv2Input`, `conv3Output` and so on. */
export const convolutionsSource = `\n${layers
  .flatMap((sizes) => [
    sizes.name === 'conv2' ? inputFromPixels(sizes) : inputKernel(sizes),
    sizes.pooled ? pooledOutputKernel(sizes) : outputKernel(sizes),
    sizes.pooled ? pooledAdjoint(sizes) : reluAdjoint(sizes),
    inputAdjointKernel(sizes),
    overlapFunction(sizes),
    ...(sizes.name === 'conv2' ? [conv1DeltaKernel(sizes), conv1GradientKernel(sizes)] : [gatherKernel(sizes)]),
    preparedFunction(sizes),
    gradientFunction(sizes),
  ])
  .join('\n\n')}\n`;

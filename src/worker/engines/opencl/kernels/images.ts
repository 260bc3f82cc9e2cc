/** Images of a split's rows as they go through the network, in OpenCL C: formulas and orders are those of wasm/assembly/convolution1.ts. */
import { transformLength } from '../../../../shared/model/augmentation.js';
import { imagePixels, imageSize } from '../../../../shared/model/network.js';

/** Work-items side by side of these kernels, and how often they take a row: one for each pixel. */
export const imageLanes = imageSize;
export const imageLines = imageSize;

const side = String(imageSize);
const pixels = String(imagePixels);

export const imagesSource = `
// Rows of a split as float32 [rows][${pixels}].
__kernel void loadImages(__global const uchar *images, __global const uint *rowNumbers, __global float *target) {
  const int i = get_global_id(1) * ${side} + get_global_id(0), row = get_global_id(2);
  target[(size_t)row * ${pixels} + i] = (float)images[(size_t)rowNumbers[row] * ${pixels} + i];
}

static inline float pixelAt(__global const uchar *image, const int row, const int column) {
  return row >= 0 && row < ${side} && column >= 0 && column < ${side} ? (float)image[row * ${side} + column] : 0.0f;
}

// The same, each transformed by ${String(transformLength)} numbers: see augmentation.ts.
__kernel void transformImages(
  __global const uchar *images, __global const uint *rowNumbers, __global const float *transforms, __global float *target
) {
  const int x = get_global_id(0), y = get_global_id(1), row = get_global_id(2);
  __global const uchar *image = images + (size_t)rowNumbers[row] * ${pixels};
  __global const float *t = transforms + row * ${String(transformLength)};
  const float lineU = t[1] * (float)y + t[2], lineV = t[4] * (float)y + t[5];
  const float u = t[0] * (float)x + lineU, v = t[3] * (float)x + lineV;
  const float left = floor(u), top = floor(v);
  const float right = u - left, down = v - top;
  const int column = (int)left, line = (int)top;
  const float upper = pixelAt(image, line, column) * (1.0f - right) + pixelAt(image, line, column + 1) * right;
  const float lower = pixelAt(image, line + 1, column) * (1.0f - right) + pixelAt(image, line + 1, column + 1) * right;
  target[(size_t)row * ${pixels} + y * ${side} + x] = upper * (1.0f - down) + lower * down;
}
`;

// The one-dimensional transforms of F(m, 3), chosen by the tile size m: a constant where they are used, so that one of each is left.
// Each reads and writes four channels at a time, with strides in bytes.
import {
  inputAdjoint2, inputAdjoint4, inputAdjoint5, inputAdjoint6, inputTransform2, inputTransform4, inputTransform5,
  inputTransform6, outputAdjoint2, outputAdjoint4, outputAdjoint5, outputAdjoint6, outputTransform2, outputTransform4,
  outputTransform5, outputTransform6, weightAdjoint2, weightAdjoint4, weightAdjoint5, weightAdjoint6, weightTransform2,
  weightTransform4, weightTransform5, weightTransform6,
} from './generated/transforms';

// @ts-ignore: decorator
@inline
export function inputTransform(m: i32, x: usize, xStride: usize, y: usize, yStride: usize): void {
  if (m == 6) inputTransform6(x, xStride, y, yStride);
  else if (m == 5) inputTransform5(x, xStride, y, yStride);
  else if (m == 4) inputTransform4(x, xStride, y, yStride);
  else inputTransform2(x, xStride, y, yStride);
}

// @ts-ignore: decorator
@inline
export function inputAdjoint(m: i32, x: usize, xStride: usize, y: usize, yStride: usize): void {
  if (m == 6) inputAdjoint6(x, xStride, y, yStride);
  else if (m == 5) inputAdjoint5(x, xStride, y, yStride);
  else if (m == 4) inputAdjoint4(x, xStride, y, yStride);
  else inputAdjoint2(x, xStride, y, yStride);
}

// @ts-ignore: decorator
@inline
export function outputTransform(m: i32, x: usize, xStride: usize, y: usize, yStride: usize): void {
  if (m == 6) outputTransform6(x, xStride, y, yStride);
  else if (m == 5) outputTransform5(x, xStride, y, yStride);
  else if (m == 4) outputTransform4(x, xStride, y, yStride);
  else outputTransform2(x, xStride, y, yStride);
}

// @ts-ignore: decorator
@inline
export function outputAdjoint(m: i32, x: usize, xStride: usize, y: usize, yStride: usize): void {
  if (m == 6) outputAdjoint6(x, xStride, y, yStride);
  else if (m == 5) outputAdjoint5(x, xStride, y, yStride);
  else if (m == 4) outputAdjoint4(x, xStride, y, yStride);
  else outputAdjoint2(x, xStride, y, yStride);
}

// @ts-ignore: decorator
@inline
export function weightTransform(m: i32, x: usize, xStride: usize, y: usize, yStride: usize): void {
  if (m == 6) weightTransform6(x, xStride, y, yStride);
  else if (m == 5) weightTransform5(x, xStride, y, yStride);
  else if (m == 4) weightTransform4(x, xStride, y, yStride);
  else weightTransform2(x, xStride, y, yStride);
}

// @ts-ignore: decorator
@inline
export function weightAdjoint(m: i32, x: usize, xStride: usize, y: usize, yStride: usize): void {
  if (m == 6) weightAdjoint6(x, xStride, y, yStride);
  else if (m == 5) weightAdjoint5(x, xStride, y, yStride);
  else if (m == 4) weightAdjoint4(x, xStride, y, yStride);
  else weightAdjoint2(x, xStride, y, yStride);
}

// The convolutions of the network: convolution.ts with each layer's tile size, side and channels as constants. Of conv2's
// input a panel is an array of its own, so it has 16 channels there.
import {
  adjointInput, adjointOutput, adjointOutputPooled, adjointWeights, transformInput, transformOutput,
  transformOutputPooled, transformWeights,
} from './convolution';

export function conv2Input(x: usize, rows: i32, v: usize, plane: usize, scratch: usize): void {
  transformInput(6, 26, 16, x, rows, v, plane, scratch);
}
export function conv3Input(x: usize, rows: i32, v: usize, plane: usize, scratch: usize): void {
  transformInput(5, 12, 64, x, rows, v, plane, scratch);
}
export function conv4Input(x: usize, rows: i32, v: usize, plane: usize, scratch: usize): void {
  transformInput(4, 10, 128, x, rows, v, plane, scratch);
}
export function conv5Input(x: usize, rows: i32, v: usize, plane: usize, scratch: usize): void {
  transformInput(2, 4, 128, x, rows, v, plane, scratch);
}

export function conv2Output(
  source: usize, plane: usize, bias: usize, rows: i32, pooled: usize, argmax: usize, scratch: usize,
): void {
  transformOutputPooled(6, 24, 64, source, plane, bias, rows, pooled, argmax, scratch);
}
export function conv3Output(
  source: usize, plane: usize, bias: usize, rows: i32, y: usize, open: usize, scratch: usize,
): void {
  transformOutput(5, 10, 128, source, plane, bias, rows, y, open, scratch);
}
export function conv4Output(
  source: usize, plane: usize, bias: usize, rows: i32, pooled: usize, argmax: usize, scratch: usize,
): void {
  transformOutputPooled(4, 8, 128, source, plane, bias, rows, pooled, argmax, scratch);
}
export function conv5Output(
  source: usize, plane: usize, bias: usize, rows: i32, pooled: usize, argmax: usize, scratch: usize,
): void {
  transformOutputPooled(2, 2, 256, source, plane, bias, rows, pooled, argmax, scratch);
}

export function conv2OutputAdjoint(
  delta: usize, argmax: usize, rows: i32, dm: usize, plane: usize, panel: usize, scratch: usize,
): void {
  adjointOutputPooled(6, 24, 64, delta, argmax, rows, dm, plane, panel, scratch);
}
export function conv3OutputAdjoint(
  delta: usize, open: usize, rows: i32, dm: usize, plane: usize, panel: usize, scratch: usize,
): void {
  adjointOutput(5, 10, 128, delta, open, rows, dm, plane, panel, scratch);
}
export function conv4OutputAdjoint(
  delta: usize, argmax: usize, rows: i32, dm: usize, plane: usize, panel: usize, scratch: usize,
): void {
  adjointOutputPooled(4, 8, 128, delta, argmax, rows, dm, plane, panel, scratch);
}
export function conv5OutputAdjoint(
  delta: usize, argmax: usize, rows: i32, dm: usize, plane: usize, panel: usize, scratch: usize,
): void {
  adjointOutputPooled(2, 2, 256, delta, argmax, rows, dm, plane, panel, scratch);
}

export function conv2InputAdjoint(dv: usize, plane: usize, rows: i32, x: usize, scratch: usize): void {
  adjointInput(6, 26, 16, dv, plane, rows, x, scratch);
}
export function conv3InputAdjoint(dv: usize, plane: usize, rows: i32, x: usize, scratch: usize): void {
  adjointInput(5, 12, 64, dv, plane, rows, x, scratch);
}
export function conv4InputAdjoint(dv: usize, plane: usize, rows: i32, x: usize, scratch: usize): void {
  adjointInput(4, 10, 128, dv, plane, rows, x, scratch);
}
export function conv5InputAdjoint(dv: usize, plane: usize, rows: i32, x: usize, scratch: usize): void {
  adjointInput(2, 4, 128, dv, plane, rows, x, scratch);
}

export function conv2Weights(w: usize, u: usize, ut: usize, column: i32, scratch: usize): void {
  transformWeights(6, 64, 64, w, u, ut, column, scratch);
}
export function conv3Weights(w: usize, u: usize, ut: usize, column: i32, scratch: usize): void {
  transformWeights(5, 64, 128, w, u, ut, column, scratch);
}
export function conv4Weights(w: usize, u: usize, ut: usize, column: i32, scratch: usize): void {
  transformWeights(4, 128, 128, w, u, ut, column, scratch);
}
export function conv5Weights(w: usize, u: usize, ut: usize, column: i32, scratch: usize): void {
  transformWeights(2, 128, 256, w, u, ut, column, scratch);
}

export function conv2WeightsAdjoint(du: usize, divisor: f32, w: usize, scratch: usize): void {
  adjointWeights(6, 64, du, divisor, w, scratch);
}
export function conv3WeightsAdjoint(du: usize, divisor: f32, w: usize, scratch: usize): void {
  adjointWeights(5, 64, du, divisor, w, scratch);
}
export function conv4WeightsAdjoint(du: usize, divisor: f32, w: usize, scratch: usize): void {
  adjointWeights(4, 128, du, divisor, w, scratch);
}
export function conv5WeightsAdjoint(du: usize, divisor: f32, w: usize, scratch: usize): void {
  adjointWeights(2, 128, du, divisor, w, scratch);
}

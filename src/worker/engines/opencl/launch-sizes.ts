/** How many work-items a launch has, and how many a work-group: as the device allows, which changes no bit. */
import type { Kernel } from './driver/program.js';

/** Of a work-group where nothing asks for another number: enough to hide waits for memory, and few enough for any device. */
const usualItems = 128;

/**
 * `lanes` work-items side by side for each of `count` things, and that as often as `times`; none beyond. Some GPUs have no more than
 * 65,535 work-groups in any dimension but the first: what grows with the rows and the pixels is two things.
 */
export function sizeLines(kernel: Kernel, lanes: number, count: number, times = 1): Kernel {
  const most = Math.min(usualItems, kernel.maxWorkGroupSize);
  let [x, y] = [lanes, 1];
  while (x > most || lanes % x !== 0) x--;
  while (2 * x * y <= most && count % (2 * y) === 0) y *= 2;
  return kernel.setSize([lanes, count, times], [x, y, 1]);
}

/** A work-item for each of `count` things, and some beyond, for which the kernel does nothing. */
export function sizeItems(kernel: Kernel, count: number): Kernel {
  const most = Math.min(usualItems, kernel.maxWorkGroupSize);
  return kernel.setSize([Math.ceil(count / most) * most], [most]);
}

/**
 * Random affine augmentation: where each pixel of a row's image comes from, drawn for that row of that epoch from the seed. What is
 * drawn is what torchvision's RandomAffine draws, each uniformly and about the image's middle.
 */
import type { TrainConfig } from './config.js';
import { imageSize } from './network.js';
import { philox4x32, streams } from './philox.js';
import { cosineOf, sineOf } from './trigonometry.js';

/** Floats of one transform, see `drawTransform`. */
export const transformLength = 6;
/** Of a transform's uniform numbers there are six, of two blocks of four: what each is drawn with, and what comes of it. */
const counter: [block: number, row: number, epoch: number, none: number] = [0, 0, 0, 0];
const key: [seed: number, stream: number] = [0, streams.augmentation];
const words = new Uint32Array(4);

type Augmentation = Pick<TrainConfig, 'rotation' | 'translation' | 'scaling' | 'shear'>;

export function augments({ rotation, translation, scaling, shear }: Augmentation): boolean {
  return rotation > 0 || translation > 0 || scaling > 0 || shear > 0;
}

/**
 * Draws the transform of a row: pixel (x, y) of what is trained on is taken from (a x + b y + c, d x + e y + f) of the image.
 * @param row its number in the training split
 * @param target receives a, b, c, d, e, f from `start` on
 */
export function drawTransform(
  config: Augmentation & Pick<TrainConfig, 'seed'>,
  epoch: number,
  row: number,
  target: Float32Array,
  start: number,
): void {
  key[0] = config.seed;
  counter[1] = row;
  counter[2] = epoch;
  drawBlock(0);
  const angle = (config.rotation * uniform(0)) / 180;
  const scaleX = 1 + config.scaling * uniform(1);
  const scaleY = 1 + config.scaling * uniform(2);
  const shear = (config.shear * uniform(3)) / 180;
  drawBlock(1);
  const movedX = config.translation * uniform(0);
  const movedY = config.translation * uniform(1);

  const cosine = cosineOf(angle);
  const sine = sineOf(angle);
  const a = cosine * scaleX;
  const b = sineOf(shear) / cosineOf(shear) - sine * scaleY;
  const d = sine * scaleX;
  const e = cosine * scaleY;
  const middle = (imageSize - 1) / 2;
  target[start] = a;
  target[start + 1] = b;
  target[start + 2] = middle + movedX - (a + b) * middle;
  target[start + 3] = d;
  target[start + 4] = e;
  target[start + 5] = middle + movedY - (d + e) * middle;
}

function drawBlock(block: number): void {
  counter[0] = block;
  philox4x32(counter, key, words);
}

/** A number of the block, uniform in [-1, 1). */
function uniform(word: number): number {
  return ((words[word] ?? 0) >>> 8) / 0x80_0000 - 1;
}

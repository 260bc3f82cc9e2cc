// Rows of MNIST as pictures of paper, the same every time: pen on unevenly lit paper, through a sensor with noise and JPEG.
// Each kind adds one thing that people's pictures have: printed lines, a box, a shadow with a hard edge, no margin.
import sharp from 'sharp';

/** Uniform in 0..1. Source: mulberry32, by T. Ettinger. */
export function randomNumbers(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** What each kind does to a sheet with one digit: further ink, light, or a cut. */
const additions = {
  plain: () => ({}),
  ruled: (sheet, random) => ({ print: parallels(sheet, random, between(random, 0.2, 0.5), [tilt(random)]) }),
  squared: (sheet, random) => {
    const angle = tilt(random);
    return { print: parallels(sheet, random, between(random, 0.12, 0.35), [angle, angle + Math.PI / 2]) };
  },
  box: (sheet, random) => ({ print: frame(sheet, random) }),
  shadow: (sheet, random) => ({ light: halfPlane(sheet, random) }),
  crop: (sheet) => ({ cut: sheet.ink }),
};

export const kinds = Object.keys(additions);

/**
 * A picture of one digit.
 * @param row uint8 [784], bright on black
 * @param kind one of `kinds`
 * @param random as `randomNumbers` gives it
 * @returns a JPEG file
 */
export async function paperPicture(row, kind, random) {
  const size = Math.round(between(random, 140, 260));
  const [width, height] = [size + Math.round(between(random, 120, 300)), size + Math.round(between(random, 100, 220))];
  const [left, top] = [Math.round(random() * (width - size)), Math.round(random() * (height - size))];
  const sheet = await sheetOf(width, height, [{ row, size, left, top }]);
  return jpegOf(sheet, random, additions[kind](sheet, random));
}

/**
 * A picture of several digits side by side, of somewhat different sizes.
 * @param kind one of `kinds`, which is added to the sheet as a whole
 */
export async function numberPicture(rows, kind, random) {
  const size = Math.round(between(random, 90, 130));
  const digits = [];
  let left = Math.round(between(random, 20, 80));
  const top = Math.round(between(random, 30, 80));
  for (const row of rows) {
    const own = Math.round(size * between(random, 0.9, 1.1));
    digits.push({ row, size: own, left, top: top + Math.round(size * between(random, -0.08, 0.08)) });
    // A row has a margin of its own: the strokes of neighbours do not touch.
    left += Math.round(own * between(random, 0.8, 1.05));
  }
  const sheet = await sheetOf(left + Math.round(0.3 * size) + 40, 2 * top + size, digits);
  return jpegOf(sheet, random, additions[kind](sheet, random));
}

function between(random, low, high) {
  return low + random() * (high - low);
}

/** Paper lies up to 3 degrees askew. */
function tilt(random) {
  return (between(random, -3, 3) * Math.PI) / 180;
}

/** Coverage by the pen, float [height][width] in 0..1, and the box that it fills. */
async function sheetOf(width, height, digits) {
  const pen = new Float32Array(width * height);
  let ink = { left: width, top: height, right: 0, bottom: 0, size: 0 };
  for (const { row, size, left, top } of digits) {
    const raw = { width: 28, height: 28, channels: 1 };
    const large = await sharp(row, { raw })
      .resize(size, size, { kernel: 'cubic' })
      .toColourspace('b-w')
      .raw()
      .toBuffer();
    for (let y = 0; y < size; y++) {
      for (let x = 0; x < size; x++) {
        const value = large[y * size + x] / 255;
        const [px, py] = [left + x, top + y];
        if (value === 0 || px < 0 || py < 0 || px >= width || py >= height) continue;
        pen[py * width + px] = Math.max(pen[py * width + px], value);
        if (value < 0.2) continue;
        ink = {
          left: Math.min(ink.left, px),
          top: Math.min(ink.top, py),
          right: Math.max(ink.right, px + 1),
          bottom: Math.max(ink.bottom, py + 1),
          size: Math.max(ink.size, size),
        };
      }
    }
  }
  return { width, height, pen, ink };
}

/** How much of a pixel at distance `distance` from a line's middle the line covers. */
function coverage(distance, thickness) {
  return Math.max(0, Math.min(1, thickness / 2 + 0.5 - Math.abs(distance)));
}

/** Printed lines at each angle, `spacing` digits apart. */
function parallels({ ink }, random, spacing, angles) {
  const step = spacing * ink.size;
  const thickness = between(random, 1, 3);
  const strength = between(random, 0.15, 0.5);
  const phases = angles.map(() => random() * step);
  return (x, y) => {
    const covered = angles.map((angle, i) => {
      const across = y * Math.cos(angle) - x * Math.sin(angle) + phases[i];
      return coverage(across - step * Math.round(across / step), thickness);
    });
    return strength * Math.max(...covered);
  };
}

/** A printed box around the digits, near enough that some touch it. */
function frame({ ink }, random) {
  const [angle, thickness, strength] = [tilt(random), between(random, 2, 5), between(random, 0.4, 0.85)];
  const [centreX, centreY] = [(ink.left + ink.right) / 2, (ink.top + ink.bottom) / 2];
  const tall = ink.bottom - ink.top;
  const halfWidth = (ink.right - ink.left) / 2 + tall * between(random, 0.03, 0.35);
  const halfHeight = tall / 2 + tall * between(random, 0.03, 0.35);
  return (x, y) => {
    const along = (x - centreX) * Math.cos(angle) + (y - centreY) * Math.sin(angle);
    const across = (y - centreY) * Math.cos(angle) - (x - centreX) * Math.sin(angle);
    const outside = Math.max(Math.abs(along) - halfWidth, Math.abs(across) - halfHeight);
    return strength * coverage(outside, thickness);
  };
}

/** Light that a straight edge near the digits' middle cuts off. */
function halfPlane({ ink }, random) {
  const angle = between(random, 0, 2 * Math.PI);
  const [dark, penumbra] = [between(random, 0.35, 0.65), between(random, 1, 6)];
  const shift = between(random, -0.3, 0.3) * ink.size;
  const [centreX, centreY] = [(ink.left + ink.right) / 2, (ink.top + ink.bottom) / 2];
  return (x, y) => {
    const distance = (x - centreX) * Math.cos(angle) + (y - centreY) * Math.sin(angle) - shift;
    const share = Math.max(0, Math.min(1, distance / penumbra + 0.5));
    return dark + (1 - dark) * share;
  };
}

/** Paper under a lamp to one side, what is printed on it, the pen's ink over both, and what a camera makes of it. */
function jpegOf({ width, height, pen }, random, { print = () => 0, light = () => 1, cut }) {
  const [paper, slope, direction] = [
    between(random, 170, 235),
    between(random, 0, 0.3),
    between(random, 0, 2 * Math.PI),
  ];
  const [ink, noise] = [between(random, 0.6, 0.85), between(random, 2, 10)];
  const pixels = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [u, v] = [(2 * x) / width - 1, (2 * y) / height - 1];
      const lamp =
        1 - (slope / 2) * (1 + u * Math.cos(direction) + v * Math.sin(direction)) * 0.7 - 0.05 * (u * u + v * v);
      const reflected = (1 - print(x, y)) * (1 - ink * pen[y * width + x]);
      const grain = noise * (random() + random() - 1);
      const value = paper * lamp * light(x, y) * reflected + grain;
      pixels[y * width + x] = Math.max(0, Math.min(255, Math.round(value)));
    }
  }
  const picture = sharp(pixels, { raw: { width, height, channels: 1 } });
  if (cut !== undefined) {
    const { left, top, right, bottom } = cut;
    picture.extract({ left, top, width: right - left, height: bottom - top });
  }
  return picture
    .toColourspace('b-w')
    .jpeg({ quality: Math.round(between(random, 70, 92)) })
    .toBuffer();
}

/** Images of the test set as pictures that a page carries in itself. */
import { imagePixels, imageSize } from '../shared/model/network.js';

/**
 * PNG data URIs of 28x28 grey pictures, as they are in the data set: light on dark.
 * @param images uint8 [total][784]
 * @param rows which of them
 */
export async function digitPictures(images: Uint8Array, rows: readonly number[]): Promise<string[]> {
  if (rows.length === 0) return [];
  const { default: sharp } = await import('sharp');
  const raw = { width: imageSize, height: imageSize, channels: 1 } as const;
  return Promise.all(
    rows.map(async (row) => {
      // A copy: sharp takes no shared memory.
      const pixels = images.slice(row * imagePixels, (row + 1) * imagePixels);
      const png = await sharp(pixels, { raw }).toColourspace('b-w').png({ compressionLevel: 9 }).toBuffer();
      return `data:image/png;base64,${png.toString('base64')}`;
    }),
  );
}

/** A picture from a file or a camera, in the place of the drawing until that is drawn on or cleared. */
import { greyOf, type GreyPicture } from '../../images/grey.js';
import { contextOf, element } from '../elements.js';

/** The longer side of what is read, as in Node. */
const workingSize = 512;

export interface PictureEvents {
  readonly chosen: (picture: GreyPicture) => void;
  /** The browser cannot decode the file. */
  readonly refused: (name: string) => void;
}

export class PictureInput {
  readonly #canvas = element('photo', HTMLCanvasElement);
  readonly #context = contextOf(this.#canvas);
  readonly #events: PictureEvents;

  constructor(events: PictureEvents) {
    this.#events = events;
    for (const id of ['picture', 'camera']) {
      const input = element(id, HTMLInputElement);
      input.addEventListener('change', () => {
        const [file] = input.files ?? [];
        // The same file chosen again is a change too.
        input.value = '';
        if (file !== undefined) void this.#read(file);
      });
    }
  }

  /** Shows the picture that was chosen last, or the drawing. */
  show(visible: boolean): void {
    this.#canvas.hidden = !visible;
  }

  async #read(file: File): Promise<void> {
    let bitmap: ImageBitmap;
    try {
      // Upright, as EXIF says.
      bitmap = await createImageBitmap(file);
    } catch {
      this.#events.refused(file.name);
      return;
    }
    const ratio = Math.min(1, workingSize / Math.max(bitmap.width, bitmap.height));
    const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.round(ratio * side))) as [
      number,
      number,
    ];
    Object.assign(this.#canvas, { width, height });
    this.#context.imageSmoothingQuality = 'high';
    this.#context.drawImage(bitmap, 0, 0, width, height);
    bitmap.close();
    this.#events.chosen(greyOf(this.#context.getImageData(0, 0, width, height).data, width, height));
  }
}

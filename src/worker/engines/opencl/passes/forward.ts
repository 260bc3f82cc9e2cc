/**
 * The forward pass, from pixels to logits, as kernels in the order of their launches. Between them stand the batch norms, whose
 * statistics are the caller's: each part ends where the next one's coefficients are needed.
 */
import type { DeviceBuffer } from '../driver/buffer.js';
import type { Kernel } from '../driver/program.js';
import { outputPanels, panelWidth, productLayers } from '../../winograd/geometry.js';
import type { ConvolutionName } from '../../winograd/geometry.js';
import { imageLanes, imageLines } from '../kernels/images.js';
import type { Pass } from './pass.js';

export interface ForwardParts {
  /** To the pool in front of bn2, of bn4, and of bn5; then to the logits, without bias. */
  readonly toNorm2: readonly Kernel[];
  readonly toNorm4: readonly Kernel[];
  readonly toNorm5: readonly Kernel[];
  readonly toLogits: readonly Kernel[];
}

/** What goes through the network. */
export interface ForwardInput {
  /** uint8 [count][784], of which those with the first `rows` of the row numbers are taken: uint32. */
  readonly images: DeviceBuffer;
  readonly rowNumbers: DeviceBuffer;
  /** float32 [rows][transformLength]; null where they are taken as they are. */
  readonly transforms: DeviceBuffer | null;
  /** float32 [parameterCount] */
  readonly parameters: DeviceBuffer;
  readonly rows: number;
}

export function forwardParts(
  pass: Pass,
  { images, rowNumbers, transforms, parameters, rows }: ForwardInput,
): ForwardParts {
  const { arrays } = pass;
  const { inputs, outputs, norms } = arrays;
  const input = (name: ConvolutionName, values: readonly DeviceBuffer[]): Kernel =>
    pass.tileKernel(name, 'Input', [...values, inputs[name]], rows);
  const output = (name: ConvolutionName, values: readonly DeviceBuffer[]): Kernel =>
    pass.tileKernel(name, 'Output', [outputs[name], parameters, ...values], rows);
  const { linear1 } = productLayers;
  const { bn2, bn4, bn5 } = norms;
  return {
    toNorm2: [
      transforms === null
        ? pass.lines('loadImages', [images, rowNumbers, arrays.pixels], imageLanes, imageLines, rows)
        : pass.lines('transformImages', [images, rowNumbers, transforms, arrays.pixels], imageLanes, imageLines, rows),
      input('conv2', [arrays.pixels, arrays.prepared]),
      pass.forwardProduct('conv2', rows),
      output('conv2', [arrays.pooled2, arrays.argmax2]),
    ],
    toNorm4: [
      input('conv3', [arrays.pooled2, bn2.mean, bn2.scale, parameters]),
      pass.forwardProduct('conv3', rows),
      output('conv3', [arrays.conv3]),
      input('conv4', [arrays.conv3]),
      pass.forwardProduct('conv4', rows),
      output('conv4', [arrays.pooled4, arrays.argmax4]),
    ],
    toNorm5: [
      input('conv5', [arrays.pooled4, bn4.mean, bn4.scale, parameters]),
      pass.forwardProduct('conv5', rows),
      output('conv5', [arrays.pooled5, arrays.argmax5]),
    ],
    toLogits: [
      pass.lines(
        'linear1Input',
        [arrays.pooled5, bn5.mean, bn5.scale, parameters, inputs.linear1, pass.tiles('linear1')],
        linear1.inputs,
        rows,
      ),
      pass.forwardProduct('linear1', rows, inputs.linear2),
      pass.lines(
        'linear1Output',
        [inputs.linear2, parameters, pass.tiles('linear1')],
        panelWidth,
        rows,
        outputPanels(linear1),
      ),
      pass.forwardProduct('linear2', rows),
    ],
  };
}

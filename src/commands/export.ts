/** `mnist-ddp export`: writes a trained network as a file of other programs. */
import { exportWeights } from '../index.js';
import { command } from './shell/command.js';
import { nameWritten, note } from './shell/output.js';

export const exportCommand = command(
  'export',
  'write the weights as a PyTorch, safetensors or ONNX file',
  async (options) => {
    const exported = await exportWeights({ ...options, onNote: note });
    nameWritten(exported.out);
    note('its network takes pixels of 0 to 255: what divides them by 255, as ToTensor does, is read badly');
  },
);
